# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``mandos --check`` on machines where all is well, and on machines where one thing is broken."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import signal
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi
from harness.families import ours
from harness.host import Host, why_impossible
from mandos.server.self_check.bus import NAME
from mandos.server.state.database import DATABASE, WITNESS
from mandos.server.state.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

#: The same as mandos --check, for a user who cannot read the files of root's Python.
CHECK_AS = """
import codecs, os, pwd, sys
import mandos.tls.session
from mandos.server import main, self_check
codecs.lookup("ascii")
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
sys.exit(main.main(sys.argv[2:]))
"""
#: The same, where even loading GnuTLS may fail.
CHECK_WITHOUT_GNUTLS = """
import sys
from mandos.server import self_check
from mandos.server.config import server_conf
text, status = self_check.report(self_check.run(server_conf.load(sys.argv[1:])))
sys.stdout.write(text)
sys.exit(status)
"""
POLICY = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <allow own="org.freedesktop.Avahi"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  {}
</busconfig>
"""
OWN = f'<policy user="_mandos"><allow own="{NAME}"/></policy>'
#: Has Mandos's name on the bus, as the user that is named.
OWNER = """
import asyncio, os, pwd, sys
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
async def main():
    os.setuid(pwd.getpwnam(sys.argv[1]).pw_uid)
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    print((await bus.request_name(sys.argv[2])).name, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
MAKE_DATABASE = """
import pathlib, sys
from mandos.server.state.database import SQLiteStore
store = SQLiteStore(pathlib.Path(sys.argv[1]))
store.forget()
store.close()
"""
MAKE_NEWER = f"""
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA user_version = {SCHEMA_VERSION + 1}")
connection.close()
"""
#: Leaves a database as a crash does: what was written last stands in the log beside it.
CRASH = """
import os, pathlib, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA user_version = 99")
connection.commit()
assert pathlib.Path(sys.argv[1] + "-wal").stat().st_size
os._exit(0)
"""
LISTEN = """
import socket
with socket.create_server(("::", 4711), family=socket.AF_INET6):
    print("listening", flush=True)
    input()
"""
HOLD_MULTICAST = """
import socket
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.bind(("::", 5353))
    print("listening", flush=True)
    input()
"""
SECRET = base64.b64encode(b"\xd2\x01\x01").decode()
SECTION = f"[alpha]\nkey_id = {'ab' * 32}\nsecret = {SECRET}\nchecker = ls\n"
TOOLS = ("dbus-daemon", "avahi-daemon", "fping")

impossible = why_impossible()
missing = [name for name in TOOLS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(impossible is not None, reason=impossible or ""),
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}"),
]

_numbers = count()


class Setup:
    """A server's files on a host, as they should be until a test breaks them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name = f"/run/setup-{next(_numbers)}"
        self.path.mkdir()
        self.config, self.state = self.path / "config", self.path / "state"
        self.config.mkdir()
        self.clients = self.config / "clients.conf"
        self.clients.write_text(SECTION)
        self.clients.chmod(0o640)
        shutil.chown(self.clients, "root", "_mandos")
        self.state.mkdir(0o700)
        shutil.chown(self.state, "_mandos", "_mandos")
        self.options = ["--configdir", f"{self.name}/config", "--statedir", f"{self.name}/state"]
        self.status = -1

    @property
    def path(self) -> Path:
        """Where the test reaches the files."""
        return self.host.path(self.name)

    def check(self, *options: str, user: str = "", **environment: str) -> list[str]:
        """The lines of a check; keeps the exit status."""
        program: tuple[str, ...] = (ours().server,)
        if user:
            program = (sys.executable, "-c", CHECK_AS, user)
        elif environment:
            program = (sys.executable, "-c", CHECK_WITHOUT_GNUTLS)
        # options of the test come last, so they win
        command = (*program, "--check", *self.options, *options)
        process = self.host.start(*command, environment=environment)
        self.status = process.wait()
        assert process.lines == process.stdout.decode().splitlines(), process.report("stderr")
        assert "\x1b" not in process.log
        return process.lines

    def about(self, what: str, *options: str, user: str = "", **environment: str) -> str:
        """The one line about something."""
        lines = self.check(*options, user=user, **environment)
        found = [line for line in lines if f": {what}: " in line]
        assert len(found) == 1, lines
        return found[0].replace(self.name, "")

    def mend(self, line: str) -> None:
        """Do what a line says."""
        command = line.partition("; to mend it: run: ")[2]
        assert command, line
        self.host.run("sh", "-c", command.replace(" /", f" {self.name}/"))

    def files(self) -> dict[str, tuple[bytes, int]]:
        """All files of the state directory."""
        return {
            path.name: (path.read_bytes(), path.stat().st_mode) for path in self.state.iterdir()
        }

    def make_database(self) -> Path:
        """A database as a server leaves it."""
        self.host.run(sys.executable, "-c", MAKE_DATABASE, f"{self.name}/state")
        for file in self.state.iterdir():
            shutil.chown(file, "_mandos", "_mandos")
        return self.state / DATABASE


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A machine with an interface, but with neither a bus nor Avahi."""
    with Host("server") as server, Host("client") as client:
        server.connect(client)
        yield server


@pytest.fixture
def setup(host: Host) -> Setup:
    """A good setup there, which a test may break."""
    return Setup(host)


@pytest.fixture
def own() -> Iterator[Setup]:
    """A good setup on a machine of its own, which a test may break too."""
    with Host("own") as host, Host("client") as client:
        host.connect(client)
        yield Setup(host)


def _start_bus(host: Host, policy: str) -> Process:
    host.path("/run/dbus").mkdir()
    host.path("/run/bus.conf").write_text(POLICY.format(policy), encoding="ascii")
    how = ("--nofork", "--nopidfile", "--print-address")
    bus = host.start("dbus-daemon", "--config-file=/run/bus.conf", *how)
    bus.wait_for("^unix:path=")
    return bus


@contextmanager
def _running(host: Host, *code: str) -> Iterator[Process]:
    """A Python program that has begun to do what it shall."""
    with host.start(sys.executable, "-c", *code) as process:
        process.wait_for("^(listening|PRIMARY_OWNER)$")
        yield process


# The whole


def test_all_is_well(own: Setup) -> None:
    """On a good machine nothing fails; the sum is the last line and the exit status is 0."""
    _start_bus(own.host, OWN)
    start_avahi(own.host)
    own.make_database()
    lines = own.check("--interface", "eth0", "--port", "4711")
    assert own.status == 0
    wrong = [line for line in lines[:-1] if not line.startswith("ok: ")]
    assert all(line.startswith("warning: Python's files: ") for line in wrong)
    checked = {line.split(": ")[1] for line in lines[:-1]}
    assert checked == {
        "server's user", "Python's files", "GnuTLS", "clients", "reload", "secrets",
        "state directory", "space for the state", "saved state", "D-Bus", "Zeroconf",
        "network interface", "IPv6", "port", "checkers", "open files",
    }  # fmt: skip
    assert re.fullmatch(r"\d+ ok, \d warning, 0 failed, 0 not checked", lines[-1])


def test_nothing_is_changed(own: Setup) -> None:
    """Neither the files nor the bus show that there was a check."""
    _start_bus(own.host, OWN)
    own.make_database()
    before = own.files()
    own.check()
    assert own.status == 0
    assert own.files() == before
    assert NAME not in own.host.run("busctl", "list").decode()


def test_failure_has_its_own_exit_status(setup: Setup) -> None:
    """One failure is enough for status 1; warnings are not."""
    setup.check("--no-dbus")
    assert setup.status == 0
    setup.clients.chmod(0o644)
    lines = setup.check("--no-dbus")
    assert setup.status == 1
    assert ", 1 failed, " in lines[-1]


def test_terminal_gets_colours(own: Setup) -> None:
    """There, what mends it stands on a line of its own."""
    own.clients.chmod(0o644)
    own.host.path("/dev/pts").mkdir()
    own.host.run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", "/dev/pts")
    own.host.path("/dev/ptmx").symlink_to("pts/ptmx")
    command = shlex.join([ours().server, "--check", "--no-dbus", *own.options])
    terminal = own.host.start("script", "--quiet", "--return", "--command", command, "/dev/null")
    assert terminal.wait() == 1
    lines = [line.rstrip("\r") for line in terminal.lines]
    place = next(number for number, line in enumerate(lines) if "secrets: everyone" in line)
    assert lines[place].startswith("\x1b[1;31mfailed     \x1b[0m secrets: everyone can read ")
    assert lines[place + 1] == f"{'':11} -> run: chmod o-rwx {own.name}/config/clients.conf"


def test_ordinary_user_is_told_what_was_not_checked(setup: Setup) -> None:
    """What only root can see is said to be not checked, and is no failure."""
    lines = setup.check("--no-dbus", "--port", "80", user="nobody")
    assert setup.status == 0, lines
    unknown = {line.split(": ")[1] for line in lines if line.startswith("not checked: ")}
    assert unknown == {"server's user", "Python's files", "clients", "state directory", "port"}
    assert all(
        "to mend it: run mandos --check as root" in line
        for line in lines
        if line.startswith("not checked: ")
    )
    assert not [line for line in lines if line.startswith("failed: ")]


def test_directory_that_is_closed_to_an_ordinary_user(setup: Setup) -> None:
    """Not even whether something is there is known, and that is what is said."""
    (setup.path / "closed").mkdir(0o700)
    options = ("--no-dbus", "--statedir", f"{setup.name}/closed/there/state")
    line = setup.about("state directory", *options, user="nobody")
    assert line.startswith("not checked: state directory: ")
    assert "Permission denied" in line
    assert setup.status == 0


def test_ordinary_user_can_check_what_is_his(setup: Setup) -> None:
    """A server that somebody runs for himself is checked like any other."""
    for path in (setup.clients, setup.config, setup.state):
        shutil.chown(path, "nobody", "nogroup")
    setup.make_database()
    for file in setup.state.iterdir():
        shutil.chown(file, "nobody", "nogroup")
    lines = setup.check("--no-dbus", user="nobody")
    assert setup.status == 0, lines
    good = {line.split(": ")[1] for line in lines if line.startswith("ok: ")}
    assert good >= {"clients", "secrets", "state directory", "saved state", "port"}


# Users and files


def test_user_that_is_not_there(own: Setup) -> None:
    """Without a user of its own the server would share one with others."""
    passwd = own.host.path("/run/passwd")
    lines = Path("/etc/passwd").read_text(encoding="utf-8").splitlines(keepends=True)
    passwd.write_text("".join(line for line in lines if "mandos" not in line), encoding="utf-8")
    own.host.run("mount", "--bind", "/run/passwd", "/etc/passwd")
    line = own.about("server's user", "--no-dbus")
    assert line.startswith("warning: ")
    assert "the server would run as nobody" in line
    assert "adduser --system" in line


def test_few_descriptors(setup: Setup) -> None:
    """A limit that is too low for all clients at once is a warning, with the numbers."""
    command = (ours().server, "--check", "--no-dbus", *setup.options)
    process = setup.host.start("prlimit", "--nofile=100:100", *command)
    assert process.wait() == 0
    said = "^warning: open files: 1 clients .* up to 321, and this machine allows 100;"
    assert re.search(said, process.log, re.MULTILINE)


# GnuTLS


def test_gnutls_that_cannot_be_loaded(setup: Setup) -> None:
    """A library that is broken is a failure like others, and the other checks go on."""
    (setup.path / "libgnutls.so.30").write_bytes(b"")
    line = setup.about("GnuTLS", "--no-dbus", LD_LIBRARY_PATH=setup.name)
    assert line.startswith("failed: GnuTLS: the GnuTLS library cannot be loaded: ")
    assert line.endswith("; to mend it: install libgnutls30")
    assert setup.status == 1


def test_gnutls_that_is_forbidden_what_it_needs(setup: Setup) -> None:
    """A policy of the whole system against TLS 1.3 is found by the handshake."""
    policy = "[overrides]\ndisabled-version = tls1.3\n"
    (setup.path / "gnutls.conf").write_text(policy)
    file = f"{setup.name}/gnutls.conf"
    line = setup.about("GnuTLS", "--no-dbus", GNUTLS_SYSTEM_PRIORITY_FILE=file)
    assert line.startswith("failed: GnuTLS: a client with a raw public key cannot get its secret: ")
    assert "/etc/gnutls/config" in line


# Configuration


def test_every_problem_of_the_clients_is_shown(setup: Setup) -> None:
    """A line for each, and the hint with the last."""
    setup.clients.write_text(f"{SECTION}timeout = soon\ninterval = never\n[beta]\n")
    lines = [line for line in setup.check("--no-dbus") if ": clients: " in line]
    assert [line.partition(":")[0] for line in lines] == ["failed"] * 4
    assert [line.split(": ")[3] for line in lines] == ["line 5", "line 6", "line 7", "line 7"]
    assert "; to mend it: " in lines[-1]


def test_remarks_on_the_configuration(setup: Setup) -> None:
    """Names that are not known are shown, though the server only ignores them."""
    setup.clients.write_text(f"{SECTION}tiemout = PT5M\n")
    (setup.config / "mandos.conf").write_text("[DEFAULT]\nuse_zeroconf = yes\n")
    lines = setup.check("--no-dbus")
    remarks = [line for line in lines if line.startswith("warning: ") and "unknown option" in line]
    assert ["tiemout" in line for line in remarks] == [False, True]
    assert remarks[0].startswith("warning: mandos.conf: ")


def test_secrets_that_no_client_will_open(setup: Setup) -> None:
    """A machine that would not come up again is known before it goes down."""
    for secret, said in ((b"hello", "not an OpenPGP message"), (b"\xd4\x01\x01", "OCB")):
        text = SECTION.replace(SECRET, base64.b64encode(secret).decode())
        setup.clients.write_text(text)
        lines = [line for line in setup.check("--no-dbus") if "the secret of alpha" in line]
        assert len(lines) == 1
        assert lines[0].startswith("warning: clients: the secret of alpha: ")
        assert said in lines[0]
        assert "; to mend it: run mandos-keygen --password on the client" in lines[0]


def test_no_clients(setup: Setup) -> None:
    """A server without clients is good for nothing."""
    setup.clients.write_text("[DEFAULT]\n")
    lines = [line for line in setup.check("--no-dbus") if ": clients: " in line]
    assert lines[0].startswith("warning: clients: there are no clients in ")
    setup.clients.unlink()
    assert setup.about("clients", "--no-dbus").startswith("failed: ")


def test_configuration_that_cannot_be_reloaded(setup: Setup) -> None:
    """The server reloads as its own user; the command that is shown makes that work."""
    setup.clients.chmod(0o600)
    line = setup.about("reload", "--no-dbus")
    assert line.startswith("warning: reload: the user _mandos may not read ")
    assert setup.status == 0
    setup.mend(line)
    assert setup.about("reload", "--no-dbus").startswith("ok: ")


def test_secret_file_that_cannot_be_reloaded(setup: Setup) -> None:
    """Secrets in files of their own count as well, and the directories above them."""
    closed = setup.path / "closed"
    closed.mkdir(0o700)
    (closed / "secret").write_bytes(b"sealed")
    setup.clients.write_text(f"[a]\nkey_id = {'ab' * 32}\nsecfile = {setup.name}/closed/secret\n")
    line = setup.about("reload", "--no-dbus")
    assert line.startswith("warning: reload: ")
    assert "/closed" in line


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o644, "failed: secrets: everyone can read "),
        (0o642, "failed: secrets: everyone can change "),
    ],
)
@pytest.mark.parametrize("which", ["clients.conf", "clients.d/x.conf", "secret"])
def test_secrets_that_are_open_to_all(setup: Setup, mode: int, said: str, which: str) -> None:
    """Every file that holds one is looked at; the command that is shown closes it."""
    (setup.config / "clients.d").mkdir(0o755)
    (setup.config / "clients.d" / "x.conf").write_text(
        f"[beta]\nkey_id = {'cd' * 32}\nsecfile = {setup.name}/config/secret\nchecker = ls\n"
    )
    (setup.config / "secret").write_bytes(b"sealed")
    for name in ("clients.conf", "clients.d/x.conf", "secret"):
        shutil.chown(setup.config / name, "root", "_mandos")
        (setup.config / name).chmod(0o640)
    (setup.config / which).chmod(mode)
    line = setup.about("secrets", "--no-dbus")
    assert line.startswith(f"{said}/config/{which};")
    assert setup.status == 1
    setup.mend(line)
    assert setup.about("secrets", "--no-dbus").startswith("ok: secrets: no other user ")


def test_secrets_that_are_others(setup: Setup) -> None:
    """A file that another user owns can be changed by him; a group of others can read it."""
    shutil.chown(setup.clients, "nobody", "nogroup")
    lines = [line for line in setup.check("--no-dbus") if ": secrets: " in line]
    assert [line.partition(":")[0] for line in lines] == ["failed", "warning"]
    assert "the group nogroup can read" in lines[1]


# State


def test_state_directory_that_is_not_there(setup: Setup) -> None:
    """The server makes it, unless it cannot."""
    setup.state.rmdir()
    assert setup.about("state directory", "--no-dbus").startswith("ok: ")
    assert not setup.state.exists()
    line = setup.about("state directory", "--no-dbus", "--statedir", "/nonexistent/state")
    assert line.startswith("failed: ")
    assert "/nonexistent is no directory" in line


def test_state_directory_of_another(setup: Setup) -> None:
    """It has to be the server's user's alone; the commands that are shown make it so."""
    shutil.chown(setup.state, "root", "root")
    line = setup.about("state directory", "--no-dbus")
    assert line.startswith("failed: ")
    assert "/state belongs to root, not to _mandos: the server uses the state" in line
    setup.mend(line)
    assert setup.about("state directory", "--no-dbus").startswith("ok: ")
    setup.state.chmod(0o755)
    lines = [line for line in setup.check("--no-dbus") if ": state directory: " in line]
    assert [line.partition(":")[0] for line in lines] == ["warning", "ok"]
    setup.state.chmod(0o777)
    assert setup.about("state directory", "--no-dbus").startswith("failed: ")


def test_saved_state_of_another_is_sound(setup: Setup) -> None:
    """After a restore the files belong to root: that is what is said, and not that of a damage."""
    shutil.chown(setup.make_database(), "root", "root")
    lines = setup.check("--no-dbus")
    (failed,) = [line for line in lines if line.startswith("failed: ")]
    assert "/state/mandos.db belongs to root, not to _mandos" in failed
    assert [line for line in lines if "is sound (schema" in line]
    setup.mend(failed.replace(setup.name, ""))
    setup.check("--no-dbus")
    assert setup.status == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("size=16k", "failed: state directory: the disk of /state is full: "),
        ("size=100k", "failed: state directory: the user _mandos cannot keep a database in "),
        ("size=1m,nr_inodes=1", "the disk of /state has no room for more files"),
        ("ro", "the file system of /state is mounted read-only"),
    ],
)
def test_disk_that_takes_nothing(own: Setup, options: str, said: str) -> None:
    """A disk that is full, by bytes or by files, or cannot be written, is found by writing."""
    there = f"{own.name}/state"
    owner = own.state.stat()
    ids = f"uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    own.host.run("mount", "-t", "tmpfs", "-o", f"{options},{ids}", "tmpfs", there)
    line = own.about("state directory", "--no-dbus")
    assert line.startswith("failed: ")
    assert said in line


def test_disk_that_is_nearly_full(own: Setup) -> None:
    """Room for today but not for all that will be kept is a warning."""
    there = f"{own.name}/state"
    owner = own.state.stat()
    ids = f"uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    own.host.run("mount", "-t", "tmpfs", "-o", f"size=8m,{ids}", "tmpfs", there)
    line = own.about("space for the state", "--no-dbus")
    assert line.startswith("warning: space for the state: 8 MiB are free for /state, and it may ")


def test_database_that_is_sound(setup: Setup) -> None:
    """Its format is named; nothing is left beside it."""
    setup.make_database()
    before = setup.files()
    lines = [line for line in setup.check("--no-dbus") if ": saved state: " in line]
    assert [line.replace(setup.name, "") for line in lines] == [
        f"ok: saved state: /state/{DATABASE} is sound (schema {SCHEMA_VERSION})",
        f"ok: saved state: /state/{WITNESS} can be read",
    ]
    assert setup.files() == before


def _about_database(setup: Setup) -> str:
    (setup.state / WITNESS).unlink()
    before = setup.files()
    line = setup.about("saved state", "--no-dbus")
    assert setup.files() == before
    return line


def test_database_that_is_damaged(setup: Setup) -> None:
    """Damage in the midst of it is found, not only a wrong beginning."""
    database = setup.make_database()
    data = bytearray(database.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    database.write_bytes(data)
    assert f"failed: saved state: /state/{DATABASE} is damaged: " in _about_database(setup)


def test_file_that_is_no_database(setup: Setup) -> None:
    """What SQLite does not know is damaged too."""
    setup.make_database().write_bytes(b"not a database" * 1000)
    assert "is damaged: file is not a database; to mend it: " in _about_database(setup)


def test_database_of_a_newer_version(setup: Setup) -> None:
    """A downgrade is found before it happens."""
    setup.make_database()
    setup.host.run(sys.executable, "-c", MAKE_NEWER, f"{setup.name}/state/{DATABASE}")
    line = _about_database(setup)
    assert f"was written by a newer version of mandos (schema {SCHEMA_VERSION + 1})" in line
    assert line.startswith("failed: ")


def test_database_that_a_crash_left(setup: Setup) -> None:
    """What stands only in the log beside the database counts, and stays there."""
    setup.make_database()
    setup.host.run(sys.executable, "-c", CRASH, f"{setup.name}/state/{DATABASE}")
    for file in setup.state.iterdir():
        shutil.chown(file, "_mandos", "_mandos")
    assert (setup.state / f"{DATABASE}-wal").stat().st_size
    assert "was written by a newer version of mandos (schema 99)" in _about_database(setup)


def test_database_that_is_gone(setup: Setup) -> None:
    """The list of disabled clients tells that there was one."""
    setup.make_database().unlink()
    lines = [line for line in setup.check("--no-dbus") if ": saved state: " in line]
    assert lines[0].startswith("failed: saved state: ")
    assert f"{DATABASE} is missing, although " in lines[0]


def test_list_of_disabled_clients_that_is_damaged(setup: Setup) -> None:
    """It is the second witness, and has to be sound as well."""
    setup.make_database()
    (setup.state / WITNESS).write_text("rubbish\n")
    lines = [line for line in setup.check("--no-dbus") if ": saved state: " in line]
    assert [line.partition(":")[0] for line in lines] == ["ok", "failed"]
    assert setup.status == 1


# A running server


def test_server_that_runs(own: Setup) -> None:
    """Its port, its state and its name on the bus are seen to be in its hands; nothing fails."""
    _start_bus(own.host, OWN)
    options = (*own.options, "--port", "4711", "--no-zeroconf", "--no-dbus")
    with own.host.start(ours().server, *options, "--foreground") as server:
        server.wait_for("serving 1 clients on port")
        own.host.syslog.wait_for("serving 1 clients on port")
        lines = own.check("--port", "4711", "--no-zeroconf")
        assert own.status == 0, lines
        shown = "\n".join(lines)
        assert re.search(
            r"^ok: saved state: a server uses it: mandos \(process \d+\)$", shown, re.MULTILINE
        )
        assert re.search(
            r"^warning: port: port 4711 is in use by mandos \(process \d+\), a Mandos server",
            shown, re.MULTILINE,
        )  # fmt: skip
        assert f"{DATABASE} is sound" in shown
        assert server.terminate() == 0
    assert not [line for line in own.check("--port", "4711") if "is in use" in line]


# The bus and Avahi


def test_machine_without_a_bus(setup: Setup) -> None:
    """Who wants D-Bus has to have it; who does not is not bothered."""
    line = setup.about("D-Bus")
    assert line.startswith("warning: D-Bus: cannot connect to the system bus: ")
    assert line.endswith("or set use_dbus = no in mandos.conf")
    assert not [line for line in setup.check("--no-dbus") if ": D-Bus: " in line]


def test_bus_without_a_policy(own: Setup) -> None:
    """The bus is asked as the server's user, for root may do more."""
    _start_bus(own.host, f'<policy user="root"><allow own="{NAME}"/></policy>')
    line = own.about("D-Bus")
    assert line.startswith(f"failed: D-Bus: the user _mandos may not own the name {NAME}: ")
    assert "/usr/share/dbus-1/system.d/mandos.conf" in line
    unknown = own.about("D-Bus", user="nobody")
    assert unknown.startswith("not checked: D-Bus: the user nobody may not own the name ")


@pytest.mark.parametrize(("user", "outcome"), [("_mandos", "ok"), ("root", "warning")])
def test_name_that_somebody_has(own: Setup, user: str, outcome: str) -> None:
    """A running server's process is named; one of another user is in the way."""
    root = f'<policy user="root"><allow own="{NAME}"/></policy>'
    _start_bus(own.host, OWN + root)
    with _running(own.host, OWNER, user, NAME) as owner:
        line = own.about("D-Bus")
        assert owner.running
    assert line.startswith(f"{outcome}: D-Bus: ")
    assert re.search(r"python[0-9.]* \(process \d+\)", line)


def test_avahi_announces_or_the_server_does(own: Setup) -> None:
    """Without Avahi the server does it itself; with Avahi that is what is said."""
    assert own.about("Zeroconf", "--no-dbus") == (
        "ok: Zeroconf: Avahi is not on the system bus; the server announces itself"
    )
    _start_bus(own.host, "")
    assert "the server announces itself" in own.about("Zeroconf", "--no-dbus")
    avahi = start_avahi(own.host)
    assert own.about("Zeroconf", "--no-dbus") == "ok: Zeroconf: Avahi announces the server"
    avahi.signal(signal.SIGSTOP)
    line = own.about("Zeroconf", "--no-dbus")
    avahi.signal(signal.SIGCONT)
    os.kill(avahi._popen.pid, signal.SIGCONT)  # nsenter stops with what it started
    assert line.startswith("warning: Zeroconf: Avahi runs, but does not answer: no answer within")


def test_bus_that_keeps_avahi_from_the_server(own: Setup) -> None:
    """A policy can forbid the server's user what root may do."""
    denied = '<policy user="_mandos"><deny send_destination="org.freedesktop.Avahi"/></policy>'
    _start_bus(own.host, denied)
    start_avahi(own.host)
    line = own.about("Zeroconf", "--no-dbus")
    assert line.startswith("warning: Zeroconf: Avahi runs, but does not answer: ")


def test_multicast_port_that_another_keeps(setup: Setup) -> None:
    """Without Avahi and with somebody else on port 5353 nobody can announce the server."""
    with _running(setup.host, HOLD_MULTICAST):
        line = setup.about("Zeroconf", "--no-dbus")
    assert line.startswith("failed: Zeroconf: ")
    assert "Address already in use" in line


# The network


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eth0", "ok: network interface: eth0 is up"),
        ("nosuch0", "warning: network interface: nosuch0 does not exist"),
        ("off0", "warning: network interface: off0 is not up"),
    ],
)
def test_interface_that_was_named(own: Setup, name: str, said: str) -> None:
    """It should be there and up; the server waits for it otherwise."""
    own.host.run("ip", "link", "add", "off0", "type", "veth", "peer", "off1")
    assert own.about("network interface", "--no-dbus", "--interface", name).startswith(said)
    assert own.status == 0


def test_link_without_ipv6(own: Setup) -> None:
    """Clients look for a link-local IPv6 address."""
    assert own.about("IPv6", "--no-dbus") == "ok: IPv6: there is a link-local address on eth0"
    own.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    line = own.about("IPv6", "--no-dbus")
    assert line.startswith("warning: IPv6: there is no link-local address on eth0, ")
    assert not [line for line in own.check("--no-dbus", "--no-ipv6") if ": IPv6: " in line]


def test_port_that_another_has(setup: Setup) -> None:
    """The program that has it is named; to an ordinary user, its owner."""
    with _running(setup.host, LISTEN):
        line = setup.about("port", "--no-dbus", "--port", "4711")
        assert re.match(
            r"failed: port: port 4711 is in use by python[0-9.]* \(process \d+\);", line
        )
        assert setup.status == 1
        line = setup.about("port", "--no-dbus", "--port", "4711", user="nobody")
        assert line.startswith("failed: port: port 4711 is in use by a program of the user root;")
    assert setup.about("port", "--no-dbus", "--port", "4711").startswith("ok: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--address", "2001:db8::1"), "cannot listen on 2001:db8::1 port any: Cannot assign"),
        (("--socket", "99"), "--socket 99 is not an open socket: Bad file descriptor"),
        (("--socket", "0"), "--socket 0 is not an open socket: "),
    ],
)
def test_place_where_nobody_can_listen(setup: Setup, options: tuple[str, ...], said: str) -> None:
    """An address of no interface and a descriptor that is no socket are failures."""
    line = setup.about("port", "--no-dbus", *options)
    assert line.startswith(f"failed: port: {said}")


# Checkers


def test_checkers_that_cannot_be_started(setup: Setup) -> None:
    """A program that is missing is named with its clients; one that only root has, too."""
    closed = setup.path / "closed"
    closed.mkdir(0o700)
    shutil.copy("/bin/true", closed / "probe")
    checkers = ["nosuch %%(host)s", "nosuch -v", f"{setup.name}/closed/probe", "$PROBE", "ls", ":"]
    setup.clients.write_text(
        f"[DEFAULT]\nsecret = {SECRET}\n"
        + "".join(
            f"[c{n}]\nkey_id = {n:064x}\nchecker = {it}\n" for n, it in enumerate(checkers, 1)
        )
    )
    lines = [line for line in setup.check("--no-dbus") if ": checkers: " in line]
    assert [line.replace(setup.name, "").partition(";")[0] for line in lines] == [
        "failed: checkers: the user _mandos has no program /closed/probe, needed by c3",
        f"ok: checkers: the user _mandos has {shutil.which('ls')}",
        "failed: checkers: the user _mandos has no program nosuch, needed by c1, c2",
        "not checked: checkers: the checkers of c4 do not begin with the plain name of a program",
    ]


def test_default_checker_is_looked_for(setup: Setup) -> None:
    """It is fping."""
    setup.clients.write_text(SECTION.replace("checker = ls", ""))
    assert setup.about("checkers", "--no-dbus").endswith("fping")
