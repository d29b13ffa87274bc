# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugins' standard errors put into one: whole lines, prompts, readers that are slow."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mandos.boot.runner.relay import SILENCE, Relay


class Reader:
    """A relay that writes into a pipe, and what comes out."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.relay = Relay(self.writing)

    def read(self) -> bytes:
        """Everything that has been written."""
        read = b""
        try:
            while True:
                read += os.read(self.reading, 65536)
        except BlockingIOError:
            return read


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader at the end of a pipe."""
    made = Reader()
    yield made
    os.close(made.reading)
    os.close(made.writing)


def test_lines_get_their_plugins_name(reader: Reader) -> None:
    """Line by line, in the order in which they end; a name that is there is not doubled."""
    reader.relay.feed("a", b"one\ntw", 0.0)
    reader.relay.feed("b", b"b: three\n\n", 0.0)
    reader.relay.feed("a", b"o\n", 0.0)
    assert reader.read() == b"a: one\nb: three\nb: \na: two\n"


def test_other_control_characters_end_no_line(reader: Reader) -> None:
    """Only a newline does."""
    reader.relay.feed("a", b"1\r2\x0b3\x1c4\xc2\x855\n", 0.0)
    assert reader.read() == b"a: 1\r2\x0b3\x1c4\xc2\x855\n"


def test_a_prompt_is_shown_after_a_moment(reader: Reader) -> None:
    """A line without an end appears when its plugin falls silent, and goes on where it stands."""
    relay = reader.relay
    relay.feed("a", b"Pass", 1.0)
    relay.feed("a", b"word: ", 2.0)
    assert relay.deadline() == 2.0 + SILENCE
    relay.show_halves(2.0)
    assert reader.read() == b""
    relay.show_halves(2.0 + SILENCE)
    assert relay.deadline() is None
    relay.feed("a", b"thanks\n", 3.0)
    assert reader.read() == b"a: Password: thanks\n"


def test_a_prompt_is_not_written_into(reader: Reader) -> None:
    """Another plugin's line begins on a line of its own."""
    relay = reader.relay
    relay.feed("a", b"Password: ", 0.0)
    relay.show_halves(1.0)
    relay.feed("b", b"found a server\n", 1.0)
    relay.feed("a", b"\n", 1.0)
    assert reader.read() == b"a: Password: \nb: found a server\na: \n"


def test_the_last_words_get_their_end(reader: Reader) -> None:
    """A plugin that ends in the middle of a line, shown or not."""
    relay = reader.relay
    relay.feed("a", b"dying", 0.0)
    relay.end("a")
    relay.feed("b", b"shown", 0.0)
    relay.show_halves(1.0)
    relay.end("b")
    relay.end("c")
    assert reader.read() == b"a: dying\nb: shown\n"


def test_a_line_has_a_bound(reader: Reader) -> None:
    """What never ends is shown in pieces, not kept for ever."""
    reader.relay.feed("a", b"x" * 5000, 0.0)
    assert reader.read() == b"a: " + b"x" * 5000


def test_a_reader_that_is_stopped_holds_nobody_up(reader: Reader) -> None:
    """Nothing blocks; a bounded rest is kept, later lines are dropped whole, the rest comes."""
    for number in range(40_000):
        reader.relay.feed("a", b"line %d\n" % number, 0.0)
    assert reader.relay.is_behind()
    read = b""
    while reader.relay.is_behind():
        read += reader.read()
        reader.relay.flush()
    lines = (read + reader.read()).splitlines()
    assert 1_000 < len(lines) < 40_000
    assert lines == [b"a: line %d" % number for number in range(len(lines))]


def test_a_reader_that_is_gone_is_no_failure() -> None:
    """A closed pipe, a full disk, a closed descriptor: the work goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    for descriptor in (writing, full):
        relay = Relay(descriptor)
        relay.feed("a", b"heard by nobody\n", 0.0)
        assert not relay.is_behind()
        os.close(descriptor)
    relay = Relay(full)
    relay.feed("a", b"heard by nobody\n", 0.0)
    assert not relay.is_behind()
