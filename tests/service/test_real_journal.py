# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines in a real journal, or in syslog where there is none: all of them, and each once."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.host import Host, why_impossible
from mandos.server.audit.records import Kind
from mandos.server.logs.message_ids import MESSAGE_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

JOURNALD = "/lib/systemd/systemd-journald"
CATALOG = Path(__file__).parents[2] / "systemd" / "mandos.catalog"
#: Tells when the journal is ready: sd_notify(3).
NOTIFIED = """
import socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.bind("/run/notify")
    print("listening", flush=True)
    while True:
        print(sock.recv(4096).decode(), flush=True)
"""
#: Is told where it runs, then logs what each argument asks for; set up twice, to see no line twice.
LOG = """
import logging, signal, sys
from datetime import UTC, datetime
from mandos.server.logs.setup import set_up
from mandos.server.audit.records import Kind, Record
set_up(logging.INFO, foreground=sys.argv[1] == "foreground")
set_up(logging.INFO, foreground=sys.argv[1] == "foreground")
log = logging.getLogger("mandos.test")
for name, value in (pair.split("=", 1) for pair in sys.argv[2:]):
    text = value.replace("NEWLINE", chr(10))
    if name == "refused":
        record = Record(kind=Kind.REJECTED, at=datetime.now(UTC), client="alpha", key_id="ab" * 32,
                        address="[fe80::1]:4711", interface="eth0", detail=text)
        log.warning("refused %s", text, extra={"record": record})
    elif name == "large":
        log.info("%s", "x" * int(value))
    elif name == "failure":
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("internal error")
    elif name == "wait":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        print("waiting", flush=True)
        signal.sigwait({signal.SIGUSR1})
    else:
        log.info("%s", text)
"""

impossible = why_impossible() or (
    None if Path(JOURNALD).exists() and shutil.which("systemd-cat") else "systemd is not installed"
)
pytestmark = pytest.mark.skipif(impossible is not None, reason=impossible or "")


class Journal:
    """The journal of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._notified = host.start("/usr/bin/python3", "-I", "-S", "-c", NOTIFIED)
        self._seen = self._notified.wait_for("^listening$")
        self._journald = self.start()

    def start(self) -> Process:
        """Start the journal; return when it takes messages."""
        journald = self._host.start(JOURNALD, environment={"NOTIFY_SOCKET": "/run/notify"})
        self._seen = self._notified.wait_for("^READY=1", after=self._seen)
        return journald

    def restart(self) -> None:
        """End the journal and start it again."""
        self._journald.signal(signal.SIGTERM)
        assert self._journald.wait() == 0
        self._journald = self.start()

    def entries(self) -> list[dict[str, Any]]:
        """All entries of mandos, with all fields."""
        self._host.run("journalctl", "--sync")
        query = ("--directory=/run/log/journal", "--output=json", "--all")
        shown = self._host.run("journalctl", *query, "SYSLOG_IDENTIFIER=mandos")
        return [json.loads(line) for line in shown.splitlines()]


@pytest.fixture
def host() -> Iterator[Host]:
    """A machine without a journal; what it writes to /var stays in memory."""
    with Host("machine") as host:
        for place in ("/var/log", "/var/lib/systemd/catalog", "/usr/lib/systemd/catalog"):
            host.run("mount", "-t", "tmpfs", "tmpfs", place)
        yield host


@pytest.fixture
def journal(host: Host) -> Journal:
    """The machine's journal, running."""
    return Journal(host)


def _log(host: Host, *lines: str, how: str = "foreground") -> Process:
    process = host.start(sys.executable, "-c", LOG, how, *lines)
    assert process.wait() == 0, process.report("the logging program failed")
    return process


def test_record_has_fields(host: Host, journal: Journal) -> None:
    """An entry names client, key ID, address, interface, reason, and the kind's MESSAGE_ID."""
    _log(host, "refused=Disabled", "plain=another line")
    refused, plain = journal.entries()
    assert {name: value for name, value in refused.items() if name.startswith("MANDOS_")} == {
        "MANDOS_CLIENT": "alpha",
        "MANDOS_KEY_ID": "ab" * 32,
        "MANDOS_ADDRESS": "[fe80::1]:4711",
        "MANDOS_INTERFACE": "eth0",
        "MANDOS_DETAIL": "Disabled",
    }
    assert refused["MESSAGE"] == "refused Disabled"
    assert refused["MESSAGE_ID"] == MESSAGE_IDS[Kind.REJECTED]
    assert (refused["PRIORITY"], plain["PRIORITY"]) == ("4", "6")
    assert refused["SYSLOG_FACILITY"] == "3"
    assert refused["SYSLOG_PID"] == refused["_PID"]
    assert (refused["LOGGER"], refused["CODE_FUNC"]) == ("mandos.test", "<module>")
    assert {name for name in plain if name.startswith("MANDOS_") or name == "MESSAGE_ID"} == set()


def test_no_field_or_line_can_be_forged(host: Host, journal: Journal) -> None:
    """A line end in what a peer supplies starts neither a field nor a line."""
    _log(host, "refused=xNEWLINEMANDOS_CLIENT=betaNEWLINE", "plain=yNEWLINEPRIORITY=0")
    refused, plain = journal.entries()
    assert refused["MANDOS_CLIENT"] == "alpha"
    assert refused["MANDOS_DETAIL"] == r"x\nMANDOS_CLIENT=beta\n"
    assert (plain["MESSAGE"], plain["PRIORITY"]) == (r"y\nPRIORITY=0", "6")


def test_traceback_and_large_message_arrive_whole(host: Host, journal: Journal) -> None:
    """A traceback is shown with its line and is a field; what no datagram holds arrives too."""
    _log(host, "failure=badNEWLINEvalue", "large=3000000")
    failure, large = journal.entries()
    assert failure["MESSAGE"].startswith("internal error\n| Traceback (most recent call last):\n")
    assert failure["EXCEPTION_TEXT"].endswith("ValueError: bad\nvalue\n")
    assert failure["PRIORITY"] == "3"
    assert large["MESSAGE"] == "x" * 3_000_000


@pytest.mark.parametrize("how", ["foreground", "background"])
def test_line_is_logged_once(host: Host, journal: Journal, how: str) -> None:
    """The journal has it; the console only in the foreground; /dev/log leads to the journal too."""
    program = _log(host, "plain=only once", how=how)
    assert [entry["MESSAGE"] for entry in journal.entries()] == ["only once"]
    assert program.log.count("only once") == (1 if how == "foreground" else 0)
    assert "only once" not in host.syslog.log


def test_standard_error_of_a_unit_is_left_alone(host: Host, journal: Journal) -> None:
    """Where standard error is the journal a line is there once, with its fields."""
    command = (sys.executable, "-c", LOG, "foreground", "refused=Disabled")
    host.run("systemd-cat", "--identifier=mandos", *command)
    (entry,) = journal.entries()
    assert entry["_TRANSPORT"] == "journal"
    assert entry["MANDOS_CLIENT"] == "alpha"


def test_unit_that_cannot_reach_the_journal_writes_to_it(host: Host, journal: Journal) -> None:
    """Where only standard error leads to the journal, lines have their priority there."""
    hidden = 'mount -t tmpfs tmpfs /run/systemd/journal; umount /dev/log 2>&-; exec "$@"'
    inside = ("unshare", "--mount", "sh", "-c", hidden, "sh")
    command = (sys.executable, "-c", LOG, "foreground", "refused=xNEWLINE<0>y", "failure=z")
    host.run("systemd-cat", "--identifier=mandos", *inside, *command)
    first, second, *rest = journal.entries()
    assert (first["MESSAGE"], first["PRIORITY"]) == (r"refused x\n<0>y", "4")
    assert (second["MESSAGE"], second["PRIORITY"]) == ("internal error", "3")
    assert {entry["PRIORITY"] for entry in rest} == {"3"}
    assert {entry["_TRANSPORT"] for entry in (first, second, *rest)} == {"stdout"}


def test_journal_that_is_restarted_gets_the_next_line(host: Host, journal: Journal) -> None:
    """The program that logs need not know."""
    with host.start(sys.executable, "-c", LOG, "b", "plain=one", "wait=", "plain=two") as program:
        program.wait_for("^waiting$")
        journal.restart()
        program.signal(signal.SIGUSR1)
        assert program.wait() == 0
    assert [entry["MESSAGE"] for entry in journal.entries()] == ["one", "two"]


def test_catalog_is_shown_with_the_line(host: Host, journal: Journal) -> None:
    """``journalctl -x`` explains what happened, to which client."""
    shutil.copy(CATALOG, host.path("/usr/lib/systemd/catalog/mandos.catalog"))
    host.run("journalctl", "--update-catalog")
    _log(host, "refused=Disabled")
    assert journal.entries()
    shown = host.run(
        "journalctl", "--directory=/run/log/journal", "--catalog", "MANDOS_CLIENT=alpha"
    )
    assert "Subject: Client alpha was refused" in shown.decode()
    assert "The reason is: Disabled." in shown.decode()


@pytest.mark.parametrize("how", ["foreground", "background"])
def test_syslog_is_used_without_a_journal(host: Host, how: str) -> None:
    """One line there, with the priority; the console has it too, in the foreground."""
    program = _log(host, "refused=xNEWLINE<27>mandos[1]: y", how=how)
    wanted = r"^<28>mandos\[\d+\]: refused x\\n<27>mandos\[1\]: y$"
    end = host.syslog.wait_for(wanted)
    _log(host, "plain=last", how=how)
    host.syslog.wait_for("last", after=end)
    assert host.syslog.log.count("refused") == 1
    assert program.log.count("refused") == (1 if how == "foreground" else 0)
