# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines for systemd's journal, with fields: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.

A line about a record of the audit trail carries its parts as ``MANDOS_*`` fields and a MESSAGE_ID,
so that ``journalctl MANDOS_CLIENT=alpha`` finds all events of a client.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mandos.server.audit.records import Record
from mandos.server.logs.datagrams import OutletHandler
from mandos.server.logs.message_ids import MESSAGE_IDS
from mandos.server.logs.text import (
    FACILITY,
    IDENTIFIER,
    exception_text,
    printable,
    printable_lines,
    severity,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

SOCKET = Path("/run/systemd/journal/socket")
#: The socket to which systemd connects a unit's standard error.
STREAM = Path("/run/systemd/journal/stdout")


def listens(path: Path = SOCKET) -> bool:
    """Whether a journal takes messages on this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(str(path))
        except OSError:
            return False
    return True


def holds(descriptor: int) -> bool:
    """Whether an open descriptor leads to the journal: systemd.exec(5)."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return True
    return stat.S_ISSOCK(status.st_mode) and _peer(descriptor) == str(STREAM)


def _peer(descriptor: int) -> str:
    """The address of a socket's peer; needed since systemd-cat(1) sets no variable."""
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        try:
            return str(duplicate.getpeername())
        except OSError:
            return ""


class JournalHandler(OutletHandler):
    """Sends lines to the journal; ``extra={"record": record}`` gives one the record's fields."""

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__(path)

    def datagrams(self, line: logging.LogRecord) -> Iterator[bytes]:
        """All fields of a line, in one."""
        record = getattr(line, "record", None)
        fields = [*_line_fields(line), *_record_fields(record)]
        yield serialize((name, value) for name, value in fields if value)


def serialize(fields: Iterable[tuple[str, str]]) -> bytes:
    """Fields as the protocol has them: a value that holds a line end is preceded by its length."""
    return b"".join(_field(name.encode("ascii"), value) for name, value in fields)


def _field(name: bytes, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return name + b"=" + data + b"\n"
    return name + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


def _line_fields(line: logging.LogRecord) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", "\n".join(printable_lines(line))
    yield "PRIORITY", str(severity(line.levelno))
    yield "SYSLOG_FACILITY", str(FACILITY)
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    yield "SYSLOG_PID", str(os.getpid())
    yield "CODE_FILE", line.pathname
    yield "CODE_LINE", str(line.lineno)
    yield "CODE_FUNC", line.funcName or ""
    yield "LOGGER", line.name
    yield "EXCEPTION_TEXT", exception_text(line)


def _record_fields(record: object) -> Iterator[tuple[str, str]]:
    if not isinstance(record, Record):
        return
    yield "MESSAGE_ID", MESSAGE_IDS[record.kind]
    for name in ("client", "key_id", "address", "interface", "detail", "by"):
        yield f"MANDOS_{name.upper()}", printable(getattr(record, name))
