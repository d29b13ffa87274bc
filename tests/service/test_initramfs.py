# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that the real mkinitramfs makes with our hook: what is in them, and what they weigh."""

from __future__ import annotations

import base64
import re
import stat
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.early_boot import EarlyBoot
from harness.families import ours
from harness.host import Host
from harness.initramfs import VERSION, ImageMaker
from harness.keys import FILES, make_credentials
from harness.recorded_gnupg import KEYS, MESSAGES, PASSWORD
from mandos import section_note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.families import Family
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

GROWTH_LIMIT = 10_000_000
#: A quarter of a megabyte of modules that one careless import would bring along.
DEAR_MODULES = {"argparse", "collections", "enum", "random", "re", "shutil", "subprocess", "typing"}
BUILDER = "/usr/lib/x86_64-linux-gnu/mandos/mandos-image"
PYTHON = ("chroot", "/run/root", "/usr/bin/python3", "-IS", "-c")
IMPORT_ALL = """
import sys, os
top = "/usr/lib/mandos/python"
sys.path.insert(0, top)
count = 0
for folder, _, files in os.walk(top):
    for file in files:
        if file.endswith(".pyc"):
            name = os.path.join(folder, file[:-4])[len(top) + 1:].replace("/", ".")
            __import__(name.removesuffix(".__init__"))
            count += 1
print(count)
"""
#: A network hook that needs two kernel modules that there are, and one that there is not.
MODULES_HOOK = """#!/bin/sh
[ "$1" != modules ] || printf '%s\\n' tun nowhere 'bonding max_bonds=0'
"""
#: Runs after ours: lists what a user without rights can read in the tree.
LOOK = """#!/bin/sh
[ "$1" != prereqs ] || { echo mandos; exit 0; }
setpriv --reuid=65534 --regid=65534 --clear-groups \\
    find "$DESTDIR" -type f -readable >/run/seen 2>/dev/null || :
"""
#: Three disks that are needed for boot; only the first one's keyscript knows no askpass.
CRYPTTAB = """
first UUID=00000000-0000-4000-8000-000000000000 none luks,initramfs,keyscript=/usr/bin/own
second UUID=00000000-0000-4000-8000-000000000001 none luks,initramfs,keyscript=/usr/bin/polite
third UUID=00000000-0000-4000-8000-000000000002 none luks,initramfs
"""
KEYSCRIPTS = {"own": "read -r line </dev/console", "polite": "exec /lib/cryptsetup/askpass Word:"}
QUICK_KEYS = ("--type", "ed25519", "--subtype", "cv25519")
OPEN = """
import sys
sys.path.insert(0, "/usr/lib/mandos/python")
from mandos.openpgp import opening
key = open("/conf/conf.d/mandos/seckey.txt", "rb").read()
sys.stdout.buffer.write(opening.open_secret(open("/secret", "rb").read(), key))
"""


def test_keys_in_an_image_are_for_root(image_tree: Path) -> None:
    """No plugin that has given root up, and no other program, can read them there."""
    folder = image_tree / "conf/conf.d/mandos"
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    for path in (folder, *folder.iterdir()):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (0, 0, 0)


@pytest.mark.parametrize(
    ("umask", "mode"),
    [
        (None, 0o600),
        ("0022", 0o600),
        ("0027", 0o600),
        ("0077", 0o600),
        ("0277", 0o400),
        ("u=r,g=rx,o=", 0o400),
        ("nonsense", 0o600),
    ],
)
def test_mode_of_an_image(image_maker: ImageMaker, umask: str | None, mode: int) -> None:
    """Only root reads it, whatever UMASK allows; whatever UMASK forbids stays forbidden."""
    setting = image_maker.file("/etc/initramfs-tools/conf.d/umask")
    try:
        if umask is not None:
            setting.write_text(f"UMASK={umask}\n", encoding="ascii")
        process = image_maker.start("mkinitramfs", "-o", "/run/masked", VERSION)
        assert process.wait() == 0, process.log
    finally:
        setting.unlink(missing_ok=True)
    image = image_maker.file("/run/masked")
    assert stat.S_IMODE(image.stat().st_mode) == mode
    assert "made with the umask" not in process.log
    image.unlink()


def test_umask_that_another_package_loosens(image_maker: ImageMaker) -> None:
    """A warning names the umask: no file of ours has the last word."""
    other = image_maker.file("/usr/share/initramfs-tools/conf-hooks.d/zz-other")
    other.write_text("UMASK=0022\n", encoding="ascii")
    try:
        process = image_maker.start("mkinitramfs", "-o", "/run/loose", VERSION)
        assert process.wait() == 0, process.log
    finally:
        other.unlink()
    assert "warning: the image is made with the umask 0022" in process.log


def test_keys_are_for_root_while_the_image_is_made(image_maker: ImageMaker) -> None:
    """Other users of this machine can enter the growing tree, and still read no key in it."""
    hook = image_maker.file("/etc/initramfs-tools/hooks/zz-look")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(LOOK, encoding="ascii")
    hook.chmod(0o755)
    try:
        process = image_maker.start("mkinitramfs", "-o", "/run/looked", VERSION)
        assert process.wait() == 0, process.log
    finally:
        hook.unlink()
    seen = image_maker.file("/run/seen").read_text(encoding="utf-8").splitlines()
    assert any(line.endswith("/lib/mandos/plugin-runner") for line in seen), process.log
    assert [line for line in seen if "conf.d/mandos/" in line] == []


def test_a_set_up_that_cannot_work_is_reported() -> None:
    """A foreign keyscript, an absent card, keys of another section; the image is made."""
    with Host("workshop") as workshop, ImageMaker() as maker:
        maker.install()
        maker.give_keys(make_credentials(workshop, ours(), "alpha", b"x", QUICK_KEYS))
        quiet = maker.start("mkinitramfs", "-o", "/run/quiet", VERSION)
        assert quiet.wait() == 0, quiet.log
        assert "mandos-image" not in quiet.log

        maker.run("mount", "-t", "tmpfs", "tmpfs", "/sys")
        maker.file("/sys/class/net/ens3/device").mkdir(parents=True)
        device = maker.file("/etc/initramfs-tools/conf.d/device")
        device.write_text("DEVICE=eno1\n", encoding="ascii")
        maker.file("/etc/crypttab").write_text(CRYPTTAB, encoding="ascii")
        for name, command in KEYSCRIPTS.items():
            maker.file(f"/usr/bin/{name}").write_text(f"#!/bin/sh\n{command}\n", encoding="ascii")
            maker.file(f"/usr/bin/{name}").chmod(0o755)
        note = section_note.Note("0" * 64, "1" * 40)
        section_note.write(maker.file("/etc/keys/mandos"), note)
        process = maker.start("mkinitramfs", "-o", "/run/warned", VERSION)
        assert process.wait() == 0, process.log
        tree = maker.unpack("warned")
        assert (tree / "conf/conf.d/mandos/seckey.txt").exists()
        assert not (tree / "conf/conf.d/mandos" / section_note.NAME).exists()
    warnings = re.findall("mandos-image: warning: (.*)", process.log)
    assert len(warnings) == len(re.findall("mandos-image: hint: ", process.log)) == 3
    assert any("no network interface eno1, which DEVICE" in text for text in warnings)
    assert any("it has ens3" in text for text in warnings)
    assert any("/usr/bin/own of the disk first" in text for text in warnings)
    assert any("key ID 0000000000000000... then" in text for text in warnings)


def test_nothing_is_there_twice_or_in_vain(image_tree: Path) -> None:
    """No source, no tests, no library in two places, none of Python's modules but a few."""
    files = [path for path in image_tree.rglob("*") if path.is_file() and not path.is_symlink()]
    names = Counter(path.name for path in files if ".so" in path.name)
    assert [name for name, count in names.items() if count > 1] == []
    python = [
        path for path in files if {"python", "python3.11"} & set(path.relative_to(image_tree).parts)
    ]
    assert len(python) > 30
    assert [path for path in python if path.suffix == ".py" or "test" in str(path.name)] == []
    (library,) = (path.parent for path in python if path.name == "os.pyc")
    assert {path.stem for path in library.iterdir()} & DEAR_MODULES == set()


def test_programs_run_from_the_image_alone(image_tree: Path) -> None:
    """Every program starts, and every module of ours can be imported."""
    with EarlyBoot(image_tree) as boot:
        for name in (
            "plugin-runner",
            "password-agent",
            "mandos-handover",
            "plugins.d/mandos-client",
        ):
            said = boot.run("chroot", "/run/root", f"/lib/mandos/{name}", "--version").decode()
            assert said.startswith(name.rpartition("/")[2])
        assert int(boot.run(*PYTHON, IMPORT_ALL)) > 30


def test_secret_is_opened_in_the_image(
    image_tree: Path, keys_of: Callable[[Family], Credentials]
) -> None:
    """The OpenPGP library works there, in the child that opens a secret; and libcrypto."""
    credentials = keys_of(ours())
    sealed = base64.b64decode("".join(credentials.section.partition("secret =")[2].split()))
    with EarlyBoot(image_tree) as boot:
        boot.file("/secret").write_bytes(sealed)
        assert boot.run(*PYTHON, OPEN) == credentials.password
        for kind in ("rsa", "cv25519", "elgamal"):  # which libcrypto opens, with GnuPG's OCB
            boot.file("/secret").write_bytes(MESSAGES[kind])
            boot.file("/conf/conf.d/mandos/seckey.txt").write_bytes(KEYS[kind])
            assert boot.run(*PYTHON, OPEN) == PASSWORD


def test_what_the_administrator_adds(image_maker: ImageMaker) -> None:
    """A plugin of the same name wins; hooks name files and modules; keys stay root's."""
    config, tree = image_maker.file("/run/mandos"), image_maker.file("/run/added")
    for folder in (config / "plugins.d", config / "network-hooks.d", tree):
        folder.mkdir(parents=True)
    scripts = {
        "plugins.d/mandos-client": "#!/bin/sh\necho mine\n",
        "network-hooks.d/vlan": "#!/bin/sh\n"
        '[ "$1" = "$MODE" ] && [ "$DEVICE" = eth5 ] && [ "$VERBOSITY" = 0 ] || exit 1\n'
        "case $1 in files) echo /usr/bin/env ;; modules) echo 8021q ;; esac\n",
        "network-hooks.d/broken": "#!/bin/sh\nexit 3\n",
        "network-hooks.d/bad name": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (config / name).write_text(text, encoding="ascii")
        (config / name).chmod(0o755)
    (config / "plugin-runner.conf").write_text("--userid=1234 # somebody\n", encoding="ascii")
    process = image_maker.start(
        BUILDER, "--into", "/run/added", "--config", "/run/mandos", "--device", "eth5"
    )
    assert process.wait() == 0, process.log
    assert process.stdout == b"8021q\n"
    assert "network-hooks.d/broken" in process.log
    assert "bad name: skipped" in process.log
    assert (tree / "usr/lib/mandos/plugins.d/mandos-client").read_bytes().endswith(b"mine\n")
    assert (tree / "usr/bin/env").exists()
    assert not (tree / "usr/lib/mandos/network-hooks.d/bad name").exists()
    assert (tree / "conf/conf.d/mandos/seckey.txt").stat().st_uid == 0


def test_modules_of_network_hooks_are_loaded(image_maker: ImageMaker) -> None:
    """What a hook needs is loaded at boot; where the kernel has no such module, a warning says so.

    The kernel has two modules, compiled in: which the image needs no files for.
    """
    hook = image_maker.file("/etc/mandos/network-hooks.d/tunnel")
    hook.write_text(MODULES_HOOK, encoding="ascii")
    hook.chmod(0o755)
    builtin = image_maker.file(f"/usr/lib/modules/{VERSION}/modules.builtin")
    builtin.write_text("kernel/drivers/net/tun.ko\nkernel/bonding.ko\n", encoding="ascii")
    image_maker.run("depmod", VERSION)
    try:
        process = image_maker.start("mkinitramfs", "-o", "/run/hooked", VERSION)
        assert process.wait() == 0, process.log
    finally:
        hook.unlink()
    assert f"needs the module nowhere, which Linux {VERSION} does not have" in process.log
    loaded = image_maker.unpack("hooked") / "conf/modules"
    assert loaded.read_text(encoding="ascii").splitlines()[:2] == ["tun", "bonding max_bonds=0"]
    assert "nowhere" not in loaded.read_text(encoding="ascii")


def test_same_tree_each_time(image_maker: ImageMaker) -> None:
    """Byte code and all else are the same, however often a tree is made."""
    for name in ("one", "two"):
        image_maker.file(f"/run/{name}").mkdir()
        image_maker.run(BUILDER, "--into", f"/run/{name}")
    image_maker.run("diff", "--recursive", "--no-dereference", "/run/one", "/run/two")


def test_without_keys_there_is_still_an_image() -> None:
    """The hook warns and the image asks at the console: no kernel update fails for our sake."""
    with ImageMaker() as maker:
        maker.install()
        process = maker.start("mkinitramfs", "-o", "/run/image", "6.1.0-test")
        assert process.wait() == 0
        assert "mandos-keygen makes the client's keys" in process.log
        assert "it will ask for passwords at the console" in process.log


def test_growth(
    image_maker: ImageMaker,
    keys_of: Callable[[Family], Credentials],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What we add to an image stays below the bar; printed beside what the reference adds."""
    with ImageMaker() as bare, ImageMaker(reference=True) as other:
        other.give_keys(keys_of(ours()))
        nothing = bare.make("size").stat().st_size
        growth = {
            "ours": image_maker.make("size").stat().st_size - nothing,
            "reference": other.make("size").stat().st_size - nothing,
        }
    with capsys.disabled():
        for name, size in growth.items():
            print(f"\ninitramfs growth, {name}: {size / 1e6:.2f} MB")  # noqa: T201
    assert growth["reference"] > 1_000_000  # it really was in there
    assert 1_000_000 < growth["ours"] <= GROWTH_LIMIT
