# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines for people and for syslog: true to the level, impossible to forge, harmless to lose."""

from __future__ import annotations

import io
import logging
import os
import resource
import socket
import sys
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.server.logs import setup
from mandos.server.logs.datagrams import PATIENCE
from mandos.server.logs.setup import SyslogHandler
from mandos.server.logs.text import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORGED = "x\nmandos[1]: sent the secret\r\x1b[2K\x00\x85\u2028\u202e\udc80"
SHOWN = r"x\nmandos[1]: sent the secret\r\x1b[2K\x00\x85\u2028\u202e\udc80"


class Daemon:
    """Whoever reads the log's socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(30)
        self._socket.bind(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Go away, socket and all."""
        self._socket.close()
        self._path.unlink()

    def line(self) -> str:
        """The next line, without its process ID."""
        return self._socket.recv(1 << 20).decode().replace(f"[{os.getpid()}]", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log's socket is."""
    return tmp_path / "log"


@pytest.fixture
def handler(path: Path) -> Iterator[SyslogHandler]:
    """A handler for that socket."""
    handler = SyslogHandler(path)
    yield handler
    handler.close()


def _line(text: object, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("mandos.test", level, __file__, 1, str(text), arguments, None)


def _failure() -> logging.LogRecord:
    try:
        number = int(FORGED)
    except ValueError:
        return logging.LogRecord("t", logging.ERROR, __file__, 1, "no", (), sys.exc_info())
    raise AssertionError(number)


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (logging.CRITICAL, 26),
        (logging.ERROR, 27),
        (logging.WARNING, 28),
        (logging.WARNING - 1, 30),
        (logging.INFO, 30),
        (logging.DEBUG, 31),
    ],
)
def test_syslog_gets_the_priority_and_the_process(
    path: Path, handler: SyslogHandler, level: int, number: int
) -> None:
    """Facility daemon and the level's severity (RFC 3164), program, process, text."""
    with Daemon(path) as daemon:
        handler.handle(_line("client %s waits", "alpha", level=level))
        assert daemon.line() == f"<{number}>mandos: client alpha waits"


def test_the_process_is_the_one_that_logs(path: Path, handler: SyslogHandler) -> None:
    """A daemon that forks after the log was set up logs its own process ID."""
    with Daemon(path) as daemon:
        child = os.fork()
        if child == 0:
            handler.handle(_line("here"))
            os._exit(0)
        os.waitpid(child, 0)
        assert daemon.line() == f"<30>mandos[{child}]: here"


def test_syslog_line_cannot_be_forged(path: Path, handler: SyslogHandler) -> None:
    """What a peer supplies stays in its line; a traceback's lines are marked."""
    with Daemon(path) as daemon:
        handler.handle(_line("client %s", FORGED))
        assert daemon.line() == f"<30>mandos: client {SHOWN}"
        handler.handle(_failure())
        lines = [daemon.line() for _ in range(_failure_lines())]
        assert lines[0] == "<27>mandos: no"
        assert all(line.startswith("<27>mandos: | ") for line in lines[1:])
        assert all(line.isprintable() for line in lines)


def _failure_lines() -> int:
    return len(printable_lines(_failure()))


@pytest.mark.parametrize("formatter", [setup._ConsoleFormatter(), setup._PriorityFormatter()])
def test_console_line_cannot_be_forged(formatter: logging.Formatter) -> None:
    """On a terminal too: no escape sequence, and every line begins as ours do."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.handle(_line("client %s", FORGED))
    handler.handle(_failure())
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert first.endswith(f"client {SHOWN}")
    assert len(rest) == _failure_lines()
    assert all(line.startswith("<3>") or " mandos: ERROR: " in line for line in rest)
    assert all(line.isprintable() for line in (first, *rest))


@given(st.text(st.characters(codec=None)))
def test_printable_text_is_printable(text: str) -> None:
    """Whatever goes in, one line of printable text comes out, and it can be encoded."""
    assert printable(text).isprintable()
    printable(text).encode()


@given(st.text())
def test_printable_text_is_left_alone(text: str) -> None:
    """Letters of any script stay as they are."""
    plain = "".join(letter for letter in text if letter.isprintable())
    assert printable(plain) == plain


def test_daemon_that_is_restarted_gets_the_next_line(path: Path, handler: SyslogHandler) -> None:
    """Nothing is lost between a stop and a start without lines."""
    for text in ("one", "two", "three"):
        with Daemon(path) as daemon:
            handler.handle(_line(text))
            assert daemon.line() == f"<30>mandos: {text}"


def test_lines_are_counted_while_nobody_listens(path: Path, handler: SyslogHandler) -> None:
    """Neither a missing nor an abandoned socket raises; the next daemon is told the number."""
    handler.handle(_line("lost"))
    abandoned = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    abandoned.bind(str(path))
    abandoned.close()
    handler.handle(_line("lost"))
    path.unlink()
    with Daemon(path) as daemon:
        handler.handle(_line("back"))
        handler.handle(_line("again"))
        assert [daemon.line() for _ in range(3)] == [
            "<28>mandos: 2 lines of the log could not be written and are lost",
            "<30>mandos: back",
            "<30>mandos: again",
        ]


def test_daemon_that_is_stuck_holds_nobody_up(path: Path, handler: SyslogHandler) -> None:
    """One line waits a moment, the others not at all; when it reads again all is well."""
    with Daemon(path) as daemon:
        sent = 0
        while not handler._lost:
            assert handler._outlet._socket.gettimeout() == PATIENCE
            handler.handle(_line("line %d", sent))
            sent += 1
        for _ in range(1000):
            assert handler._outlet._socket.gettimeout() == 0
            handler.handle(_line("lost"))
        for number in range(sent - 1):
            assert daemon.line() == f"<30>mandos: line {number}"
        handler.handle(_line("back"))
        assert (
            daemon.line() == "<28>mandos: 1001 lines of the log could not be written and are lost"
        )
        assert daemon.line() == "<30>mandos: back"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
def test_socket_of_root_is_reached_after_root_is_given_up(path: Path) -> None:
    """A daemon that only root may speak to hears a server that was root when it began to log."""
    with Daemon(path) as daemon:
        path.chmod(0o700)
        handler = SyslogHandler(path)
        child = os.fork()
        if child == 0:
            os.setresuid(65534, 65534, 65534)
            handler.handle(_line("not root"))
            os._exit(0)
        os.waitpid(child, 0)
        assert daemon.line() == f"<30>mandos[{child}]: not root"
        handler.close()


def test_logging_needs_no_new_descriptor(path: Path, handler: SyslogHandler) -> None:
    """A server that has run out of descriptors can say so, even to a restarted daemon."""
    with Daemon(path) as daemon:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            handler.handle(_line("no descriptors"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert daemon.line() == "<30>mandos: no descriptors"


def test_long_syslog_line_is_cut(path: Path, handler: SyslogHandler) -> None:
    """A peer's longest text is cut rather than refused, whatever its letters take."""
    with Daemon(path) as daemon:
        handler.handle(_line("é" * 500_000))
        line = daemon.line()
        assert 7900 < len(line.encode()) <= 8000
        assert line.endswith("é")


def test_bad_line_does_no_harm(
    path: Path, handler: SyslogHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line whose arguments do not fit is our defect: it is shown, not raised."""
    with Daemon(path) as daemon:
        handler.handle(_line("%d clients", "many"))
        handler.handle(_line("next"))
        assert daemon.line() == "<30>mandos: next"
        assert "--- Logging error ---" in capsys.readouterr().err
