# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's connections over real sockets: honest clients, and everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from asking import ask

from harness.hostile_keys import expensive_key
from mandos.errors import PeerError
from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.requests.attack import Useless
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.server.requests.peer_identity import PeerIdentity, UnidentifiedError
from mandos.server.requests.sockets import Peer
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, WouldBlock
from mandos.wire import conversation, grammar

SECRET = bytes(range(256)) * 250  # nearly the largest that a client takes
TLS_12 = "NORMAL:!CTYPE-X.509:+CTYPE-RAWPK:!VERS-ALL:+VERS-TLS1.2"


class OneClient:
    """A judge that knows one key, and records what happened."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.secret = SECRET
        self.asked: list[str] = []
        self.purposes: list[str] = []
        self.given: list[str] = []
        self.verdict = asyncio.Event()
        self.verdict.set()
        self.gave_up = 0
        self.lost: list[str] = []

    async def judge(self, identity: PeerIdentity, _peer: Peer, purpose: str) -> SealedSecret | None:
        """Serve the one key."""
        self.purposes.append(purpose)
        self.asked.append(identity.key_id)
        try:
            await self.verdict.wait()
        except asyncio.CancelledError:
            self.gave_up += 1
            raise
        return SealedSecret(self.secret) if identity.key_id == self.key_id else None

    def describe(self, identity: PeerIdentity, _peer: Peer) -> bytes | None:
        """Describe the one key."""
        return b"{}" if identity.key_id == self.key_id else None

    def delivered(self, identity: PeerIdentity, _peer: Peer, _purpose: str) -> None:
        """Record."""
        self.given.append(identity.key_id)

    def undelivered(self, identity: PeerIdentity, _peer: Peer) -> None:
        """Record."""
        self.lost.append(identity.key_id)


class Server:
    """A listening server and the client that it knows."""

    def __init__(self) -> None:
        self.key = keys.generate_tls_key("ed25519")
        self.judge = OneClient(keys.key_id_of_public_pem(self.key[1]))
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=1024)
        listening.settimeout(0)
        self.address = ("::1", listening.getsockname()[1], 0)
        tls = TLS(Priority(grammar.PRIORITY), Credentials())
        self.listener = Listener(listening, tls, self.judge)

    async def ask(
        self, key: tuple[bytes, bytes] | None = None, priority: str = grammar.PRIORITY
    ) -> bytes:
        """Ask as our own client does."""
        return await asyncio.to_thread(ask, self.address, key or self.key, priority)

    async def talk(self, peer: Callable[[socket.socket], None]) -> None:
        """Let a peer of another kind have a connection of its own."""
        await asyncio.to_thread(self._talk, peer)

    def _talk(self, peer: Callable[[socket.socket], None]) -> None:
        with socket.create_connection(self.address[:2], timeout=30) as sock:
            peer(sock)


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    """A server on a port of its own; no task and no traceback may be left at the end."""
    caplog.set_level(logging.INFO)
    running = Server()
    running.listener.start()
    yield running
    await running.listener.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not running.listener._turns._queue
    assert "internal error" not in caplog.text


def _say(data: bytes, sock: socket.socket) -> None:
    sock.sendall(data)
    assert _hung_up(sock)


def _hung_up(sock: socket.socket) -> bool:
    """Whether the server closes without having said anything more."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


async def test_known_client_gets_its_secret(server: Server) -> None:
    """The bytes arrive unchanged, and the delivery is reported once."""
    assert await server.ask() == SECRET
    await _until(lambda: bool(server.judge.given))
    assert server.judge.given == [server.judge.key_id]


class OnlyOne:
    """An authenticator of another kind: it knows the first peer by a name of its own."""

    def __init__(self) -> None:
        self.identities = [PeerIdentity("first")]

    def identify(self, _session: Session) -> PeerIdentity:
        """The first peer's name; nothing for those that come later."""
        if not self.identities:
            raise UnidentifiedError("this one came too late")
        return self.identities.pop()


async def test_authenticator_decides_who_the_peer_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The judge gets the identity that it found, and is not asked about a peer that has none."""
    server.listener._tls = server.listener._tls._replace(authenticator=OnlyOne())
    server.judge.key_id = "first"
    assert await server.ask() == SECRET
    with pytest.raises(PeerError):
        await server.ask()
    await _until(lambda: "this one came too late" in caplog.text)
    assert (server.judge.asked, server.judge.given) == (["first"], ["first"])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a condition outside of asyncio
            await asyncio.sleep(0)


async def test_unknown_key_gets_nothing(server: Server) -> None:
    """A refusal is a close without data."""
    with pytest.raises(PeerError, match="closed the connection without a secret"):
        await server.ask(keys.generate_tls_key("ed25519"))
    assert len(server.judge.asked) == 1
    assert server.judge.given == []


async def test_many_at_once(server: Server) -> None:
    """Sixty-four clients at the same time all get the secret."""
    answers = await asyncio.gather(*(server.ask() for _ in range(64)))
    assert answers == [SECRET] * 64


@pytest.mark.parametrize("group", ["SECP256R1", "X25519", "SECP384R1", "SECP521R1"])
async def test_client_of_one_group_is_served(server: Server, group: str) -> None:
    """The server offers one key share; for another group of its priority it is asked once more."""
    only = f"{grammar.PRIORITY}:-GROUP-ALL:+GROUP-{group}"
    assert await server.ask(priority=only) == SECRET


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "does not start with a number"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "does not start with a number"),
        (b"2\r\n", "asks for something unknown"),
        (b"3\r\n", "version 3 is not supported"),
        (b"1" * 1000, "longer than 256 bytes"),
        (b"\r\n", "does not start with a number"),
        (b"1\r\nGET / HTTP/1.1\r\n\r\n", "went on after its greeting"),
    ],
)
async def test_peer_that_is_no_client(
    server: Server, caplog: pytest.LogCaptureFixture, sent: bytes, logged: str
) -> None:
    """Another protocol is hung up on before TLS; one line says why."""
    await server.talk(partial(_say, sent))
    await _until(lambda: logged in caplog.text)
    assert server.judge.asked == []
    assert await server.ask() == SECRET


async def test_flood_before_the_line_end(server: Server) -> None:
    """A peer that sends without end is cut off, having cost next to nothing."""

    def flood(sock: socket.socket) -> None:
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                sock.sendall(b"x" * 65536)

    await server.talk(flood)
    assert await server.ask() == SECRET


async def test_garbage_after_the_greeting(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What answers the handshake with something else than TLS is hung up on."""

    def garbage(sock: socket.socket) -> None:
        sock.sendall(b"1\r\n")
        sock.recv(1)
        sock.sendall(b"\0garbage" * 100)
        _hung_up(sock)

    await server.talk(garbage)
    await _until(lambda: "TLS handshake failed" in caplog.text)


async def test_tls_12_is_refused(server: Server) -> None:
    """The default priority string leaves TLS 1.3 only."""
    with pytest.raises(PeerError, match="TLS failed"):
        await server.ask(priority=TLS_12)
    assert server.judge.asked == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed X.509 certificate with its key, in one file."""
    path = tmp_path_factory.mktemp("x509") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521",
         "-nodes", "-keyout", path, "-out", path.with_suffix(".crt"), "-subj", "/CN=x"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


async def test_x509_certificate_is_refused(
    server: Server, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An ordinary TLS server with an X.509 certificate is no Mandos client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def web_server(sock: socket.socket) -> None:
        sock.sendall(b"1\r\n")
        with (
            pytest.raises(ssl.SSLError, match="BAD_CERTIFICATE"),
            context.wrap_socket(sock, server_side=True) as wrapped,
        ):
            wrapped.recv(1)

    await server.talk(web_server)
    await _until(lambda: "the peer showed no raw public key" in caplog.text)
    assert server.judge.asked == []


@pytest.mark.parametrize(
    ("state", "said"), [(conversation.GREETING, b"1"), (conversation.HANDSHAKE, b"1\r\n")]
)
async def test_silence_is_given_up(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: str,
    said: bytes,
) -> None:
    """A peer that stops talking is given up when the state's time is over, and no earlier."""
    monkeypatch.setitem(conversation.SERVER_TIMES, state, 0.05)
    await server.talk(partial(_say, said))
    await _until(lambda: f"the peer took too long ({state})" in caplog.text)


async def test_reader_that_never_reads_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that does not take its secret is given up, and counts as not served."""
    monkeypatch.setitem(conversation.SERVER_TIMES, conversation.SEND, 0.05)
    server.judge.secret = bytes(grammar.SECRET_LIMIT)
    with socket.create_connection(server.address[:2]) as sock:
        session = await asyncio.to_thread(_authenticate, sock, server.key)
        await _until(lambda: f"took too long ({conversation.SEND})" in caplog.text)
        session.close()
    assert server.judge.given == []
    assert server.judge.lost == [server.judge.key_id]


async def test_wait_for_approval_ends_when_the_verdict_comes(server: Server) -> None:
    """However long it takes, the client then gets its secret on the same connection."""
    server.judge.verdict.clear()
    asking = asyncio.create_task(server.ask())
    await _until(lambda: bool(server.judge.asked))
    server.judge.verdict.set()
    assert await asking == SECRET
    assert server.judge.gave_up == 0


@pytest.mark.parametrize("politely", [True, False])
async def test_wait_for_approval_ends_when_the_peer_hangs_up(
    server: Server, caplog: pytest.LogCaptureFixture, *, politely: bool
) -> None:
    """At once, whether TLS is closed or the connection is cut: nobody is asked for a dead peer."""
    server.judge.verdict.clear()
    with socket.create_connection(server.address[:2]) as sock:
        session = await asyncio.to_thread(_authenticate, sock, server.key)
        await _until(lambda: bool(server.judge.asked))
        if politely:
            session.say_goodbye()
        else:
            sock.shutdown(socket.SHUT_RDWR)
        await _until(lambda: "the peer hung up (judge)" in caplog.text)
        session.close()
    assert server.judge.gave_up == 1
    assert server.judge.given == server.judge.lost == []


async def test_peer_that_talks_while_it_waits_is_cut_off(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A client has nothing to say there."""
    server.judge.verdict.clear()
    with socket.create_connection(server.address[:2]) as sock:
        session = await asyncio.to_thread(_authenticate, sock, server.key)
        await _until(lambda: bool(server.judge.asked))
        session.send(memoryview(b"hello"))
        await _until(lambda: "the peer hung up (judge)" in caplog.text)
        session.close()


def _authenticate(sock: socket.socket, key: tuple[bytes, bytes]) -> Session:
    """Do all that a client does, up to reading."""
    sock.sendall(grammar.GREETING)
    sock.settimeout(0)
    credentials = Credentials()
    credentials.load_raw_key(key[1], key[0])
    session = Session(Priority(grammar.PRIORITY), credentials, sock.fileno(), is_server=True)
    while True:
        try:
            session.handshake()
        except WouldBlock:
            select.select([sock], [], [], 30)
        else:
            return session


async def test_silent_peers_do_not_hold_up_honest_ones(server: Server) -> None:
    """Two hundred connections that say nothing change nothing for the others."""
    silent = [socket.create_connection(server.address[:2]) for _ in range(200)]
    try:
        assert await server.ask() == SECRET
    finally:
        for sock in silent:
            sock.close()


async def test_handshake_in_too_many_pieces(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Each byte for itself costs the server a turn: it is cut off long before its time is over."""

    def dribble(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"1\r\n")
        sock.recv(1)
        sock.sendall(b"\x16\x03\x03\x40\0")
        with contextlib.suppress(ConnectionError):
            for _ in range(10 * grammar.HANDSHAKE_PIECES):
                sock.sendall(b"\2")
                time.sleep(0.002)

    await server.talk(dribble)
    await _until(lambda: "the peer sent its part in too many pieces" in caplog.text)


async def test_peer_that_dribbles_while_it_waits_is_cut_off(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Even pieces of a record that never ends cost a turn each."""
    server.judge.verdict.clear()

    def dribble(sock: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"\x17\x03\x03\x40\0" + bytes(10 * grammar.WAITING_PIECES):
                sock.sendall(bytes((byte,)))
                time.sleep(0.002)

    with socket.create_connection(server.address[:2]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = await asyncio.to_thread(_authenticate, sock, server.key)
        await _until(lambda: bool(server.judge.asked))
        await asyncio.to_thread(dribble, sock)
        await _until(lambda: "the peer hung up (judge)" in caplog.text)
        session.close()


async def test_expensive_key_is_refused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger's RSA key is not computed with when that would take long."""
    with pytest.raises(PeerError):
        await server.ask(expensive_key())
    await _until(lambda: "the exponent of the peer's RSA key has" in caplog.text)
    assert server.judge.asked == []


@pytest.fixture
async def small(server: Server) -> Server:
    """A server with room for four connections."""
    server.listener._room = 4
    return server


async def test_silent_connections_make_room_for_others(
    small: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """However many there are, an honest client is served; the log says so once, with a count."""
    silent = [socket.create_connection(small.address[:2]) for _ in range(20)]
    try:
        assert await small.ask() == SECRET
        await _until(lambda: len(small.listener._tasks) <= 4)
        ended = [sock for sock in silent if select.select([sock], [], [], 0)[0]]
        assert ended == silent[: len(ended)]
        assert len(ended) >= 16
    finally:
        for sock in silent:
            sock.close()
    assert caplog.text.count("connections at once") == 1
    await small.listener.stop()
    assert "too many connections: 16 more were ended in a minute; most came from ::1" in caplog.text


async def test_client_that_waits_for_approval_keeps_its_place(small: Server) -> None:
    """Those that have not proved who they are go first."""
    small.judge.verdict.clear()
    asking = asyncio.create_task(small.ask())
    await _until(lambda: bool(small.judge.asked))
    silent = [socket.create_connection(small.address[:2]) for _ in range(20)]
    try:
        await _until(lambda: len(small.listener._crowds._causes) > 0)
        small.judge.verdict.set()
        assert await asking == SECRET
    finally:
        for sock in silent:
            sock.close()


async def test_clients_that_wait_do_not_take_all_room(small: Server) -> None:
    """The holder of one key cannot keep all others out: the oldest of its connections goes."""
    small.judge.verdict.clear()
    with contextlib.ExitStack() as stack:
        for number in range(1, 7):
            sock = stack.enter_context(socket.create_connection(small.address[:2]))
            session = await asyncio.to_thread(_authenticate, sock, small.key)
            stack.callback(session.close)
            await _until(partial(_asked, small, number))
        await _until(lambda: small.judge.gave_up == 2)


def _asked(server: Server, times: int) -> bool:
    return len(server.judge.asked) == times


async def test_failures_are_logged_a_hundred_times_a_minute(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are counted."""
    for _ in range(130):
        with socket.create_connection(server.address[:2]) as sock:
            sock.sendall(b"x\n")
    await _until(lambda: server.listener._failures._causes.total() == 30)
    assert caplog.text.count("does not start with a number") == 100
    await server.listener.stop()
    assert "30 more connections failed in a minute, most of them from ::1" in caplog.text


async def test_useless_connections_are_reported(small: Server) -> None:
    """Each that fails, and each that is ended to make room, with where it comes from."""
    useless: list[tuple[Useless, str]] = []
    small.listener.on_useless = lambda kind, peer: useless.append((kind, peer.address))
    with socket.create_connection(small.address[:2]) as sock:
        sock.sendall(b"x\n")
        await _until(lambda: useless == [(Useless.FAILED, "::1")])
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection(small.address[:2]))
        await _until(lambda: useless[1:] == [(Useless.EVICTED, "::1")])


async def test_peers_that_vanish_leave_nothing(server: Server) -> None:
    """Connections that end at any point of the conversation free their tasks."""

    def vanish(sock: socket.socket) -> None:
        sock.sendall(b"1\r\n")
        sock.recv(1)

    await asyncio.gather(*(server.talk(vanish) for _ in range(20)))
    await server.talk(lambda _sock: None)
    await _until(lambda: not server.listener._tasks)


async def test_another_socket_keeps_connections_under_way(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Who had come by the old socket is served on; new ones come by the new socket alone."""
    fresh = socket.create_server(("::1", 0), family=socket.AF_INET6)
    fresh.settimeout(0)
    with socket.create_connection(server.address[:2], timeout=30) as sock:
        await _until(lambda: bool(server.listener._tasks))
        assert not server.listener.renew(lambda _old: None)
        assert server.listener.renew(lambda _old: fresh)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address[:2])
        await asyncio.to_thread(_say, b"GET /\r\n", sock)
    await _until(lambda: "does not start with a number" in caplog.text)
    server.address = ("::1", server.listener.port, 0)
    assert await server.ask() == SECRET


async def test_socket_that_stays_the_same(server: Server) -> None:
    """A socket that was only bound anew counts as a change, and goes on."""
    assert server.listener.renew(lambda old: old)
    assert await server.ask() == SECRET


async def test_no_other_socket_after_the_end(server: Server) -> None:
    """A listener that was stopped does not begin again."""
    await server.listener.stop()
    assert not server.listener.renew(lambda old: old)


async def test_stop_ends_connections_under_way(server: Server) -> None:
    """The server does not wait for anybody when it stops."""
    with socket.create_connection(server.address[:2], timeout=30) as sock:
        await _until(lambda: bool(server.listener._tasks))
        await server.listener.stop()
        assert await asyncio.to_thread(_hung_up, sock)
