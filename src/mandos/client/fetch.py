# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's one loop: asks every server at once and takes the first good answer.

A server that hangs, lies or refuses costs the others nothing: each has its own connection and its
own deadlines, and is asked again after the retry time, for ever.
"""

from __future__ import annotations

import socket
import time

from mandos.client.attempt import Attempt
from mandos.errors import MandosError
from mandos.interfaces import interface_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterable

    from mandos.client.search import Search, Target
    from mandos.tls.credentials import Credentials, Priority

#: How many servers are remembered and asked at most: a network can be full of lies.
_SERVER_LIMIT = 64
#: Seconds until the next address of the same server is tried too (RFC 8305, section 5).
_NEXT_ADDRESS = 0.25
#: The longest sleep in seconds, since select(2) cannot wait for ever.
_LONGEST_WAIT = 3600.0


class _Server:
    """A server, the attempt under way, when to begin the next one, and its last complaint."""

    __slots__ = ("attempt", "begin", "complaint", "target")

    def __init__(self, target: Target, begin: float) -> None:
        self.target = target
        self.attempt: Attempt | None = None
        self.begin = begin
        self.complaint = ""

    def __str__(self) -> str:
        host, port, scope, _name = self.target
        where = f"{host}%{interface_name(scope)}" if scope else host
        return f"[{where}]:{port}" if ":" in host else f"{where}:{port}"

    @property
    def due(self) -> float:
        """When something has to be done about this server."""
        return self.attempt.deadline if self.attempt else self.begin


class Fetcher:
    """Fetches the password.

    ``search`` names the servers; ``open_sealed`` opens what one of them sends, or raises
    MandosError; the reports are for a person at the console, and for ``--debug``; ``retry`` is
    in seconds.
    """

    def __init__(
        self,
        search: Search,
        selector: selectors.BaseSelector,
        tls: tuple[Priority, Credentials],
        open_sealed: Callable[[bytes], bytes],
        reports: tuple[Callable[[str], None], Callable[[str], None]],
        *,
        retry: float,
    ) -> None:
        self._search = search
        self._selector = selector
        self._tls = tls
        self._open_sealed = open_sealed
        self._say, self._debug = reports
        self._retry = retry
        self._servers: dict[Target, _Server] = {}
        self._password: bytes | None = None

    def start(self) -> None:
        """Send the first questions, so that answers travel while the caller prepares the rest."""
        self._password = self._turn((), time.monotonic())

    def run(self) -> bytes:
        """Return the password, once some server has given it; a near one may have already."""
        while self._password is None:
            ready = self._selector.select(self._patience(time.monotonic()))
            self._password = self._turn(ready, time.monotonic())
        return self._password

    def close(self) -> None:
        """Close every connection and stop searching."""
        for server in self._servers.values():
            if server.attempt:
                server.attempt.close()
        self._search.close()

    def _patience(self, now: float) -> float:
        due = min((server.due for server in self._servers.values()), default=now + _LONGEST_WAIT)
        return max(0.0, min(due - now, self._search.deadline(now) - now, _LONGEST_WAIT))

    def _turn(self, ready: Iterable[tuple[selectors.SelectorKey, int]], now: float) -> bytes | None:
        for key, _events in ready:
            if isinstance(key.data, _Server):
                password = self._advance(key.data, now)
                if password is not None:
                    return password
            else:
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - narrows the type
                self._learn(self._search.hear(key.fileobj), now)
        self._learn(self._search.tick(now), now)
        return self._serve_due(now)

    def _learn(self, targets: Iterable[Target], now: float) -> None:
        for target in targets:
            server = self._servers.get(target)
            if server is not None:
                server.begin = now  # it announced itself anew: it may have changed its mind
            elif self._make_room():
                server = self._servers[target] = _Server(target, now + self._courtesy(target))
                self._debug(f"found the server {server}")

    def _courtesy(self, target: Target) -> float:
        """How long to wait because another address of the same server is being asked."""
        name = target[3]
        asked = any(one.target[3] == name and not one.complaint for one in self._servers.values())
        return _NEXT_ADDRESS if name and asked else 0.0

    def _make_room(self) -> bool:
        """Forget a server that has failed when there are too many: lies must not keep truth out."""
        if len(self._servers) < _SERVER_LIMIT:
            return True
        failed = (one for one in self._servers.values() if one.complaint and not one.attempt)
        victim = next(failed, None)
        if victim:
            del self._servers[victim.target]
        return victim is not None

    def _serve_due(self, now: float) -> bytes | None:
        for server in self._servers.values():
            if server.due <= now:
                password = (
                    self._advance(server, now) if server.attempt else self._begin(server, now)
                )
                if password is not None:
                    return password
        return None

    def _begin(self, server: _Server, now: float) -> bytes | None:
        self._debug(f"asking {server}")
        try:
            server.attempt = Attempt(server.target[:3], *self._tls, now)
        except (MandosError, OSError) as error:
            self._give_up(server, str(error), now)
            return None
        self._selector.register(server.attempt.socket, server.attempt.waits_for, server)
        return self._advance(server, now)

    def _advance(self, server: _Server, now: float) -> bytes | None:
        attempt = server.attempt
        if attempt is None:
            return None
        try:
            sealed = attempt.advance(now)
            if sealed is None:
                self._selector.modify(attempt.socket, attempt.waits_for, server)
                return None
            self._debug(f"{server} sent {len(sealed)} bytes")
            return self._open_sealed(sealed)
        except MandosError as error:
            self._give_up(server, " - ".join(error.lines()), now)
            return None

    def _give_up(self, server: _Server, why: str, now: float) -> None:
        if server.attempt:
            self._selector.unregister(server.attempt.socket)
            server.attempt.close()
            server.attempt = None
        server.begin = now + self._retry
        tell = self._debug if why == server.complaint else self._say
        tell(f"{server}: {why}; asking again in {self._retry:g} seconds")
        server.complaint = why
