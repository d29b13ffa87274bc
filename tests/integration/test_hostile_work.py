# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No peer makes the server work much: a turn costs at most ten handshakes of an honest client.

What is measured is the processor time of this thread, the least of several tries, so that a busy
machine does not count.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from harness.hostile_keys import expensive_key, public_key
from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.server.requests.peer_identity import PeerIdentity
from mandos.server.requests.sockets import Peer
from mandos.tls import keys, limits
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar

#: A turn may cost so many handshakes of an honest client.
FACTOR = 10
TRIES = 5
ONLY = "{}:-GROUP-ALL:+GROUP-{}"


class Cost(NamedTuple):
    """Seconds of the server's processor time: the most of one turn, and all; how it ended."""

    turn: float
    all: float
    error: str


def _session(sock: socket.socket, priority: str = grammar.PRIORITY, *, bounded: bool) -> Session:
    """The server's session; as it would be without limits, to see what they are for."""
    if not bounded:
        return Session(Priority(priority), Credentials(), sock.fileno(), is_server=False)
    priority = limits.bounded(priority)
    session = Session(Priority(priority), Credentials(), sock.fileno(), is_server=False)
    limits.install(session.pointer)
    return session


def _peer(sock: socket.socket, key: tuple[bytes, bytes], priority: str) -> Session:
    credentials = Credentials()
    credentials.load_raw_key(key[1], key[0])
    return Session(Priority(priority), credentials, sock.fileno(), is_server=True)


def _shake_hands(key: tuple[bytes, bytes], priority: str, *, bounded: bool) -> Cost:
    """One handshake; the two ends take turns."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        with (
            closing(_session(ours, bounded=bounded)) as session,
            closing(_peer(theirs, key, priority)) as peer,
        ):
            return _measured(session, peer)


def _measured(session: Session, peer: Session) -> Cost:
    turns: list[float] = []
    error = ""
    for _turn in range(20):
        begin = time.thread_time()
        try:
            session.handshake()
        except WouldBlock:
            turns.append(time.thread_time() - begin)
        except TLSError as failure:
            turns.append(time.thread_time() - begin)
            error = limits.refusal(session.pointer) or str(failure)
            break
        else:
            turns.append(time.thread_time() - begin)
            break
        with contextlib.suppress(WouldBlock, TLSError):
            peer.handshake()
    return Cost(max(turns), sum(turns), error)


def _least(measure: Callable[[], Cost]) -> Cost:
    costs = [measure() for _try in range(TRIES)]
    return Cost(min(cost.turn for cost in costs), min(cost.all for cost in costs), costs[0].error)


@pytest.fixture(scope="module")
def honest() -> float:
    """Seconds that the handshake of an honest client costs."""
    key = keys.generate_tls_key("ed25519")
    cost = _least(lambda: _shake_hands(key, grammar.PRIORITY, bounded=True))
    assert not cost.error
    return cost.all


@pytest.mark.parametrize("kind", keys.KEY_TYPES)
def test_every_kind_of_key_that_clients_have_is_accepted(kind: str, honest: float) -> None:
    """And its turns are cheap enough."""
    key = keys.generate_tls_key(kind)
    cost = _least(lambda: _shake_hands(key, grammar.PRIORITY, bounded=True))
    assert not cost.error
    assert cost.turn <= FACTOR * honest


def test_expensive_key_is_refused_before_it_is_used(honest: float) -> None:
    """GnuTLS takes it, and would work on it as long as its owner likes."""
    key = expensive_key()
    assert _shake_hands(key, grammar.PRIORITY, bounded=False).turn > FACTOR * honest
    cost = _least(lambda: _shake_hands(key, grammar.PRIORITY, bounded=True))
    assert "the exponent of the peer's RSA key has 40" in cost.error
    assert cost.turn <= FACTOR * honest


@pytest.mark.parametrize("group", ["FFDHE2048", "FFDHE8192"])
def test_expensive_group_is_not_offered(group: str, honest: float) -> None:
    """A peer chooses the group of the key exchange, but only among those that are cheap."""
    key, only = keys.generate_tls_key("ed25519"), ONLY.format(grammar.PRIORITY, group)
    assert _shake_hands(key, only, bounded=False).turn > FACTOR * honest
    cost = _least(lambda: _shake_hands(key, only, bounded=True))
    assert cost.error
    assert cost.turn <= FACTOR * honest


@pytest.mark.parametrize("group", ["SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448"])
def test_every_other_group_is_cheap(group: str, honest: float) -> None:
    """Clients that know only one of them are served."""
    key, only = keys.generate_tls_key("ed25519"), ONLY.format(grammar.PRIORITY, group)
    cost = _least(lambda: _shake_hands(key, only, bounded=True))
    assert not cost.error
    assert cost.turn <= FACTOR * honest


async def test_crowd_is_accepted_in_cheap_turns(honest: float) -> None:
    """A thousand connections that come at once are taken a few at a time."""
    listening = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=1024)
    listening.settimeout(0)
    tls = TLS(Priority(limits.bounded(grammar.PRIORITY)), Credentials())
    listener = Listener(listening, tls, Nothing(), room=1000)
    turns: list[float] = []
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("::1", listener.port)))
        while len(listener._tasks) < 200:
            begin = time.thread_time()
            listener._accept()
            turns.append(time.thread_time() - begin)
        await listener.stop()
    assert statistics.median(turns) <= FACTOR * honest


class Nothing:
    """A judge without secrets."""

    async def judge(
        self, _identity: PeerIdentity, _peer: Peer, _purpose: str
    ) -> SealedSecret | None:
        """Refuse."""

    def describe(self, identity: PeerIdentity, peer: Peer) -> bytes | None:
        """Nothing is described."""

    def delivered(self, identity: PeerIdentity, peer: Peer, purpose: str) -> None:
        """Never happens."""

    def undelivered(self, identity: PeerIdentity, peer: Peer) -> None:
        """Never happens."""


def test_priority_of_the_administrator_is_left_alone() -> None:
    """Who writes another string knows why."""
    assert limits.bounded("NORMAL") == "NORMAL"


def _certificate(key: bytes) -> bytes:
    """A Certificate message of TLS 1.3 with this key: RFC 8446, section 4.4.2."""
    entry = len(key).to_bytes(3, "big") + key + b"\0\0"
    return b"\0" + len(entry).to_bytes(3, "big") + entry


def _spki(kind: str) -> bytes:
    _private, public = keys.generate_tls_key(kind)
    return base64.b64decode(b"".join(public.strip().splitlines()[1:-1]))


@pytest.mark.parametrize("kind", keys.KEY_TYPES)
def test_key_is_read_as_gnutls_reads_it(kind: str) -> None:
    """In the form of TLS 1.3 and in that of TLS 1.2 (RFC 7250, section 3)."""
    key = _spki(kind)
    assert not limits.objection_to(_certificate(key))
    assert not limits.objection_to(len(key).to_bytes(3, "big") + key)


@pytest.mark.parametrize(
    ("bits", "exponent", "objection"),
    [
        (4096, 65537, ""),
        (8192, (1 << 31) + 1, ""),
        (8193, 65537, "has 8193 bits"),
        (65536, 65537, "has 65536 bits"),
        (512, 65537, "has 512 bits"),
        (4096, 1 << 32, "exponent of the peer's RSA key has 33 bits"),
        (4096, 1, "exponent of the peer's RSA key has 1 bits"),
    ],
)
def test_size_of_rsa_keys(bits: int, exponent: int, objection: str) -> None:
    """Modulus and exponent have limits of their own."""
    key = public_key((1 << (bits - 1)) + 1, exponent)
    found = limits.objection_to(_certificate(key))
    assert objection in found
    assert bool(objection) == bool(found)


def test_even_modulus_is_no_key() -> None:
    """Arithmetic may rely on its being odd."""
    assert "odd" in limits.objection_to(_certificate(public_key(1 << 2047, 65537)))


def _broken(message: bytes) -> Iterator[bytes]:
    for size in range(len(message)):
        yield message[:size]
    for place in range(len(message)):
        for value in (0, 0x7F, 0x80, 0xFF):
            yield message[:place] + bytes((value,)) + message[place + 1 :]


@pytest.mark.parametrize("kind", ["ed25519", "secp256r1", "rsa"])
def test_damaged_message_gets_a_word_and_no_exception(kind: str) -> None:
    """Cut off anywhere, it is refused; changed anywhere, the reader ends with a decision."""
    message = _certificate(_spki(kind))
    for number, broken in enumerate(_broken(message)):
        objection = limits.objection_to(broken)
        assert objection or number >= len(message) - 2
