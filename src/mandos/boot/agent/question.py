# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a question file ``ask.XXXX``, see https://systemd.io/PASSWORD_AGENTS/.

Only privileged programs can write such files; they are bounded and distrusted all the same.
QuestionError is the only error that this module raises.
"""

from __future__ import annotations

import os
import stat

from mandos.errors import PeerError

#: Bytes of a question file; systemd's have a few hundred.
LIMIT = 1 << 16
#: Beginning of the names of question files.
PREFIX = "ask."
_SECTION = b"[Ask]"
_PATH_LIMIT = 107  # bytes of a socket's path, unix(7)
_DIGITS = 19  # of a number that the kernel can have
_COMMENTS = (b"#", b";")
#: A symbolic link is no question, and opening a FIFO must not block us.
_OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class QuestionError(PeerError):
    """This is not a question that can be answered; ``gone`` when its file no longer is there."""

    gone = False


class Question:
    """A question: the asking process (its ID), the message, the socket for the answer, the end.

    ``not_after`` is in microseconds of the monotonic clock, 0 for no end.  ``subject`` is equal in
    two questions about the same thing: they have the same ``Id``, or, without an ``Id``, the same
    process and the same message.
    """

    __slots__ = ("message", "not_after", "pid", "socket", "subject")

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self.pid = _number(fields.get(b"PID", b""))
        if self.pid <= 0:
            raise QuestionError("it does not say which process asks (PID=)")
        self.socket = _socket_path(fields.get(b"Socket", b""))
        # Without a readable number the question never expires, as in the original.
        self.not_after = max(_number(fields.get(b"NotAfter", b"")), 0)
        identity = fields.get(b"Id", b"")
        self.message = fields.get(b"Message", b"")
        self.subject = identity or b"%d %b" % (self.pid, self.message)

    @property
    def title(self) -> str:
        """The message for people to read, without control characters."""
        text = self.message.decode(errors="replace")
        return "".join(letter if letter.isprintable() else " " for letter in text).strip()

    def expired(self, now: float) -> bool:
        """Whether the asker no longer waits; ``now`` is in seconds of the monotonic clock."""
        return bool(self.not_after) and now * 1_000_000 >= self.not_after

    def asker_lives(self) -> bool:
        """Whether the asking process exists, kill(2)."""
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True


def parse(data: bytes) -> Question:
    """Read a question.  Unknown keys, sections and lines are ignored; the last value counts."""
    return Question(_fields(data[:LIMIT]))


def read(directory: str, name: str) -> Question:
    """Read a question's file; it has to be a plain file of at most LIMIT bytes."""
    try:
        descriptor = os.open(os.path.join(directory, name), _OPENING)  # noqa: PTH118 - expensive
    except OSError as error:
        problem = QuestionError(f"cannot open it: {error.strerror}")
        problem.gone = isinstance(error, FileNotFoundError)
        raise problem from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise QuestionError("it is not a plain file")
        data = os.read(descriptor, LIMIT + 1)
    except OSError as error:
        raise QuestionError(f"cannot read it: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > LIMIT:
        raise QuestionError(f"it is larger than {LIMIT} bytes")
    return parse(data)


def _fields(data: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    inside = False
    for line in map(bytes.strip, data.split(b"\n")):
        if line.startswith(b"["):
            inside = line == _SECTION
        elif inside and not line.startswith(_COMMENTS):
            key, equals, value = line.partition(b"=")
            if equals:
                fields[key.rstrip()] = value.lstrip()
    return fields


def _number(text: bytes) -> int:
    """A whole number; -1 for anything else."""
    return int(text) if text.isdigit() and len(text) <= _DIGITS else -1


def _socket_path(path: bytes) -> bytes:
    if not path.startswith(b"/") or b"\0" in path or len(path) > _PATH_LIMIT:
        raise QuestionError("it does not say where the answer goes (Socket=)")
    return path
