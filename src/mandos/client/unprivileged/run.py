# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the client's unprivileged half: its parts, and the order of their start.

The order is chosen so that all processes work at once: the opener loads the OpenPGP library while
this process asks the network, and this process loads GnuTLS while servers answer.
"""

from __future__ import annotations

import time

from mandos.client.notices import BURST, PAUSE, Sparing, notice
from mandos.client.unprivileged.decryptor import Openers
from mandos.client.unprivileged.loop import Loop, next_deadline
from mandos.client.unprivileged.search import DirectSearch, ZeroconfSearch
from mandos.client.unprivileged.servers import Fetcher
from mandos.client.unprivileged.usable_links import UsableLinks
from mandos.client.unprivileged.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from typing import Protocol, Self

    from mandos.client.selection import Selection
    from mandos.client.settings import Address, ClientOptions
    from mandos.client.unprivileged.identity import Identity
    from mandos.client.unprivileged.loop import Part
    from mandos.client.unprivileged.search import Search
    from mandos.tls.session import Session

    class Network(Protocol):
        """Network services of a half with root's rights."""

        #: False while network hooks may still be making interfaces.
        ready: bool

        def attach(self, loop: Loop, on_ready: Callable[[], object]) -> None:
            """Call back once the network may be used."""

        def ask_route(self, address: str, interface: int, then: Callable[[], object]) -> None:
            """Ask for a route to a server; call back once there is one."""


#: Seconds in which a near server's answer may come before GnuTLS is loaded.
_NEAR = 0.002


class Run:
    """Fetches the password once; a context manager that leaves nothing behind.

    ``files`` are the contents of the key files by their paths.  ``signed`` is the path of the note
    signed-secret and the key ID that it names, if any.
    """

    def __init__(
        self,
        settings: ClientOptions,
        files: Mapping[str, bytes],
        selection: Selection,
        network: Network | None,
        reports: tuple[Callable[[str], None], Callable[[str], None]],
        signed: tuple[str, str] = ("", ""),
    ) -> None:
        """Start the first opener; nothing else happens yet."""
        self._settings = settings
        self._files = files
        self._selection = selection
        self._network = network
        self._tell, self._debug = reports
        self._sparing = Sparing(BURST, PAUSE, 0.0)
        self._openers = Openers(files[settings.seckey], settings.seckey)
        self._loop = Loop()
        self._identity: Identity | None = None
        self._watch: UsableLinks | None = None
        self._waiting: Waiting | None = None
        self._searches: list[Search] = []
        self._fetcher = Fetcher(
            self._loop,
            self._make_session,
            self._openers.open,
            (self._say, self._debug),
            retry=settings.retry,
            ask_route=network.ask_route if network else None,
        )
        self._fetcher.on_refusal = self._on_refusal
        # A single server that the administrator names is all that there is to wait for.
        self._fetcher.prefers_signed = len(settings.connect) != 1
        self._signed_note, self._signed_for = signed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._fetcher.close()
        for search in self._searches:
            search.close()
        if self._watch:
            self._watch.close()
        self._openers.close()

    def fetch(self) -> bytes:
        """Return the password, once some server has given it."""
        self._openers.attach(self._loop)
        if self._network:
            self._network.attach(self._loop, self._begin)
        if self._network is None or self._network.ready:
            self._begin()
            self._turn(_NEAR)
        self._load_identity()  # it may be unusable, which is reported at once
        if self._searches:
            self._network_watch()
        while self._fetcher.password is None:
            self._turn()
        return self._fetcher.password

    def _turn(self, longest: float | None = None) -> None:
        found = [part for part in (self._watch, self._waiting) if part]
        parts: list[Part] = [self._openers, *found, *self._searches, self._fetcher]
        for part in parts:
            part.tick(time.monotonic())  # the part before may have taken a while
        if self._fetcher.password is None:
            now = time.monotonic()
            pause = next_deadline(parts, now) - now
            self._loop.wait(pause if longest is None else min(pause, longest))

    def _begin(self) -> None:
        """Ask: the network may be used."""
        settings = self._settings
        addresses = [*settings.connect, *settings.servers]
        self._searches += [self._direct(address) for address in addresses]
        if not settings.connect:
            self._searches.append(
                ZeroconfSearch(self._network_watch, self._fetcher, self._loop, self._debug)
            )
            self._waiting = Waiting(self._network_watch, self._fetcher, self._say)

    def _direct(self, address: Address) -> DirectSearch:
        return DirectSearch(
            address,
            self._network_watch,
            self._fetcher.learn,
            self._loop,
            self._settings.retry,
            self._say,
        )

    def _network_watch(self) -> UsableLinks:
        """Made when it is needed first: a server with a global address is asked before."""
        if self._watch is None:
            self._watch = UsableLinks(
                self._selection, self._loop, self._network_changed, self._network_widened
            )
            for name in self._selection.names:
                if not self._watch.exists(name):
                    self._say(
                        f"warning: the network interface {name} does not exist; waiting for it"
                    )
        return self._watch

    def _network_widened(self, why: str) -> None:
        self._say(notice(why))
        if self._waiting:
            self._waiting.put_off()

    def _network_changed(self) -> None:
        for search in self._searches:
            search.network_changed()

    def _say(self, text: str) -> None:
        """Report to a person; the number of lines is bounded, so no network floods the console."""
        left_out = self._sparing.dropped
        if self._sparing.allows(text, time.monotonic()):
            self._sparing.dropped = 0
            self._tell(text + (f" ({left_out} messages were left out before)" if left_out else ""))

    def _on_refusal(self) -> str:
        return (
            f"on the server, clients.conf needs a section with key_id = "
            f"{self._load_identity().key_id}, and mandos-ctl says whether it is enabled"
        )

    def _make_session(self, sock: socket.socket) -> Session:
        return self._load_identity().session(sock.fileno())

    def _load_identity(self) -> Identity:
        if self._identity is None:
            from mandos.client.unprivileged.identity import Identity  # noqa: PLC0415 - see the top

            self._identity = Identity(self._settings, self._files)
            self._decide_on_unsigned(self._identity.key_id)
        return self._identity

    def _decide_on_unsigned(self, key_id: str) -> None:
        """Use no unsigned password if an option says so, or else the note about this very key."""
        wanted = self._settings.signed_only
        noted = wanted is None and self._signed_for == key_id
        self._fetcher.signed_only = bool(wanted) or noted
        if noted:
            self._fetcher.unsigned_hint = (
                f"{self._signed_note} says that it must be; mandos-keygen --password encrypts"
                " and signs; if another program encrypted it, write"
                " --options-for=mandos-client:--no-signed-only into /etc/mandos/plugin-runner.conf,"
                " then make the image anew"
            )
