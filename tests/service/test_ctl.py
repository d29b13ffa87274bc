# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-ctl with real servers of both families, beside the reference's mandos-ctl.

The two programs talk to the same server in turn.  Its clients are checked once in weeks, so
nothing changes by itself between two runs.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_system_bus
from harness.bus_server import CONFIG, BusServer
from harness.families import ours, reference
from harness.host import Host
from harness.patience import is_readable
from harness.process import PATIENCE, Process
from mandos.admin.client import Client
from mandos.admin.ctl import table
from mandos.client_settings import BY_PROPERTY, ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.families import Family

pytestmark = pytest.mark.peer

FAMILIES = {"reference": reference, "ours": ours}
NAMES = ("alpha", "b.e-ta", "gamma", "left", "right", "gone-1", "gone-2")
SETTINGS = {
    "alpha": "checker = true",
    "b.e-ta": "host = beta\napproval_delay = PT30S\napproved_by_default = no",
    "gamma": "enabled = no\nextended_timeout = P1Y2M3DT4H5M6S",
}
#: As this program, with all that it needs loaded, but as somebody whom the bus does not trust.
AS_NOBODY = """
import os, sys
import shutil, mandos.admin.proxy
from mandos.admin.ctl.main import main
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(main(sys.argv[1:]))
"""
DENYING = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="nobody">
    <deny send_destination="se.recompile.Mandos"/>
  </policy>
</busconfig>
"""
#: What a shell makes of a command line when the tabulator key is pressed, one word for each line.
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_mandos_ctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
source $argv[1]
complete -C "$argv[2..]" | string replace -r '\\t.*' ''
"""


def _clients_conf(names: Sequence[str] = NAMES) -> str:
    text = "[DEFAULT]\ntimeout = P3W\ninterval = P1W\nchecker = sleep 1000000\n"
    for number, name in enumerate(names, 1):
        text += (
            f"[{name}]\nkey_id = {number:064x}\nfingerprint = {number:040x}\n"
            f"host = {name}.example.org\nsecret = aGVsbG8=\n{SETTINGS.get(name, '')}\n"
        ).replace(f"host = {name}.example.org\n", "" if name == "b.e-ta" else "host = there\n")
    return text


class Desk:
    """Where an administrator sits: the programs of both families, and a server to talk to."""

    def __init__(self, host: Host, server: BusServer) -> None:
        self.host = host
        self.server = server
        self.environment = os.environ | {
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={host.path('/run/dbus/system_bus_socket')}",
            "PATH": f"{Path(ours().ctl).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }

    def run(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end, whatever that is."""
        return subprocess.run(
            command, input=stdin, capture_output=True, env=self.environment, check=False
        )

    def ctl(self, *words: str, stdin: bytes = b"") -> str:
        """Run our mandos-ctl to its successful end; return what it prints."""
        done = self.run(ours().ctl, *words, stdin=stdin)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def fails(self, status: int, *words: str, stdin: bytes = b"") -> str:
        """Run our mandos-ctl, which ends with this status and prints nothing; return its error."""
        done = self.run(ours().ctl, *words, stdin=stdin)
        assert (done.returncode, done.stdout) == (status, b""), done
        return done.stderr.decode()

    def terminal(self, *words: str, columns: int = 100, **environment: str) -> str:
        """Run our mandos-ctl on a terminal; return what arrives there."""
        master, slave = pty.openpty()
        set_size = ["stty", "columns", str(columns), "rows", "24"]
        subprocess.run(set_size, stdin=slave, check=True)
        environment = self.environment | {"TERM": "xterm-256color"} | environment
        with subprocess.Popen([ours().ctl, *words], stdout=slave, env=environment) as program:
            os.close(slave)
            shown = b""
            while chunk := _read(master):
                shown += chunk
            os.close(master)
        assert program.returncode == 0, shown
        return shown.decode().replace("\r\n", "\n")

    def watch(self, *words: str) -> Process:
        """Start our mandos-ctl --watch."""
        return Process([ours().ctl, "--watch", *words], environment=self.environment)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody has the other end open
        return b""


@contextmanager
def _desk(family: Family, clients: str) -> Iterator[Desk]:
    with Host("server") as host:
        start_system_bus(host)
        server = BusServer(host, family, clients)
        path = host.path(f"{CONFIG}/clients.conf")
        shutil.chown(path, group="_mandos")
        path.chmod(0o640)  # our server reads it anew as itself
        server.start()
        yield Desk(host, server)


@pytest.fixture(scope="module", params=["reference", "ours"])
def desk(_possible: None, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A server of each family."""
    with _desk(FAMILIES[request.param](), _clients_conf()) as desk:
        yield desk


@pytest.fixture(params=["reference", "ours"])
def own_desk(_possible: None, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The same, for one test alone, which may end the server."""
    with _desk(FAMILIES[request.param](), _clients_conf()) as desk:
        yield desk


@pytest.fixture(scope="module")
def our_desk(_possible: None) -> Iterator[Desk]:
    """Our server, for what the reference's does not offer."""
    with _desk(ours(), _clients_conf(("alpha", "gamma", "delta"))) as desk:
        yield desk


SHOWING = [
    [],
    ["--verbose"],
    ["-v"],
    ["--dump-json"],
    ["-j"],
    ["gamma", "alpha"],
    ["-v", "b.e-ta", "alpha", "b.e-ta"],
    ["-j", "gamma", "gamma", "left"],
    ["--debug", "alpha"],
    ["--", "alpha"],
]


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_shows_the_same(desk: Desk, words: list[str]) -> None:
    """What scripts read is the same, byte for byte."""
    desk.ctl("--bump-timeout", "alpha")
    theirs = desk.run(reference().ctl, *words)
    assert theirs.returncode == 0, theirs
    assert _without_ours(desk.ctl(*words)).encode() == theirs.stdout


def _without_ours(shown: str) -> str:
    """The output without the properties that only our server has; they stand last."""
    names = table.OURS
    if shown.startswith("{"):
        clients = json.loads(shown)
        if not any(name in values for name in names for values in clients.values()):
            return shown
        for values in clients.values():
            for name in names:
                values.pop(name, None)
        return json.dumps(clients, indent=4) + "\n"
    for name in reversed(names):
        default: object = ""  # of a date: it never happened
        if name in BY_PROPERTY:
            default = getattr(ClientSettings(name="x", secret=b"x"), BY_PROPERTY[name].name)
        if isinstance(default, timedelta):
            default //= timedelta(milliseconds=1)
        heading, cell = table.table([Client("", {name: default})], [name]).splitlines()
        if f" {heading}\n" in shown:
            shown = shown.replace(f" {heading}\n", "\n").replace(f" {cell}\n", "\n")
    return shown


def test_shows_odd_values_the_same(desk: Desk) -> None:
    """Settings with any character look as they do with the reference."""
    desk.ctl("--checker", 'é "\t\\ 日本 \x1b[31m', "--host", "a\nb", "--timeout", "P5W", "left")
    for words in (["left"], ["-v", "left"], ["-j"]):
        theirs = desk.run(reference().ctl, *words).stdout
        assert _without_ours(desk.ctl(*words)).encode() == theirs


ACTS = [
    ["--enable"],
    ["-d"],
    ["-e", "-b"],
    ["--bump-timeout"],
    ["--start-checker"],
    ["--stop-checker"],
    ["--checker", "ping -c1 -- %(host)s"],
    ["-c", ""],
    ["--timeout", "PT5M30S"],
    ["-t", "PT1H0M5S"],
    ["-t", "5m 30s"],
    ["-t", "1h30m"],
    ["-t", " 1w2d"],
    ["-t", "P2W"],
    ["--extended-timeout=PT1H"],
    ["-i", "P2DT20S"],
    ["--interval", "P1D"],
    ["--approve-by-default"],
    ["--deny-by-default"],
    ["--approval-delay", "PT0S"],
    ["--approval-delay=1m"],
    ["--approval-duration", "PT10S"],
    ["-H", "somewhere.example.org"],
    ["--host="],
    ["--approve"],
    ["-A", "-e"],
    ["--deny"],
    ["-D", "--disable", "--stop-checker"],
    ["-e", "-t", "P1W", "-c", "true", "-i", "P1D", "-H", "x", "--deny-by-default", "-A"],
    ["--tim", "PT7M"],
]
#: Sets everything that the acts change to what it was.
RESET = (
    *("--enable", "--stop-checker", "-c", "sleep 1000000", "-t", "P3W", "-i", "P1W", "-H", "there"),
    *("--extended-timeout", "PT15M", "--approve-by-default"),
    *("--approval-delay", "PT0S", "--approval-duration", "PT1S"),
)
#: What differs between two clients, or from one moment to the next.
OWN = {"Name", "KeyID", "Fingerprint", "Created", "Expires", "LastEnabled", "LastCheckedOK"}
OWN |= {"LastCheckerStatus"}
#: And whether a checker runs, where the interval is changed: the reference then begins one, soon.


@pytest.mark.parametrize("words", ACTS, ids=" ".join)
def test_does_the_same(desk: Desk, words: list[str]) -> None:
    """Every action of either program leaves the client in the same condition."""
    desk.ctl(*RESET, "left", "right")
    theirs = desk.run(reference().ctl, *words, "left")
    assert (theirs.returncode, theirs.stdout) == (0, b""), theirs
    assert desk.ctl(*words, "right") == ""
    clients = json.loads(desk.ctl("--json", "left", "right"))
    own = OWN | ({"CheckerRunning"} if {"-i", "--interval"} & set(words) else set())
    left, right = (
        {name: value for name, value in clients[client].items() if name not in own}
        for client in ("left", "right")
    )
    assert right == left


def test_secret_arrives(desk: Desk) -> None:
    """A secret is taken from a file or from standard input; what cannot be one is warned of."""
    done = desk.run(ours().ctl, "--secret", "-", "left", stdin=b"")  # our server refuses it
    assert b"standard input: it is empty: the client will get nothing" in done.stderr
    done = desk.run(ours().ctl, "--secret", "-", "left", stdin=b"hello")
    assert b"warning: standard input: not an OpenPGP message" in done.stderr
    done = desk.run(ours().ctl, "--secret", "-", "left", stdin=b"\xd2\x01\x01")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "cannot read /nowhere: No such file" in desk.fails(78, "-s", "/nowhere", "left")


REFUSED = [
    ["--enable"],
    ["--all"],
    ["--all", "--verbose"],
    ["--enable", "--disable", "alpha"],
    ["--start-checker", "--stop-checker", "alpha"],
    ["--approve", "--deny", "alpha"],
    ["--approve-by-default", "--deny-by-default", "alpha"],
    ["--remove", "--enable", "alpha"],
    ["--remove", "--approve", "alpha"],
    ["--remove"],
    ["--verbose", "--dump-json"],
    ["--verbose", "--enable", "alpha"],
    ["--dump-json", "--enable", "alpha"],
    ["--is-enabled"],
    ["--is-enabled", "alpha", "gamma"],
    ["--is-enabled", "--verbose", "alpha"],
    ["--timeout", "-5m", "alpha"],
    ["--bogus"],
    ["--timeout"],
]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refuses_the_same(desk: Desk, words: list[str]) -> None:
    """What the reference refuses is refused, before anything is done."""
    before = desk.ctl("--json")
    assert desk.run(reference().ctl, *words).returncode == 2
    assert desk.fails(64, *words).startswith("mandos-ctl: ")
    assert desk.ctl("--json") == before


REFUSED_BY_US = [
    ["--enable", "--all", "gamma"],
    ["--is-enabled", "--enable", "gamma"],
    ["--enable", "--is-enabled", "gamma"],
    ["--is-enabled", "--all"],
    ["--timeout", "x", "gamma"],
    ["--timeout", "90", "gamma"],
    ["--timeout", "", "gamma"],
    ["--timeout", "PT1H5S", "gamma"],
]


@pytest.mark.parametrize("words", REFUSED_BY_US, ids=" ".join)
def test_refuses_what_has_no_sense(desk: Desk, words: list[str]) -> None:
    """What the reference takes in a way nobody can mean is an error: an intended difference."""
    before = desk.ctl("--json")
    desk.fails(64, *words)
    assert desk.ctl("--json") == before


@pytest.mark.parametrize(("name", "status"), [("alpha", 0), ("gamma", 1)])
def test_is_enabled(desk: Desk, name: str, status: int) -> None:
    """--is-enabled answers by its exit status, as the reference does, and prints nothing."""
    for ctl in (ours().ctl, reference().ctl):
        done = desk.run(ctl, "--is-enabled", name)
        assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_no_such_client(desk: Desk) -> None:
    """A name that no client has is an error of its own, with the nearest names."""
    error = desk.fails(67, "--is-enabled", "alhpa")
    assert error == (
        "mandos-ctl: the server has no client 'alhpa'\nmandos-ctl: hint: did you mean alpha?\n"
    )
    assert desk.run(reference().ctl, "--is-enabled", "alhpa").returncode == 1
    before = desk.ctl("--json", "gamma")
    assert "no clients 'x', ''" in desk.fails(67, "--enable", "gamma", "x", "")
    assert desk.ctl("--json", "gamma") == before


def test_remove(desk: Desk) -> None:
    """--remove removes, alone or together with --deny, whatever the order."""
    desk.ctl("--remove", "--deny", "gone-1")
    desk.ctl("-r", "gone-2")
    assert json.loads(desk.ctl("-j")).keys() == set(NAMES) - {"gone-1", "gone-2"}


def test_all(desk: Desk) -> None:
    """--all means every client."""
    desk.ctl("--all", "--approval-duration", "PT42S")
    assert {client["ApprovalDuration"] for client in json.loads(desk.ctl("-j")).values()} == {42000}


def test_denied(desk: Desk) -> None:
    """Somebody whom the bus does not let through is told who may."""
    bus = "/run/bus.conf"
    config = desk.host.path(bus)
    open_to_all = config.read_text(encoding="ascii")
    config.write_text(open_to_all.replace("</busconfig>", "") + DENYING.partition("<busconfig>")[2])
    try:
        desk.host.run("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus",
                      "/", "org.freedesktop.DBus.ReloadConfig")  # fmt: skip
        nobody = desk.host.start(sys.executable, "-c", AS_NOBODY, "--enable", "alpha")
        status = nobody.wait()
    finally:
        config.write_text(open_to_all)
        desk.host.run("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus",
                      "/", "org.freedesktop.DBus.ReloadConfig")  # fmt: skip
    assert (status, nobody.stdout) == (77, b""), nobody.report("nobody")
    assert "does not let you" in nobody.log
    assert "the group _mandos may" in nobody.log


def test_terminal(desk: Desk) -> None:
    """On a terminal there is a table for people; colours only where they are wanted."""
    desk.ctl("--bump-timeout", "alpha")
    coloured = desk.terminal("alpha", "gamma")
    assert "\x1b[1mName\x1b[0m" in coloured
    assert "\x1b[1;31mno\x1b[0m" in coloured
    plain = desk.terminal("alpha", "gamma", NO_COLOR="1")
    assert "\x1b" not in plain
    heading, alpha, gamma, total = plain.splitlines()
    assert re.split("  +", heading) == ["Name", "Enabled", "Time left", "Last check",
                                        "What is wrong"]  # fmt: skip
    assert re.match(r"alpha  yes +20 days 23 h +\S.* ", f"{alpha} ")
    assert re.match(r"gamma  no +- +\S.* +disabled", gamma)
    assert total == "2 clients; something is wrong with 1"
    assert "\x1b" not in desk.terminal("alpha", TERM="dumb")


def test_terminal_details(desk: Desk) -> None:
    """On a terminal --verbose shows a client in lines, which fit the terminal."""
    desk.ctl("--checker", " ".join(["word"] * 40), "alpha")
    shown = desk.terminal("--verbose", "alpha", columns=60, NO_COLOR="1")
    assert max(map(len, shown.splitlines())) <= 60
    assert re.search(r"^  approved by default +yes$", shown, re.MULTILINE)


def test_watch(own_desk: Desk) -> None:
    """--watch tells what happens to the clients that are named, across a server's restart."""
    desk = own_desk
    with desk.watch("alpha") as people, desk.watch("--json") as programs:
        seen = people.wait_for("watching 1 client$")
        after = programs.wait_for('"event": "listed"')
        desk.ctl("--timeout", "P2W", "alpha", "b.e-ta")
        seen = people.wait_for("alpha: Timeout is now 14 days$", after=seen)
        programs.wait_for('"event": "changed", "client": "b.e-ta"', after=after)
        desk.ctl("--disable", "alpha")
        seen = people.wait_for("alpha: disabled", after=seen)
        desk.server.process.terminate()
        seen = people.wait_for("the server is gone; waiting for it", after=seen)
        desk.server.start()
        seen = people.wait_for("the server is back", after=seen)
        seen = people.wait_for("watching 1 client$", after=seen)
        desk.ctl("--enable", "alpha")
        people.wait_for("alpha: enabled", after=seen)
        programs.wait_for('"Enabled": true', after=after)
        assert "b.e-ta" not in people.log
    told = [json.loads(line) for line in programs.stdout.splitlines()]
    events = [event["event"] for event in told]
    assert [name for name in events if name.startswith(("server", "listed"))] == [
        *("server-appeared", "listed", "server-vanished", "server-appeared", "listed"),
    ]
    assert all(set(event) >= {"time", "event"} for event in told)


def test_watch_of_no_client(desk: Desk) -> None:
    """A name that the server does not have ends --watch at its beginning."""
    assert "no client 'alhpa'" in desk.fails(67, "--watch", "alhpa")


def test_why(desk: Desk) -> None:
    """--why says in one paragraph whether a client gets its secret now, and what to do."""
    assert desk.ctl("--why", "b.e-ta").startswith("Only if it is approved: b.e-ta waits ")
    desk.ctl("--disable", "left")
    paragraph = desk.ctl("--why", "left")
    assert paragraph.startswith("No: left ")
    assert paragraph.endswith("enable it: mandos-ctl --enable left.\n")
    assert paragraph.count("\n") == 1
    assert ("by an administrator" in paragraph) == (desk.server.family.name == "ours")


def test_what_only_ours_has(desk: Desk) -> None:
    """Where a server does not offer something, that is what is said."""
    done = desk.run(ours().ctl, "--log")
    if desk.server.family.name == "ours":
        assert done.returncode == 0
    else:
        assert (done.returncode, done.stdout) == (76, b"")
        assert b"this server does not offer the audit trail" in done.stderr
    assert "ok: the server answers" in desk.ctl("--check")


def test_completion(desk: Desk, tmp_path: Path) -> None:
    """Shells complete options, and the names of the clients that the server has now."""
    scripts = {}
    for shell in ("bash", "zsh", "fish"):
        scripts[shell] = tmp_path / shell
        scripts[shell].write_text(desk.ctl("--completion", shell), encoding="utf-8")

    def completed(*words: str) -> tuple[list[str], list[str]]:
        bash = desk.run("bash", "-c", BASH, "bash", str(scripts["bash"]), *words)
        fish = desk.run("fish", "--no-config", "-c", FISH, str(scripts["fish"]), *words)
        return bash.stdout.decode().split(), fish.stdout.decode().split()

    assert completed("mandos-ctl", "--enable", "alpha", "b") == (["b.e-ta"], ["b.e-ta"])
    assert completed("mandos-ctl", "--bump") == (["--bump-timeout"], ["--bump-timeout"])
    assert completed("mandos-ctl", "--completion", "z") == (["zsh"], ["zsh"])


def test_completion_in_zsh(desk: Desk, tmp_path: Path) -> None:
    """The script for zsh completes a name at its prompt."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    script = tmp_path / "script"
    script.write_text(desk.ctl("--completion", "zsh"), encoding="utf-8")
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe("zsh", ["zsh", "-f", "-i"], desk.environment | {"TERM": "dumb"})  # noqa: S606 - on a terminal
    try:
        setup = f'PS1=; autoload -Uz compinit; compinit -D -u; eval "$(<{script})"; echo all""set\n'
        os.write(terminal, setup.encode())
        _read_until(terminal, b"allset")
        os.write(terminal, b"mandos-ctl --enable alpha b\t")
        _read_until(terminal, b"b.e-ta ")
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _read_until(terminal: int, wanted: bytes) -> None:
    shown = b""
    while wanted not in shown:
        assert is_readable(terminal, PATIENCE), shown
        shown += os.read(terminal, 65536)


ODD = ("-dash", "two words", "é日本", "quo'te\"$(x)`", "br]ack[et", "*", "a/b%c", "x_y", "x-y")


def test_odd_names(our_desk: Desk) -> None:
    """Clients of any name can be added, listed, changed, asked for and removed."""
    sections = "".join(
        f"[{name}]\nkey_id = {number:064x}\nsecret = aGVsbG8=\n"
        for number, name in enumerate(ODD, 100)
    )
    assert our_desk.ctl("--add", "-", stdin=sections.encode()).splitlines() == list(ODD)
    our_desk.ctl("--host", "odd", "--", *ODD)
    clients = json.loads(our_desk.ctl("-j", "--", *ODD))
    assert {name: client["Host"] for name, client in clients.items()} == dict.fromkeys(ODD, "odd")
    assert our_desk.ctl("--names").splitlines()[-len(ODD) :] == list(ODD)
    our_desk.ctl("--disable", "--", *ODD)
    for name in ODD:
        (advice,) = re.findall(r"enable it: mandos-ctl (.*)\.$", our_desk.ctl("--why", "--", name))
        our_desk.run("sh", "-c", f"{ours().ctl} {advice}")
        assert our_desk.ctl("--is-enabled", "--", name) == ""
    our_desk.ctl("--remove", "--", *ODD)
    assert not set(ODD) & json.loads(our_desk.ctl("-j")).keys()


def test_add_what_is_wrong(our_desk: Desk, tmp_path: Path) -> None:
    """What cannot be added is explained; sections before it are added, and their names printed."""
    section = "[epsilon]\nkey_id = {}\nsecret = aGVsbG8=\n"
    file = tmp_path / "clients"
    file.write_text(section.format("e" * 64) + "[zeta]\nkey_id = x\n", encoding="ascii")
    done = our_desk.run(ours().ctl, "--add", str(file))
    assert (done.returncode, done.stdout) == (76, b"epsilon\n"), done
    assert b"key_id" in done.stderr
    assert "epsilon" in our_desk.fails(76, "--add", "-", stdin=section.format("f" * 64).encode())
    assert "[DEFAULT] cannot be added" in our_desk.fails(78, "--add", "-", stdin=b"[DEFAULT]\n")
    assert "standard input has no section" in our_desk.fails(78, "--add", "-")
    our_desk.ctl("--remove", "epsilon")


def test_reload(our_desk: Desk) -> None:
    """--reload returns when the new configuration is in force, and says what is wrong with it."""
    our_desk.server.configure(_clients_conf(("alpha", "gamma", "delta", "eta")))
    assert our_desk.ctl("--reload") == ""
    assert "eta" in json.loads(our_desk.ctl("-j"))
    our_desk.server.configure("[alpha\n")
    assert "clients.conf" in our_desk.fails(76, "--reload")
    our_desk.server.configure(_clients_conf(("alpha", "gamma", "delta")))
    our_desk.ctl("--reload")
    assert json.loads(our_desk.ctl("-j")).keys() == {"alpha", "gamma", "delta"}


def test_log(our_desk: Desk) -> None:
    """--log has the audit trail of all or of some clients, for people and for programs."""
    our_desk.ctl("--disable", "delta")
    our_desk.ctl("--enable", "delta")
    kinds = [record["kind"] for record in json.loads(our_desk.ctl("--log", "--json", "delta"))]
    assert kinds[-2:] == ["disabled", "enabled"]
    (last,) = json.loads(our_desk.ctl("--log", "--json", "--lines", "1", "delta"))
    assert last["client"] == "delta"
    assert last["first"] == last["last"]
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}", last["last"])
    lines = our_desk.ctl("--log", "delta").splitlines()
    assert lines[0].split() == ["When", "Client", "What"]
    assert re.fullmatch(r"\S+ \S+  delta   enabled: administrator, by .*", lines[-1])
    everything = json.loads(our_desk.ctl("--log", "--json", "--lines", "0"))
    assert [record["number"] for record in everything] == sorted(
        record["number"] for record in everything
    )
    assert "no client 'detla'" in our_desk.fails(67, "--log", "delta", "detla")


def test_why_disabled(our_desk: Desk) -> None:
    """With our server --why knows since when a client is disabled, and by whom."""
    our_desk.ctl("--disable", "delta")
    paragraph = our_desk.ctl("--why", "delta")
    assert re.match(r"No: delta was disabled (just now|\d+ s ago) \(.{19}\) by an admin", paragraph)
    our_desk.ctl("--enable", "delta")


def test_watch_tells_who(our_desk: Desk) -> None:
    """With our server --watch says who disabled a client, once."""
    with our_desk.watch("delta") as watch:
        seen = watch.wait_for("watching 1 client")
        our_desk.ctl("--disable", "delta")
        our_desk.ctl("--enable", "delta")
        watch.wait_for("delta: enabled", after=seen)
        assert watch.log.count("delta: disabled") == 1
        assert re.search("delta: disabled: administrator, by ", watch.log)


def test_output_that_nobody_reads(our_desk: Desk) -> None:
    """When the reader has gone the program ends, and does not complain."""
    command = f"exec 3>&1; {{ {ours().ctl} --watch; echo $? >&3; }} | true"
    done = our_desk.run("bash", "-c", command)
    assert (done.stdout, done.stderr) == (b"141\n", b"")


@pytest.mark.usefixtures("_possible")
def test_no_server_and_no_bus() -> None:
    """Without a server, or without a bus, the error says how to start it."""
    with Host("server") as host:
        bus = start_system_bus(host)
        server = BusServer(host, ours(), "")
        desk = Desk(host, server)
        assert "not running" in (error := desk.fails(69, "--is-enabled", "alpha"))
        assert "hint: start it: systemctl start mandos" in error
        with desk.watch() as watch:
            seen = watch.wait_for("no server is running; waiting for it")
            bus.terminate()
            watch.wait_for("the connection to the system bus is lost", after=seen)
            assert watch.wait() == 69
        assert "start it: systemctl start dbus" in desk.fails(69)
