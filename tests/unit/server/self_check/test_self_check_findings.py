# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of ``--check``, and the checks that need no machine of their own."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mandos.errors import MachineError, MandosError
from mandos.server.config.server_conf import ServerSettings
from mandos.server.self_check import bus, gnutls, machine, report
from mandos.server.self_check.as_user import as_user, in_child
from mandos.server.self_check.checkers import program_of
from mandos.server.self_check.findings import Finding, Outcome, failed, not_checked, ok, warning
from mandos.server.self_check.processes import holder_of_lock, is_mandos, listeners, title
from mandos.server.system.privileges import ServerUser
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = ServerUser(65534, 65534, "nobody")
FACTS = bus.Facts(
    problem="", owner=None, owner_uid=None, name_problem="", avahi_state=None, avahi_problem=""
)

GOOD = ok("port", "it is free")
BAD = failed("port", "it is in use", "run: kill 1")
DOUBTFUL = warning("disk", "nearly full", "make room")
UNKNOWN = not_checked("bus", "no idea")


# The report


@pytest.mark.parametrize(
    ("findings", "status"),
    [([], 0), ([GOOD], 0), ([DOUBTFUL, UNKNOWN], 0), ([GOOD, BAD], 1), ([BAD, GOOD], 1)],
)
def test_only_failures_count(findings: list[Finding], status: int) -> None:
    """The exit status is 1 when anything failed, else 0, on a terminal or not."""
    assert report(findings)[1] == status
    assert report(findings, terminal=True)[1] == status


def test_report_for_a_pipe() -> None:
    """One line for each finding, which begins with the outcome, and one for the sum."""
    assert report([GOOD, DOUBTFUL, BAD, UNKNOWN])[0] == (
        "ok: port: it is free\n"
        "warning: disk: nearly full; to mend it: make room\n"
        "failed: port: it is in use; to mend it: run: kill 1\n"
        "not checked: bus: no idea; to mend it: run mandos --check as root\n"
        "1 ok, 1 warning, 1 failed, 1 not checked\n"
    )


def test_report_for_a_terminal() -> None:
    """The outcome has a colour, and what mends it a line of its own."""
    assert report([GOOD, BAD], terminal=True)[0] == (
        "\x1b[32mok         \x1b[0m port: it is free\n"
        "\x1b[1;31mfailed     \x1b[0m port: it is in use\n"
        "            -> run: kill 1\n"
        "1 ok, 0 warning, 1 failed, 0 not checked\n"
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_report_cannot_be_forged(*, terminal: bool) -> None:
    """A file's name cannot add a line or move the cursor."""
    text, _status = report([failed("x\n", "y\nok: z\x1b[2J", "w\r\n")], terminal=terminal)
    assert len(text.splitlines()) == (3 if terminal else 2)
    assert "\x1b[2J" not in text


# Processes


def test_work_of_another_user() -> None:
    """It is done with that user's rights, in a process of its own, and its answer comes back."""
    answer = as_user(NOBODY, lambda: [os.geteuid(), os.getpid(), "ä\n"])
    assert answer[0] == (NOBODY.uid if os.geteuid() == 0 else os.geteuid())
    assert answer[1] != os.getpid()
    assert answer[2] == "ä\n"


def test_work_that_fails() -> None:
    """It is an error of the machine, and not ours."""
    with pytest.raises(MachineError):
        in_child(lambda: 1 // 0)


def test_holder_of_a_lock_is_found(tmp_path: Path) -> None:
    """As long as it has it."""
    assert holder_of_lock(tmp_path) is None
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert holder_of_lock(tmp_path) == os.getpid()
    os.close(lock)
    assert holder_of_lock(tmp_path) is None


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_listener_on_a_port_is_found(family: socket.AddressFamily, address: str) -> None:
    """With its user and its process; a socket that does not listen is none."""
    with socket.create_server((address, 0), family=family) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection((address, port)):
            assert listeners(port) == [(os.geteuid(), os.getpid())]
    assert listeners(port) == []


def test_process_has_a_title() -> None:
    """Its name and number; one that is gone has no name any more."""
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert title(os.getpid()) == f"{name} (process {os.getpid()})"
    assert title(1 << 30) == f"process {1 << 30}"
    assert not is_mandos(os.getpid())
    assert not is_mandos(1 << 30)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_that_the_user_cannot_read(public: Path) -> None:
    """Each file counts, and so does the way to it."""
    file = public / "module.py"
    file.touch(mode=0o644)
    good = machine.readable([str(file)], NOBODY)
    assert (good.outcome, good.said) == (Outcome.OK, "the user nobody can read all 1 of them")
    closed = public / "closed"
    closed.mkdir(0o700)
    (closed / "module.py").touch(mode=0o644)
    bad = machine.readable([str(file), str(closed / "module.py")], NOBODY)
    assert bad.outcome is Outcome.WARNING
    assert f"cannot read 1 of 2, such as {closed}/module.py" in bad.said


# GnuTLS


def test_client_gets_a_secret() -> None:
    """The handshake is a real one; priority strings that do not fit fail."""
    gnutls.exchange(grammar.PRIORITY, grammar.PRIORITY)
    with pytest.raises(MandosError):
        gnutls.exchange(grammar.PRIORITY, "NORMAL")


@pytest.mark.parametrize(
    ("priority", "outcomes", "said"),
    [
        (grammar.PRIORITY, [Outcome.OK], "gets its secret"),
        ("NORMAL:-CTYPE-ALL:+CTYPE-RAWPK", [Outcome.OK, Outcome.OK], "default priority string can"),
        ("NORMAL", [Outcome.FAILED], "cannot get its secret: No supported cipher suites"),
        ("NONSENSE", [Outcome.FAILED], "bad priority string 'NONSENSE'"),
        (
            grammar.PRIORITY.replace("TLS1.3", "TLS1.2").replace(":!RSA", ""),
            [Outcome.OK, Outcome.WARNING],
            "clients with the default priority string cannot connect",
        ),
    ],
)
def test_priority_string(priority: str, outcomes: list[Outcome], said: str) -> None:
    """It is tried against itself, and against clients that have the default one."""
    found = list(gnutls.check(priority))
    assert [finding.outcome for finding in found] == outcomes
    assert said in found[-1].said


# Checkers


@pytest.mark.parametrize(
    ("checker", "program"),
    [
        ("fping -q -- %(host)s", "fping"),
        (" /usr/lib/a-b/check_c.sh", "/usr/lib/a-b/check_c.sh"),
        (":", ":"),
        ("true && false", "true"),
        ("", None),
        ("%(name)s -x", None),
        ("a%(name)s", None),
        ("$HOME/check", None),
        ("'a b' c", None),
        ("(fping x)", None),
        ("A=1 fping x", None),
        ("a;b", None),
    ],
)
def test_program_of_a_checker(checker: str, program: str | None) -> None:
    """The first word, where it means what it says."""
    assert program_of(checker) == program


# What the bus said


def _facts(**changes: object) -> bus.Facts:
    return {**FACTS, **changes}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("facts", "outcome", "said"),
    [
        (_facts(), Outcome.OK, "may own the name"),
        (_facts(problem="refused"), Outcome.WARNING, "cannot connect to the system bus: refused"),
        (_facts(owner=1 << 30, owner_uid=65534), Outcome.OK, "a server owns the name"),
        (_facts(owner=1 << 30), Outcome.WARNING, "of an unknown user owns the name"),
        (_facts(owner=1 << 30, owner_uid=0), Outcome.WARNING, "of the user root owns the name"),
        (_facts(name_problem="denied"), Outcome.FAILED, "may not own the name"),
    ],
)
def test_name_on_the_bus(
    facts: bus.Facts, outcome: Outcome, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bus says to root is judged for the server's user."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    finding = bus.about_name(facts, NOBODY)
    assert finding.outcome is outcome
    assert said in finding.said


@pytest.mark.parametrize(
    ("facts", "outcome", "said"),
    [
        (_facts(avahi_state=2), Outcome.OK, "Avahi announces the server"),
        (_facts(avahi_state=3), Outcome.WARNING, "is not ready (state 3)"),
        (_facts(avahi_problem="denied"), Outcome.WARNING, "does not answer: denied"),
    ],
)
def test_avahi_on_the_bus(facts: bus.Facts, outcome: Outcome, said: str) -> None:
    """Avahi has to be ready, not only there."""
    finding = bus.about_avahi(facts, ServerSettings())
    assert finding.outcome is outcome
    assert said in finding.said
