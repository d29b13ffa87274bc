# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Multicast DNS messages: bytes in, questions and records out; and queries the other way.

Grammar: RFC 1035 section 4; multicast meaning of the top bit of a class: RFC 6762 section 18.
Everything read here was written by a stranger on the link: all of it is bounded, and only
:class:`MessageError` can leave the reader.  No socket and no clock; early boot uses it, so it
imports almost nothing.

A domain name is kept in its wire form without compression (``b"\x05local\x00"``): such names
compare, nest and print without a class of their own.  ``name.lower()`` folds exactly the ASCII
letters, since no length byte is one (RFC 6762 section 16).
"""

from __future__ import annotations

import struct

from mandos.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

A, PTR, TXT, AAAA, SRV = 1, 12, 16, 28, 33

MAX_MESSAGE = 9000  # RFC 6762 section 17
MAX_NAME = 255  # RFC 1035 section 2.3.4
MAX_LABEL = 63
MAX_ENTRIES = 128  # questions and records of one message; real ones hold some tens
MAX_LABELS_AND_POINTERS = 128 + 32  # steps of one name: all its labels, and some pointers
#: Steps of all names of one message.  A name that a pointer leads to is read once only.
MAX_STEPS = 1024

_CLASS_IN = 1
_TOP_BIT = 0x8000  # of a question's class: answer by unicast; of a record's: flush the cache
_RESPONSE, _OPCODE_AND_RCODE = 0x8000, 0x780F

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")
_SRV = struct.Struct("!3H")


class MessageError(PeerError):
    """The bytes are no DNS message, or one beyond the limits."""


class Question:
    """One question; ``unicast`` asks for a direct answer (RFC 6762 section 5.4)."""

    __slots__ = ("name", "type", "unicast")

    def __init__(self, name: bytes, type_: int, *, unicast: bool = False) -> None:
        self.name = name
        self.type = type_
        self.unicast = unicast


class Record:
    """One record of class IN.

    ``data`` holds the address (A, AAAA), the strings (TXT) or a name (PTR, SRV); ``port`` is that
    of an SRV record, else 0.  A ``ttl`` of 0 takes the record back (RFC 6762 section 10.1).
    """

    __slots__ = ("data", "name", "port", "ttl", "type")

    def __init__(self, name: bytes, type_: int, ttl: int, data: bytes, port: int = 0) -> None:
        self.name = name
        self.type = type_
        self.ttl = ttl
        self.data = data
        self.port = port


class Message:
    """A message as read; ``records`` are the known ones of the answer and additional sections."""

    __slots__ = ("questions", "records", "response")

    def __init__(self, questions: list[Question], records: list[Record], *, response: bool) -> None:
        self.questions = questions
        self.records = records
        self.response = response


def encode_name(*labels: str) -> bytes:
    """Wire form of a name; raise :class:`MessageError` when a label or the name is too long."""
    encoded = [label.encode() for label in labels]
    if any(not 0 < len(label) <= MAX_LABEL for label in encoded):
        raise MessageError(f"a label of the name {'.'.join(labels)!r} is empty or too long")
    name = b"".join(bytes([len(label)]) + label for label in encoded) + b"\0"
    if len(name) > MAX_NAME:
        raise MessageError(f"the name {'.'.join(labels)!r} is too long")
    return name


def first_label(name: bytes) -> str:
    """Text of the first label, fit for a log: unprintable characters are replaced."""
    text = name[1 : 1 + name[0]].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def write_query(questions: Iterable[Question], identifier: int = 0) -> bytes:
    """Return a query with these questions; a direct answer repeats the identifier."""
    body = [
        question.name
        + _QUESTION.pack(question.type, _CLASS_IN | (_TOP_BIT if question.unicast else 0))
        for question in questions
    ]
    return _HEADER.pack(identifier, 0, len(body), 0, 0, 0) + b"".join(body)


def read_message(packet: bytes) -> Message:
    """Read a whole message; raise :class:`MessageError` when any part of it is malformed."""
    if len(packet) > MAX_MESSAGE:
        raise MessageError(f"a message of {len(packet)} bytes is too long")
    return _Reader(packet).message()


class _Reader:
    """One pass over a packet; ``offset`` is where the next item starts."""

    __slots__ = ("_names", "_steps", "offset", "packet")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.offset = 0
        #: Names by where they begin, as far as pointers have led there.
        self._names: dict[int, bytes] = {}
        self._steps = 0

    def message(self) -> Message:
        _, flags, questions, answers, authorities, additionals = self._unpack(_HEADER)
        if questions + answers + authorities + additionals > MAX_ENTRIES:
            raise MessageError("a message announces too many records")
        if flags & _OPCODE_AND_RCODE:  # RFC 6762 sections 18.3 and 18.11: to be ignored
            raise MessageError("a message has an operation or error code that is not for mDNS")
        asked = [self._question() for _ in range(questions)]
        said = self._records(answers)
        self._records(authorities)  # in a response they mean nothing
        said += self._records(additionals)
        return Message(asked, said, response=bool(flags & _RESPONSE))

    def _question(self) -> Question:
        name = self._name()
        type_, class_ = self._unpack(_QUESTION)
        return Question(name, type_, unicast=bool(class_ & _TOP_BIT))

    def _records(self, count: int) -> list[Record]:
        return [record for _ in range(count) if (record := self._record()) is not None]

    def _record(self) -> Record | None:
        name = self._name()
        type_, class_, ttl, length = self._unpack(_RECORD)
        end = self.offset + length
        if end > len(self.packet):
            raise MessageError("a record is longer than its message")
        record = None
        if class_ & ~_TOP_BIT == _CLASS_IN:
            record = self._known_record(name, type_, ttl, end)
        if record is None:
            self.offset = end
        elif self.offset != end:
            raise MessageError("a record's data and its length disagree")
        return record

    def _known_record(self, name: bytes, type_: int, ttl: int, end: int) -> Record | None:
        if type_ == PTR:
            return Record(name, type_, ttl, self._name())
        if type_ == SRV:
            _priority, _weight, port = self._unpack(_SRV)
            return Record(name, type_, ttl, self._name(), port)
        if type_ in {A, AAAA}:
            return Record(name, type_, ttl, self._take(4 if type_ == A else 16))
        if type_ == TXT:
            return Record(name, type_, ttl, self._take(end - self.offset))
        return None

    def _name(self) -> bytes:
        """Read a name and go on behind it; pointers lead backwards (RFC 1035 section 4.1.4)."""
        name, self.offset = self._labels(self.offset, MAX_LABELS_AND_POINTERS)
        return name

    def _labels(self, at: int, steps: int) -> tuple[bytes, int]:
        """The name that begins there, and where the bytes behind it begin."""
        start, name = at, b""
        for step in range(steps):
            self._count_step()
            length = self._byte(at)
            if length > MAX_LABEL:
                return self._fit(name + self._pointed_at(at, steps - step - 1)), at + 2
            name += self.packet[at : at + 1 + length]
            at += 1 + length
            if not length:
                return self._fit(name), at
            if at - start > MAX_NAME:
                break
        raise MessageError("a name is too long or leads nowhere")

    def _pointed_at(self, at: int, steps: int) -> bytes:
        target = self._pointer(at)
        if target not in self._names:
            self._names[target] = self._labels(target, steps)[0]
        return self._names[target]

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise MessageError("the names of a message have too many labels")

    @staticmethod
    def _fit(name: bytes) -> bytes:
        if len(name) > MAX_NAME:
            raise MessageError("a name is too long or leads nowhere")
        return name

    def _pointer(self, at: int) -> int:
        target = self._byte(at) << 8 | self._byte(at + 1)
        if target < 0xC000:
            raise MessageError("a name has a label of unknown kind")
        if target & 0x3FFF >= at:
            raise MessageError("a compressed name does not lead backwards")
        return target & 0x3FFF

    def _byte(self, at: int) -> int:
        if at >= len(self.packet):
            raise MessageError("a name is cut off")
        return self.packet[at]

    def _take(self, length: int) -> bytes:
        taken = self.packet[self.offset : self.offset + length]
        if len(taken) != length:
            raise MessageError("a message is cut off")
        self.offset += length
        return taken

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self._take(layout.size))
