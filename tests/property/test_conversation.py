# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both protocol machines: whole and byte by byte, and every input in every state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.wire import conversation as c
from mandos.wire import grammar
from mandos.wire.conversation import (
    ClientConversation,
    ProtocolError,
    Refused,
    ServerConversation,
)

SERVER_INPUTS: dict[str, Callable[[ServerConversation], object]] = {
    "greeting": lambda m: m.receive(grammar.GREETING, 0),
    "half": lambda m: m.receive(b"1", 0),
    "rubbish": lambda m: m.receive(b"GET / HTTP/1.0\r\n", 0),
    "end": lambda m: m.receive(b"", 0),
    c.AUTHENTICATED: lambda m: m.authenticated(0),
    c.GRANTED: lambda m: m.judged(granted=True, now=0),
    c.DENIED: lambda m: m.judged(granted=False, now=0),
    c.SENT: lambda m: m.sent(0),
    c.CLOSED: lambda m: m.closed(0),
    "late": lambda m: m.check_time(float("inf")),
}
CLIENT_INPUTS: dict[str, Callable[[ClientConversation], object]] = {
    c.CONNECTED: lambda m: m.connected(0),
    c.GREETED: lambda m: m.greeted(0),
    c.AUTHENTICATED: lambda m: m.authenticated(0),
    c.RECEIVED: lambda m: m.receive(b"sealed", 0),
    c.CLOSED: lambda m: m.receive(b"", 0),
    "late": lambda m: m.check_time(float("inf")),
}
TO_SERVER_STATE = {
    c.GREETING: [],
    c.HANDSHAKE: ["greeting"],
    c.JUDGE: ["greeting", c.AUTHENTICATED],
    c.SEND: ["greeting", c.AUTHENTICATED, c.GRANTED],
    c.CLOSE: ["greeting", c.AUTHENTICATED, c.DENIED],
    c.DONE: ["greeting", c.AUTHENTICATED, c.DENIED, c.CLOSED],
    c.FAILED: ["rubbish"],
}
TO_CLIENT_STATE = {
    c.CONNECT: [],
    c.GREETING: [c.CONNECTED],
    c.HANDSHAKE: [c.CONNECTED, c.GREETED],
    c.RECEIVE: [c.CONNECTED, c.GREETED, c.AUTHENTICATED],
    c.DONE: [c.CONNECTED, c.GREETED, c.AUTHENTICATED, c.RECEIVED, c.CLOSED],
    c.FAILED: [c.CONNECTED, c.CONNECTED],
}
_MEANS = {"greeting": c.GREETED}


def _server_in(state: str) -> ServerConversation:
    machine = ServerConversation(0)
    for step in TO_SERVER_STATE[state]:
        try:
            SERVER_INPUTS[step](machine)
        except ProtocolError:
            assert state == c.FAILED
    assert machine.state == state
    return machine


def _client_in(state: str) -> ClientConversation:
    machine = ClientConversation(0)
    for step in TO_CLIENT_STATE[state]:
        try:
            CLIENT_INPUTS[step](machine)
        except ProtocolError:
            assert state == c.FAILED
    assert machine.state == state
    return machine


@pytest.mark.parametrize("state", TO_SERVER_STATE)
@pytest.mark.parametrize("step", SERVER_INPUTS)
def test_server_follows_its_table(state: str, step: str) -> None:
    """Each input leads where the table says, or fails the conversation for good."""
    machine = _server_in(state)
    expected = c.SERVER_TRANSITIONS.get((state, _MEANS.get(step, step)))
    if (state, step) == (c.GREETING, "half"):
        expected = c.GREETING
    if expected is not None:
        SERVER_INPUTS[step](machine)
        assert machine.state == expected
    else:
        with pytest.raises(ProtocolError):
            SERVER_INPUTS[step](machine)
        assert machine.state == c.FAILED


@pytest.mark.parametrize("state", TO_CLIENT_STATE)
@pytest.mark.parametrize("step", CLIENT_INPUTS)
def test_client_follows_its_table(state: str, step: str) -> None:
    """Each input leads where the table says, or fails the conversation for good."""
    machine = _client_in(state)
    expected = c.CLIENT_TRANSITIONS.get((state, step))
    if (state, step) == (c.RECEIVE, c.CLOSED):
        with pytest.raises(Refused):
            machine.receive(b"", 0)
    elif expected is not None:
        CLIENT_INPUTS[step](machine)
        assert machine.state == expected
    else:
        with pytest.raises(ProtocolError):
            CLIENT_INPUTS[step](machine)
        assert machine.state == c.FAILED


@pytest.mark.parametrize("greeting", [b"1\r\n", b"1\n", b"1 extra words\r\n", b"  1\r\n"])
def test_greeting_byte_by_byte(greeting: bytes) -> None:
    """A greeting means the same in one portion and in many; its first field counts."""
    whole, bytewise = ServerConversation(0), ServerConversation(0)
    whole.receive(greeting, 0)
    for place in range(len(greeting)):
        assert bytewise.state == c.GREETING
        bytewise.receive(greeting[place : place + 1], 0)
    assert whole.state == bytewise.state == c.HANDSHAKE


@pytest.mark.parametrize(
    ("greeting", "purpose"),
    [
        (grammar.GREETING, grammar.SECRET),
        (b"1 rehearsal\r\n", grammar.SECRET),  # version 1 has no other purpose
        (grammar.REHEARSAL_GREETING, grammar.REHEARSAL),
        (grammar.STATUS_GREETING, grammar.STATUS),
        (b"2 status and more\n", grammar.STATUS),
    ],
)
def test_purpose_of_a_greeting(greeting: bytes, purpose: str) -> None:
    """Version 2 names the purpose; further fields are ignored."""
    machine = ServerConversation(0)
    machine.receive(greeting, 0)
    assert (machine.state, machine.purpose) == (c.HANDSHAKE, purpose)


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (b"\r\n", "not start with a number"),
        (b"2\r\n", "asks for something unknown"),
        (b"2 secret\r\n", "asks for something unknown"),
        (b"2 Rehearsal\r\n", "asks for something unknown"),
        (b"3 rehearsal\r\n", "version 3 is not supported"),
        (b"0\r\n", "version 0 is not supported"),
        (b"-1\r\n", "not start with a number"),
        (b"\xd9\xa1\r\n", "not start with a number"),
        (b"one\r\n", "not start with a number"),
        (b"9" * 200 + b"\r\n", "is not supported"),
        (b"1" + b" " * 300, "longer than 256 bytes"),
        (b"1\r\n\x16\x03\x01", "went on after its greeting"),
    ],
)
def test_bad_greeting_says_what_is_wrong(sent: bytes, complaint: str) -> None:
    """What is not the greeting of a client ends the conversation before TLS."""
    machine = ServerConversation(0)
    with pytest.raises(ProtocolError, match=complaint):
        machine.receive(sent, 0)
    assert machine.is_over


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_only_protocol_errors_leave_the_server(portions: list[bytes]) -> None:
    """Whatever a peer sends, in whatever portions: handshake, still waiting, or ProtocolError."""
    machine = ServerConversation(0)
    for portion in portions:
        if machine.state != c.GREETING:
            break
        try:
            machine.receive(portion, 0)
        except ProtocolError:
            assert machine.state == c.FAILED
    assert machine.state in (c.GREETING, c.HANDSHAKE, c.FAILED)
    if machine.state == c.GREETING:
        assert sum(map(len, portions)) <= grammar.GREETING_LIMIT


@given(st.binary(min_size=1, max_size=3000), st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_secret_survives_any_portions(secret: bytes, sizes: list[int]) -> None:
    """The client gets the same secret, however the network cuts it."""
    machine = _client_in(c.RECEIVE)
    place = turn = 0
    while place < len(secret):
        size = sizes[turn % len(sizes)]
        assert machine.receive(secret[place : place + size], 0) is None
        place, turn = place + size, turn + 1
    assert machine.receive(b"", 0) == secret


def test_secret_larger_than_the_limit_is_refused() -> None:
    """A server that never stops sending is given up at the limit."""
    machine = _client_in(c.RECEIVE)
    portion = bytes(1 << 20)
    with pytest.raises(ProtocolError, match="more than"):
        for _turn in range(grammar.MESSAGE_LIMIT // len(portion) + 1):
            machine.receive(portion, 0)


def test_each_state_has_its_own_deadline() -> None:
    """Time runs anew with each state; a judgement may take as long as it takes."""
    machine = ServerConversation(100)
    assert machine.deadline == 100 + grammar.GREETING_TIME
    machine.check_time(100 + grammar.GREETING_TIME - 0.1)
    machine.receive(grammar.GREETING, 105)
    assert machine.deadline == 105 + grammar.HANDSHAKE_TIME
    machine.authenticated(106)
    assert machine.deadline == float("inf")
    machine.judged(granted=True, now=5000)
    with pytest.raises(ProtocolError, match="took too long"):
        machine.check_time(5000 + grammar.TRANSFER_TIME)


def test_client_waits_for_an_approval_but_not_for_a_transfer() -> None:
    """An administrator may take an hour; a secret that has begun may not."""
    machine = _client_in(c.RECEIVE)
    assert machine.deadline == grammar.APPROVAL_TIME
    machine.receive(b"begin", 50)
    assert machine.deadline == 50 + grammar.TRANSFER_TIME
    machine.receive(b"more", 100)
    assert machine.deadline == 50 + grammar.TRANSFER_TIME
