# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages, and make install: on clean systems, beside nothing of the checkout.

Each story has a machine of its own, with a real systemd and without a network; most are told on
each release of Debian that packages are made for.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import debian
from harness.debian import DebianMachine
from harness.machine import ROOT
from harness.postgresql import Cluster, why_no_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

FIRST, LATER = "/packages/first", "/packages/later"
NAMES = {"mandos-common", "mandos-server", "mandos-server-postgresql", "mandos-boot-client"}
KEYS = "/etc/keys/mandos"
KEY_FILES = {"pubkey.txt", "seckey.txt", "tls-privkey.pem", "tls-pubkey.pem"}
CLIENTS = "/etc/mandos/clients.conf"
SETTINGS = "/etc/mandos/mandos.conf"
BOOT_SETTINGS = "/etc/mandos/plugin-runner.conf"
STATE = "/var/lib/mandos"
PASSWORD = b"correct horse\x00battery \xff\nstaple"
PORT = 4711
BOOT_PROGRAMS = (
    *("plugin-runner", "password-agent", "mandos-image", "mandos-handover"),
    *("plugins.d/mandos-client", "plugins.d/password-prompt", "plugins.d/askpass-fifo"),
    "plugins.d/plymouth",
)
NEW_LINE = "# This line is new in the later version.\n"


def _change(tree: Path, package: str) -> None:
    """What the later version has changed: its files of settings."""
    if package != "mandos-common":
        for path in (tree / "usr/share/mandos").glob("*.conf"):
            with path.open("a", encoding="utf-8") as file:
                file.write(NEW_LINE)


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def suite(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    return str(request.param)


@pytest.fixture(scope="session")
def packages_for(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str], Path]:
    """A function: a folder with our packages for a release, and with later versions of them."""
    if (reason := debian.why_no_debian()) is not None:
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()

    def made_for(suite: str) -> Path:
        def make(folder: Path) -> None:
            folder.mkdir()
            debian.build_packages(folder / "first", suite)
            debian.newer_packages(folder / "first", folder / "later", _change)
            debian.index(folder / "first")

        return debian.once((base if worker_id == "master" else base.parent) / f"deb-{suite}", make)

    return made_for


@pytest.fixture(scope="session")
def packages(packages_for: Callable[[str], Path], suite: str) -> Path:
    """A folder with our packages; one for the whole run."""
    return packages_for(suite)


@pytest.fixture
def clean(packages: Path, suite: str) -> Iterator[DebianMachine]:
    """A clean Debian."""
    with DebianMachine(debian.clean_tree(packages / "first", suite), packages) as machine:
        machine.systemctl("start", "dbus")
        yield machine


@pytest.fixture
def prepared(packages: Path, suite: str) -> Iterator[DebianMachine]:
    """A Debian that has what our packages depend on."""
    with DebianMachine(debian.prepared_tree(packages / "first", suite), packages) as machine:
        yield machine


@pytest.fixture
def original(packages: Path, suite: str) -> Iterator[DebianMachine]:
    """A Debian with the packages of the original."""
    with DebianMachine(debian.reference_tree(packages / "first", suite), packages) as machine:
        yield machine


def boot_program(machine: DebianMachine, name: str, prefix: str = "/usr") -> str:
    """The path of a program for the initial RAM disk."""
    code = "import sysconfig; print(sysconfig.get_config_var('MULTIARCH'))"
    kind = machine.run("/usr/bin/python3", "-c", code).decode().strip()
    return f"{prefix}/lib/{kind}/mandos/{name}"


def read(machine: DebianMachine, name: str) -> str:
    """The text of a file."""
    return machine.path(name).read_text(encoding="utf-8")


def read_keys(machine: DebianMachine) -> dict[str, bytes]:
    """The client's keys, by their files."""
    return {name: machine.path(f"{KEYS}/{name}").read_bytes() for name in KEY_FILES}


def mode(machine: DebianMachine, *names: str) -> list[str]:
    """The owner, group and mode of each file."""
    return machine.run("stat", "--format=%U %G %a", *names).decode().splitlines()


def configure(machine: DebianMachine) -> str:
    """Make the machine the only client of its own server; return its section."""
    machine.path("/run/password").write_bytes(PASSWORD)
    sealing = ("mandos-keygen", "--name=alpha", "--no-ssh", "--passfile=/run/password")
    section = machine.run(*sealing).decode()
    with machine.path(CLIENTS).open("a", encoding="utf-8") as file:
        file.write(f"\n{section}checker = true\n")
    machine.write(SETTINGS, f"[DEFAULT]\nport = {PORT}\n")
    return section


def fetch(machine: DebianMachine, prefix: str = "/usr") -> bytes:
    """Have the installed client ask the machine's own server."""
    return machine.run(
        *(boot_program(machine, "plugins.d/mandos-client", prefix), f"--connect=::1:{PORT}"),
        *(f"--pubkey={KEYS}/pubkey.txt", f"--seckey={KEYS}/seckey.txt"),
        *(f"--tls-pubkey={KEYS}/tls-pubkey.pem", f"--tls-privkey={KEYS}/tls-privkey.pem"),
    )


def try_programs(machine: DebianMachine, prefix: str = "/usr") -> None:
    """Start every program; they say who they are."""
    for program in ("mandos", "mandos-ctl", "mandos-monitor", "mandos-keygen"):
        assert machine.run(program, "--help").startswith(b"usage:")
        assert machine.run(program, "--version").startswith(program.encode())
    for program in BOOT_PROGRAMS:
        path = boot_program(machine, program, prefix)
        assert path.rpartition("/")[2].encode() in machine.run(path, "--help")


#: Imports psycopg as the server would, and asks the database of a URI for its name.
PSYCOPG = """
import re, sys
sys.path += eval(re.search(r"^sys.path [+]= (.*)", open("/usr/sbin/mandos").read(), re.M)[1])
import psycopg
assert psycopg.__file__.startswith("/usr/lib/mandos/server-python/psycopg/")
with psycopg.connect(sys.argv[1]) as connection:
    print(*connection.execute("SELECT current_database()").fetchone())
"""


def ask_postgresql(machine: DebianMachine, uri: str) -> str:
    """Have the server's Python ask a database for its name; return what it said."""
    process = machine.start("/usr/bin/python3", "-ISBc", PSYCOPG, uri)
    process.wait()
    return process.log


def test_lintian_is_content(packages: Path, suite: str) -> None:
    """The release's lintian finds nothing, but for what has an override with its reason."""
    debian.lint(packages / "first", suite)


def test_clean_system(clean: DebianMachine) -> None:
    """Apt alone installs everything; keys, user and service are there, and do their work."""
    clean.install_packages(FIRST)
    entry = clean.run("getent", "passwd", "_mandos").decode().strip().split(":")
    assert entry[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert {path.name for path in clean.path(KEYS).iterdir()} == KEY_FILES
    assert set(mode(clean, *(f"{KEYS}/{name}" for name in KEY_FILES))) == {"root root 600"}
    assert mode(clean, KEYS, CLIENTS) == ["root root 700", "root _mandos 640"]
    assert clean.show("mandos", "ActiveState") == "active"
    assert clean.show("mandos", "UnitFileState") == "enabled"
    configure(clean)
    clean.systemctl("restart", "mandos")
    assert fetch(clean) == PASSWORD
    assert "alpha" in clean.run("mandos-ctl").decode()  # the bus lets root in, and us own the name
    assert "FAIL" not in clean.run("mandos", "--check").decode().upper().replace("0 FAILED", "")
    try_programs(clean)
    assert clean.show("mandos", "NRestarts") == "0"
    # No file of ours is there twice, and none that lacks byte code.
    sources = clean.run("find", "/usr/lib/mandos", "-name", "*.py").decode().splitlines()
    compiled = clean.run("find", "/usr/lib/mandos", "-name", "*.cpython-*.pyc").decode()
    assert len(sources) == len(compiled.splitlines()) > 500


@pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql()))
def test_server_reaches_postgresql(prepared: DebianMachine) -> None:
    """By the system's psycopg, while the package for it is there."""
    prepared.install_packages(FIRST)
    with Cluster(host=prepared) as cluster:
        database = cluster.database("notes")
        assert ask_postgresql(prepared, database.uri()) == "notes"
        prepared.apt_get("remove", "mandos-server-postgresql")
        assert "No module named 'psycopg'" in ask_postgresql(prepared, database.uri())
    assert prepared.path("/usr/lib/python3/dist-packages/psycopg").is_dir()
    assert prepared.show("mandos", "ActiveState") == "active"


def test_life_of_the_packages(prepared: DebianMachine) -> None:
    """An upgrade keeps keys, settings and state; removal keeps them; purging leaves nothing."""
    before = prepared.files()
    prepared.install_packages(FIRST)
    keys = read_keys(prepared)
    section = configure(prepared)
    prepared.systemctl("restart", "mandos")
    assert fetch(prepared) == PASSWORD
    first = prepared.show("mandos", "MainPID")
    assert NEW_LINE not in read(prepared, BOOT_SETTINGS)

    said = prepared.install_packages(LATER)
    assert read_keys(prepared) == keys, said
    assert section in read(prepared, CLIENTS)
    assert read(prepared, SETTINGS) == f"[DEFAULT]\nport = {PORT}\n"  # changed by hand: it stays
    assert NEW_LINE in read(prepared, BOOT_SETTINGS)  # nobody has touched that one
    assert prepared.show("mandos", "ActiveState") == "active"
    assert prepared.show("mandos", "MainPID") != first
    assert fetch(prepared) == PASSWORD

    prepared.apt_get("remove", *NAMES)
    assert prepared.show("mandos", "ActiveState") != "active"
    kept = ("/etc/", STATE, "/var/lib/systemd/deb-systemd-helper-enabled/")
    left = {path for path in prepared.files() - before if not path.startswith(kept)}
    assert left == set(), left
    assert read_keys(prepared) == keys
    assert section in read(prepared, CLIENTS)
    assert prepared.path(f"{STATE}/mandos.db").exists()

    prepared.install_packages(FIRST)
    assert read_keys(prepared) == keys
    assert fetch(prepared) == PASSWORD
    prepared.apt_get("purge", *NAMES)
    assert prepared.files() - before == set()
    assert before - prepared.files() == set()


def test_units_of_the_check(prepared: DebianMachine) -> None:
    """None is enabled; those that are enabled go on in an upgrade, and end with the package."""
    timers = ("mandos-check.timer", "mandos-reboot.timer")
    guard, hooks = "mandos-reboot-guard.service", ("initramfs/post-update.d", "kernel/postinst.d")
    prepared.install_packages(FIRST)
    for unit in (*timers, guard):
        assert prepared.show(unit, "UnitFileState") == "disabled"
        assert prepared.show(unit, "ActiveState") == "inactive"
    prepared.systemctl("enable", "--now", *timers)
    prepared.install_packages(LATER)
    for timer in timers:
        assert prepared.show(timer, "UnitFileState") == "enabled"
        assert prepared.show(timer, "ActiveState") == "active"
        assert prepared.show(timer, "NeedDaemonReload") == "no"
    assert prepared.show("mandos-reboot.service", "ExecMainStartTimestamp") == ""
    prepared.apt_get("remove", "mandos-boot-client")
    for timer in timers:
        assert prepared.show(timer, "ActiveState") == "inactive"
    prepared.write("/boot/initrd.img-1.0", "no image")
    for folder in hooks:  # conffiles, until they are purged: harmless without the program
        (hook,) = prepared.path(f"/etc/{folder}").glob("*mandos*")
        process = prepared.start(f"/etc/{folder}/{hook.name}", "1.0", "/boot/initrd.img-1.0")
        assert (process.wait(), process.log) == (0, "")
    prepared.run("rm", "/boot/initrd.img-1.0")
    prepared.install_packages(LATER)
    assert [prepared.show(timer, "UnitFileState") for timer in timers] == ["enabled"] * 2


def prepare_kernels(machine: DebianMachine, *versions: str) -> list[str]:
    """Have the machine believe in kernels; return their images, which are made."""
    for version in versions:
        for folder in ("/boot", f"/lib/modules/{version}"):
            machine.path(folder).mkdir(parents=True, exist_ok=True)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            machine.write(f"/lib/modules/{version}/{name}", "")
        machine.write(f"/boot/vmlinuz-{version}", "no kernel")
        machine.write(f"/boot/config-{version}", "CONFIG_RD_GZIP=y\n")
        machine.run("update-initramfs", "-c", "-k", version)
    return [f"/boot/initrd.img-{version}" for version in versions]


def test_initial_ram_disks_are_renewed(prepared: DebianMachine) -> None:
    """All have the client and its keys once the package is there; the newest has what is newer."""
    images = prepare_kernels(prepared, "1.0-older", "2.0-newer")
    for image in images:
        assert "mandos" not in prepared.run("lsinitramfs", image).decode()

    said = prepared.install_packages(FIRST)
    assert sorted(re.findall("Generating (.*)", said)) == images, said  # each once
    assert mode(prepared, *images) == ["root root 600"] * 2
    for image in images:
        assert "plugins.d/mandos-client" in prepared.run("lsinitramfs", image).decode()
    prepared.run("unmkinitramfs", images[1], "/run/image")
    tree = prepared.path("/run/image")
    assert (tree / "lib/mandos/plugins.d/mandos-client").stat().st_mode & 0o7777 == 0o4755
    secret = (tree / "conf/conf.d/mandos/seckey.txt").read_bytes()
    assert secret == read_keys(prepared)["seckey.txt"]
    said = prepared.run(
        "chroot", "/run/image", "/lib/mandos/plugins.d/mandos-client", "--version"
    ).decode()
    assert said.startswith("mandos-client")

    assert re.findall("Generating (.*)", prepared.install_packages(LATER)) == [images[1]]
    said = prepared.apt_get("remove", "mandos-boot-client")
    assert re.findall("Generating (.*)", said) == [images[1]]
    assert "mandos" not in prepared.run("lsinitramfs", images[1]).decode()
    assert sorted(re.findall("Generating (.*)", prepared.install_packages(LATER))) == images


def test_takes_over_from_the_original(original: DebianMachine, suite: str) -> None:
    """The original's packages give way; their settings and keys, changed or not, stay in use."""
    keys = read_keys(original)
    section = configure(original)
    clients, settings = read(original, CLIENTS), read(original, SETTINGS)
    original.install_packages(FIRST)
    shown = original.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n")
    states = {name: state for state, name in map(str.split, shown.decode().splitlines())}
    assert {states[name] for name in NAMES} == {"ii"}
    assert {states["mandos"], states["mandos-client"]} == {"rc"}
    assert read_keys(original) == keys
    assert (read(original, CLIENTS), read(original, SETTINGS)) == (clients, settings)
    assert section in clients
    assert original.show("mandos", "ActiveState") == "active"
    folder = {"bookworm": "/lib"}.get(suite, "/usr/lib")
    assert original.show("mandos", "FragmentPath") == f"{folder}/systemd/system/mandos.service"
    assert fetch(original) == PASSWORD


def start_original(machine: DebianMachine) -> None:
    """Have the original's server run with the clients alpha and beta; beta is disabled."""
    machine.systemctl("start", "dbus")
    machine.systemctl("start", "avahi-daemon")
    configure(machine)
    with machine.path(CLIENTS).open("a", encoding="utf-8") as file:
        file.write(f"\n[beta]\nkey_id = {'b' * 64}\nfingerprint = {'b' * 40}\nsecret = aGVsbG8=\n")
        file.write("host = beta\nchecker = true\n")
    machine.systemctl("restart", "mandos")
    machine.run("sh", "-c", "until mandos-ctl beta >/dev/null 2>&1; do sleep 0.1; done")
    machine.run("mandos-ctl", "--disable", "beta")


def enabled(machine: DebianMachine) -> set[str]:
    """The clients that the machine's server has enabled, as D-Bus says."""
    dump = json.loads(machine.run("mandos-ctl", "--dump-json"))
    return {name for name, client in dump.items() if client["Enabled"]}


def test_disabled_clients_stay_disabled(original: DebianMachine) -> None:
    """The original's disabled clients are disabled in ours, and the installation names them."""
    start_original(original)
    assert enabled(original) == {"alpha"}
    assert mode(original, CLIENTS) == ["root root 600"]
    said = original.install_packages(FIRST)
    assert "which stay disabled: beta\n" in said
    assert original.run("mandos", "--version").startswith(b"mandos 0")
    assert enabled(original) == {"alpha"}
    assert fetch(original) == PASSWORD
    assert mode(original, CLIENTS) == ["root _mandos 640"]  # for a reload, and it says so
    assert f"the group _mandos may now read {CLIENTS}" in said
    original.systemctl("reload", "mandos")
    # What is enabled afterwards stays so: the same state is not imported again.
    original.run("mandos-ctl", "--enable", "beta")
    original.apt_get("remove", "mandos-server")
    assert "stay disabled" not in original.install_packages(FIRST)
    assert enabled(original) == {"alpha", "beta"}


def test_original_that_was_killed(original: DebianMachine) -> None:
    """It has saved nothing: nobody is enabled until an administrator says so."""
    original.path("/run/systemd/system/mandos.service.d").mkdir()
    original.write("/run/systemd/system/mandos.service.d/once.conf", "[Service]\nRestart=no\n")
    original.systemctl("daemon-reload")
    start_original(original)
    original.systemctl("kill", "--signal=KILL", "mandos")
    original.wait_until("mandos", "ActiveState", "failed")
    said = original.install_packages(FIRST)
    assert "EVERY CLIENT IS DISABLED NOW" in said
    assert enabled(original) == set()
    original.run("mandos-ctl", "--enable", "alpha")
    assert fetch(original) == PASSWORD


def test_original_that_still_runs(original: DebianMachine) -> None:
    """Where packages may not stop services, nothing is installed before somebody did.

    The package for PostgreSQL is left out: apt asks for --fix-broken where a package waits for
    another one that was refused.
    """
    start_original(original)
    original.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)
    with pytest.raises(AssertionError, match="systemctl stop mandos"):
        original.install_packages(FIRST, but="mandos-server-postgresql")
    original.path("/usr/sbin/policy-rc.d").unlink()
    original.systemctl("stop", "mandos")
    said = original.install_packages(FIRST, but="mandos-server-postgresql")
    assert "which stay disabled: beta\n" in said
    assert enabled(original) == {"alpha"}


def test_original_can_be_purged(original: DebianMachine) -> None:
    """By the commands that docs/installing.md has for it; keys, settings and state stay."""
    original.systemctl("start", "dbus")
    original.install_packages(FIRST)
    section = configure(original)
    original.systemctl("restart", "mandos")
    original.run("mandos-ctl", "--disable", "alpha")
    keys, clients = read_keys(original), read(original, CLIENTS)
    text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    (commands,) = (part for part in text.split("```") if "dpkg --purge" in part)
    original.run("sh", "-euxc", commands)
    shown = original.run("dpkg-query", "--show", "--showformat=${Package}\n").decode().split()
    assert not {"mandos", "mandos-client"}.intersection(shown)
    assert read_keys(original) == keys
    assert read(original, CLIENTS) == clients
    assert section in clients
    assert original.show("mandos", "ActiveState") == "active"
    assert original.show("mandos", "UnitFileState") == "enabled"
    assert "alpha" in original.run("mandos-ctl").decode()
    with pytest.raises(AssertionError):
        original.run("mandos-ctl", "--is-enabled", "alpha")
    original.run("mandos-ctl", "--enable", "alpha")
    assert fetch(original) == PASSWORD


def test_every_program_is_for_this_system_alone(packages: Path, tmp_path: Path) -> None:
    """Whatever is executable names Debian's Python or shell, and no file names the checkout."""
    for package in sorted((packages / "first").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    places = re.compile(rb"#! ?(/usr/bin/python3 -IS|/bin/sh|/bin/bash)\n")
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert bytes(ROOT) not in content, path
        if path.stat().st_mode & 0o111:
            assert places.match(content), path


def _make(target: str, destination: Path) -> None:
    libraries = debian.libraries()
    command = ["make", "-o", str(libraries), f"LIBRARIES={libraries}", target]
    subprocess.run([*command, f"DESTDIR={destination}"], cwd=ROOT, check=True, capture_output=True)


def test_make_install(packages_for: Callable[[str], Path], tmp_path: Path) -> None:
    """It works below /usr/local, knows nothing of where it was built, and can be taken away.

    On the release that runs here: it is made for the Python of the system where it is made.
    """
    packages = packages_for(debian.SUITE)
    files = tmp_path / "files"
    _make("install", files)
    for path in (path for path in files.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert bytes(ROOT) not in content, path
        assert bytes(tmp_path) not in content, path
    with DebianMachine(debian.prepared_tree(packages / "first"), tmp_path) as machine:
        machine.systemctl("start", "dbus")
        machine.run("cp", "-a", "/packages/files/.", "/")
        machine.run("systemd-sysusers")
        machine.systemctl("daemon-reload")
        machine.systemctl("reload", "dbus")
        machine.run("mandos-keygen")
        configure(machine)
        machine.systemctl("start", "mandos")
        assert fetch(machine, "/usr/local") == PASSWORD
        assert "alpha" in machine.run("mandos-ctl").decode()
        try_programs(machine, "/usr/local")
        compiled = set(machine.path("/usr/local/lib/mandos").rglob("*.pyc"))
        assert len(compiled) == len(set((files / "usr/local/lib/mandos").rglob("*.py")))

    (files / CLIENTS.lstrip("/")).write_text("# mine\n", encoding="utf-8")
    _make("install", files)
    units = ("mandos.service", "mandos-check.timer", "mandos-reboot.timer")
    subprocess.run(["systemctl", f"--root={files}", "enable", *units], check=True)
    links = files / "etc/systemd/system"
    assert {path.name for path in links.rglob("*") if path.is_symlink()} == set(units)
    _make("uninstall", files)
    assert not [path for path in links.rglob("*") if path.is_symlink()]
    left = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    settings = {path.lstrip("/") for path in (CLIENTS, SETTINGS, BOOT_SETTINGS)}
    assert left == settings
    assert (files / CLIENTS.lstrip("/")).read_text(encoding="utf-8") == "# mine\n"


def test_back_to_the_original(clean: DebianMachine) -> None:
    """Its packages take over again, and to purge ours takes nothing from them."""
    clean.install_packages(FIRST)
    keys = read_keys(clean)
    configure(clean)
    clients, settings = read(clean, CLIENTS), read(clean, SETTINGS)
    keep = "Dpkg::Options::=--force-confold"
    clean.apt_get("-o", keep, "install", "mandos", "mandos-client")
    clean.apt_get("purge", *NAMES)
    assert read_keys(clean) == keys
    assert (read(clean, CLIENTS), read(clean, SETTINGS)) == (clients, settings)
    assert clean.run("mandos", "--version").startswith(b"mandos 1.8")
    assert clean.show("mandos", "UnitFileState") == "enabled"


def versions(machine: DebianMachine) -> dict[str, str]:
    """Our packages that are installed, with their versions."""
    shown = machine.run(
        "dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package} ${Version}\n"
    ).decode()
    rows = [line.split() for line in shown.splitlines()]
    return {name: version for state, name, version in rows if state == "ii" and name in NAMES}


def check_upgraded(
    machine: DebianMachine, ending: str, names: Collection[str] = frozenset(NAMES)
) -> None:
    """Everything of ours is still there and does its work, with the new release's Python."""
    assert machine.run("/usr/bin/python3", "--version").startswith(b"Python 3.13")
    assert versions(machine).keys() == names
    assert {version.rpartition("~")[2] for version in versions(machine).values()} == {ending}
    machine.systemctl("restart", "mandos")
    assert fetch(machine) == PASSWORD
    assert "alpha" in machine.run("mandos-ctl").decode()
    assert "FAIL" not in machine.run("mandos", "--check").decode().upper().replace("0 FAILED", "")
    try_programs(machine)
    # Byte code for this Python alone.
    compiled = machine.run("find", "/usr/lib/mandos", "-name", "*.pyc").decode().splitlines()
    assert len(compiled) > 500
    assert {name.rsplit(".", 2)[1] for name in compiled} == {"cpython-313"}


def check_image(machine: DebianMachine) -> None:
    """The initial RAM disk has the client with the new release's Python."""
    machine.run("rm", "-rf", "/run/image")
    machine.run("unmkinitramfs", "/boot/initrd.img-1.0-test", "/run/image")
    assert machine.run("find", "/run/image", "-name", "python3.13*")
    said = machine.run("chroot", "/run/image", "/lib/mandos/plugins.d/mandos-client", "--version")
    assert said.startswith(b"mandos-client")


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_release_upgrade(packages_for: Callable[[str], Path], tmp_path: Path) -> None:
    """Debian 12 becomes 13: Debian 12's packages of ours stay and work; 13's follow."""
    tree = tmp_path / "root"
    said = debian.upgrade_release(tree, "trixie", packages_for("bookworm") / "first")
    assert not re.search("Removing mandos", said), said
    with DebianMachine(tree, packages_for("trixie")) as machine:
        machine.systemctl("start", "dbus")
        keys = read_keys(machine)
        configure(machine)
        check_upgraded(machine, "deb12")
        check_image(machine)
        where = (
            "import sys; sys.path.append('/usr/lib/mandos/server-python'); import {0}; print({0})"
        )
        for module in ("dbus_fast.signature", "zeroconf._cache"):
            shown = machine.run("/usr/bin/python3", "-ISBc", where.format(module)).decode()
            assert shown.rstrip().endswith(".py'>")  # not compiled for this Python
        machine.install_packages(FIRST)
        check_upgraded(machine, "deb13")
        check_image(machine)
        assert read_keys(machine) == keys
    subprocess.run(["rm", "-rf", tree], check=True)


#: The last commit whose packages were tied to Python 3.11.
OLD = "33749e6"


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_release_upgrade_from_the_first_packages(
    packages_for: Callable[[str], Path], tmp_path: Path
) -> None:
    """Version 0.1.0 is upgraded with the system where our packages for 13 can be found."""
    known = subprocess.run(["git", "cat-file", "-e", OLD], cwd=ROOT, check=False).returncode == 0
    if not known or "bookworm" not in Path("/etc/os-release").read_text(encoding="utf-8"):
        pytest.skip(f"needs the project's history (commit {OLD}), and Debian 12 to build there")
    debian.build_old_packages(OLD, tmp_path / "old", tmp_path / "packages")
    tree, new = tmp_path / "root", packages_for("trixie")
    said = debian.upgrade_release(tree, "trixie", tmp_path / "packages", new / "first")
    assert not re.search("Removing mandos", said), said
    with DebianMachine(tree, new) as machine:
        machine.systemctl("start", "dbus")
        configure(machine)
        check_upgraded(machine, "deb13", NAMES - {"mandos-server-postgresql"})
        check_image(machine)
    subprocess.run(["rm", "-rf", tree], check=True)


def test_compiled_modules_have_a_fallback(packages: Path, tmp_path: Path) -> None:
    """What is compiled is for any Python, or named after the one it is for beside its source."""
    for package in sorted((packages / "first").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    modules = sorted(tmp_path.rglob("*.so"))
    tied = [path for path in modules if not path.name.endswith(".abi3.so")]
    assert {path.name for path in modules} - {path.name for path in tied} == {"_openpgp.abi3.so"}
    assert len(tied) > 20
    for path in tied:
        name, tag, _ending = path.name.split(".")
        assert re.fullmatch(r"cpython-3\d+-[a-z0-9_-]+", tag)
        assert path.with_name(f"{name}.py").exists()
