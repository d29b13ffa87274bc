# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every server at once and takes the first good answer.

A server that hangs, lies or refuses costs the others nothing: each has its own connection and its
own deadlines, and is asked again after the retry time, for ever.  Where there are more servers than
connections, or than memory for them, ``turns`` decides whose turn it is.
"""

from __future__ import annotations

import os
import time

from mandos.client.notices import notice
from mandos.client.unprivileged import turns
from mandos.client.unprivileged.attempt import Attempt, UnreachableError
from mandos.client.unprivileged.known_server import FIRST_TURN, KnownServer, host_of
from mandos.client.unprivileged.loop import FOREVER
from mandos.client.unprivileged.turns import Turns
from mandos.discovery.pace import Pace
from mandos.errors import AdministratorError, MachineError, MandosError, PeerError
from mandos.wire.conversation import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mandos.client.unprivileged.attempt import SessionMaker
    from mandos.client.unprivileged.decryptor import Opened
    from mandos.client.unprivileged.loop import Loop
    from mandos.client.unprivileged.search import Target

    #: Opens a server's message; later calls back with the password, or why there is none.  The
    #: number says how many messages from the same host were opened before.
    Open = Callable[[bytes, Callable[[Opened | MandosError], None], int], None]
    #: Asks for a route to an address over an interface (0: for none), in place of an earlier one;
    #: calls back once it is so.
    AskRoute = Callable[[str, int, Callable[[], object]], None]

#: How many servers may be asked at once, and then in each second: as many as the connections let
#: through when none of them says anything.
_BEGINNINGS = (float(turns.AT_ONCE), turns.AT_ONCE / FIRST_TURN)
#: Seconds until the next address of the same server is tried too (RFC 8305, section 5).
_NEXT_ADDRESS = 0.25
#: The retry time varies by this part of it, so that a room full of machines does not ask in step.
_JITTER = 0.1
#: Seconds from the first failure after which the client reports that no way leads to a server: the
#: network may still be coming up.
_NO_WAY_TIME = 9.0
#: Seconds in which a signed password may come after the first that is not signed; and how many of
#: those are remembered.
UNSIGNED_AFTER = 20.0
_UNSIGNED_LIMIT = 16
_NOT_SIGNED = "the password is not signed by this client's OpenPGP key"
_SIGN = "mandos-keygen --password encrypts and signs"
#: Different complaints that are reported about one server.
_COMPLAINT_LIMIT = 8


class Fetcher:
    """Fetches the password; a part of the loop.

    ``learn`` takes the servers that a search finds, and ``password`` is set once one of them has
    given it.  The reports are for a person at the console, and for ``--debug``; ``retry`` is in
    seconds.  ``on_refusal``, if set, returns advice for a person about a server that refuses.
    """

    def __init__(
        self,
        loop: Loop,
        make_session: SessionMaker,
        open_sealed: Open,
        reports: tuple[Callable[[str], None], Callable[[str], None]],
        *,
        retry: float,
        ask_route: AskRoute | None = None,
    ) -> None:
        self.password: bytes | None = None
        self.on_refusal: Callable[[], str] | None = None
        #: Whether a signed password is waited for when one came that is not signed.
        self.prefers_signed = True
        #: Whether one that is not signed is never used.
        self.signed_only = False
        #: The cure for a password that is refused because it is not signed.
        self.unsigned_hint = _SIGN
        self._loop = loop
        self._make_session = make_session
        self._open_sealed = open_sealed
        self._say, self._debug = reports
        self._retry = retry
        self._ask_route = ask_route
        self._servers: dict[tuple[str, int, int], KnownServer] = {}
        self._by_name: dict[str, dict[KnownServer, None]] = {}
        self._turns: Turns = Turns()
        #: Passwords without a signature, by host, and when one of them will do.
        self._unsigned: dict[tuple[str, int] | None, bytes] = {}
        self._unsigned_from = FOREVER
        self._beginnings = Pace(*_BEGINNINGS)
        self._messages: dict[tuple[str, int], int] = {}

    @property
    def knows_a_server(self) -> bool:
        """Whether there is one to ask."""
        return bool(self._servers)

    def deadline(self, now: float) -> float:
        """When to call ``tick``."""
        attempts = (one.attempt.deadline for one in self._turns.busy if one.attempt)
        turn = self._beginnings.ready_at(now)
        if turn <= now:
            turn = self._turns.when(now)
        return min(turn, self._unsigned_from, min(attempts, default=FOREVER))

    def tick(self, now: float) -> None:
        """Ask those whose turn it is, and give those up that took too long."""
        if now >= self._unsigned_from:
            passwords = list(self._unsigned.values())
            # Any of them: a run after this one may choose another.
            self.password = passwords[os.urandom(1)[0] % len(passwords)]
            return
        for server in list(self._turns.busy):
            if server.attempt and server.attempt.deadline <= now:
                self._advance(server, server.attempt, now)
        while self._beginnings.ready_at(now) <= now and (turn := self._turns.next(now)):
            wanted, victim = turn
            self._beginnings.take(now)
            if victim:
                self._make_way(victim, now)
            self._begin(wanted, now)

    def learn(self, targets: Iterable[Target]) -> None:
        """Ask these servers as soon as may be."""
        now = time.monotonic()
        for target in targets:
            server = self._servers.get(target.address)
            if server is not None:
                if server.host or not target.name:  # the administrator's own target stays
                    self._rename(server, target, now)
                self._renew(server, now)
            else:
                self._remember(target, now)

    def remind(self, targets: Iterable[Target]) -> None:
        """Learn again those of these servers that have been forgotten."""
        now = time.monotonic()
        for target in targets:
            if target.address not in self._servers:
                self._remember(target, now)

    def close(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            self._end_attempt(server)

    def _courtesy(self, target: Target) -> float:
        """How long to wait because another address of the same server is being asked."""
        same = self._by_name.get(target.name, ()) if target.name else ()
        return _NEXT_ADDRESS if any(not one.complaint for one in same) else 0.0

    def _remember(self, target: Target, now: float) -> None:
        server = KnownServer(target, now + self._courtesy(target))
        if self._make_room(server):
            self._servers[target.address] = server
            self._by_name.setdefault(target.name, {})[server] = None
            self._turns.add(server, now)
            self._debug(f"found the server {server}")

    def _make_room(self, new: KnownServer) -> bool:
        """Forget a server when there are too many: lies must not keep truth out."""
        if self._turns.count < turns.PLACES or new.host is None:
            return True
        victim = self._turns.to_forget(new.host)
        if victim:
            self._turns.remove(victim)
            del self._servers[victim.target.address]
            self._unname(victim)
        return victim is not None

    def _rename(self, server: KnownServer, target: Target, now: float) -> None:
        """Note another name of a server; without a name it is one of the administrator's."""
        self._unname(server)
        server.target = target
        self._by_name.setdefault(target.name, {})[server] = None
        if server.host != host_of(target):
            self._turns.move(server, host_of(target), now)

    def _unname(self, server: KnownServer) -> None:
        same = self._by_name[server.target.name]
        del same[server]
        if not same:
            del self._by_name[server.target.name]

    def _make_way(self, server: KnownServer, now: float) -> None:
        self._debug(f"{server} gives way to others; asking again later")
        self._end_attempt(server)
        server.grow_turn(now)
        self._wait_until(server, now, now)

    def _begin(self, server: KnownServer, now: float) -> None:
        self._debug(f"asking {server}")
        self._turns.begin(server, now)
        try:
            attempt = server.attempt = Attempt(server.target.address, self._make_session, now)
        except (MandosError, OSError, MemoryError) as error:
            self._give_up(server, error, now)
            return
        self._loop.watch(
            attempt.socket.fileno(),
            lambda: self._advance(server, attempt, time.monotonic()),
            attempt.waits_for,
        )
        self._advance(server, attempt, now)

    def _advance(self, server: KnownServer, attempt: Attempt, now: float) -> None:
        try:
            sealed = attempt.advance(now)
        except (AdministratorError, MachineError):
            raise  # our own keys, or our own library: no server is to blame
        except (MandosError, MemoryError) as error:
            self._give_up(server, error, now)
            return
        if sealed is None:
            self._loop.change(attempt.socket.fileno(), attempt.waits_for)
            return
        self._debug(f"{server} sent {len(sealed)} bytes")
        self._end_attempt(server)
        server.opening = True
        self._open_sealed(
            sealed, lambda result: self._opened(server, result), self._count_message(server.host)
        )

    def _count_message(self, host: tuple[str, int] | None) -> int:
        """Return how many messages of this host were opened before."""
        if host is None:
            return 0
        count = self._messages.pop(host, 0)
        self._messages[host] = count + 1
        if len(self._messages) > turns.HOSTS:
            del self._messages[next(iter(self._messages))]
        return count

    def _opened(self, server: KnownServer, result: Opened | MandosError) -> None:
        server.opening = False
        if isinstance(result, MandosError):
            self._give_up(server, result, time.monotonic())
        elif self.signed_only and not result.signed:
            self._give_up(server, PeerError(_NOT_SIGNED, self.unsigned_hint), time.monotonic())
        elif result.signed or not self.prefers_signed:
            self.password = result.password
        else:
            self._keep_unsigned(server, result.password, time.monotonic())

    def _keep_unsigned(self, server: KnownServer, password: bytes, now: float) -> None:
        """Keep a password that any holder of our public key may have sealed; seek a signed one."""
        self._wait_until(server, now + self._wait(), now)
        if not self._unsigned:
            self._unsigned_from = now + UNSIGNED_AFTER
            self._say(
                f"{server}: {_NOT_SIGNED}: used only if no signed one comes within "
                f"{UNSIGNED_AFTER:g} seconds - {_SIGN}"
            )
        if len(self._unsigned) < _UNSIGNED_LIMIT:
            self._unsigned[server.host] = password

    def _end_attempt(self, server: KnownServer) -> None:
        if server.attempt:
            self._loop.forget(server.attempt.socket.fileno())
            server.attempt.close()
            server.attempt = None

    def _give_up(self, server: KnownServer, error: Exception, now: float) -> None:
        self._end_attempt(server)
        self._wait_until(server, now + self._wait(), now)
        if isinstance(error, Refused) and self.on_refusal:
            error.hint = self.on_refusal()
        self._complain(server, error, now)
        if isinstance(error, UnreachableError) and not server.target.scope:
            self._seek_way(server)

    def _wait_until(self, server: KnownServer, begin: float, now: float) -> None:
        """Ask a server from then on that is asked no more."""
        server.begin = begin
        self._turns.end(server, now)

    def _wait(self) -> float:
        """Seconds until a server is asked again."""
        return self._retry * (1 + _JITTER * _fraction())

    def _complain(self, server: KnownServer, error: Exception, now: float) -> None:
        """Report each failure once; report that no way leads to a server only when it lasts."""
        why = " - ".join(error.lines()) if isinstance(error, MandosError) else str(error)
        why = why or "out of memory"
        server.complaint = why
        server.failing_since = min(server.failing_since, now)
        text = f"{server}: {why}; asking again in {self._retry:g} seconds"
        early = isinstance(error, UnreachableError) and now < server.failing_since + _NO_WAY_TIME
        if early or self._was_told(server, why) or len(server.told) >= _COMPLAINT_LIMIT:
            self._debug(text)
        else:
            server.told.add(why)
            self._say(notice(text))

    def _was_told(self, server: KnownServer, why: str) -> bool:
        """Whether a person knows this of the server, by this or another address of its."""
        same = self._by_name[server.target.name] if server.target.name else ()
        return any(why in one.told for one in (server, *same))

    def _renew(self, server: KnownServer, now: float) -> None:
        """Ask a server again by the usual routes: it was announced anew, or the network changed."""
        if server.way and server.idle:
            self._go_over(server, 0)
        elif server.idle and server.begin > now:  # a new announcement cannot delay it
            self._wait_until(server, now, now)

    def _seek_way(self, server: KnownServer) -> None:
        """Ask for a route to a server on our own link, if no route leads to it.

        After the last interface the server is left to the usual routes, which may come late: one
        of ours would hide them.
        """
        if self._ask_route is None:
            return
        if not server.way:
            server.ways = list(server.target.links)
        if server.way or server.ways:
            self._go_over(server, server.ways.pop(0) if server.ways else 0)

    def _go_over(self, server: KnownServer, interface: int) -> None:
        assert self._ask_route is not None  # noqa: S101 - else nothing has a way
        server.way = interface
        self._ask_route(server.target.host, interface, lambda: self._retry_now(server, interface))

    def _retry_now(self, server: KnownServer, interface: int) -> None:
        if server.way == interface and server.idle:
            now = time.monotonic()
            self._wait_until(server, now, now)


def _fraction() -> float:
    """A random number from -1 to 1; the random module is expensive at boot."""
    return int.from_bytes(os.urandom(2)) / 0x7FFF - 1
