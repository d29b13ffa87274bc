# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unprivileged half's view of the root half: starts it, and sends requests to it."""

from __future__ import annotations

import os
import select

from mandos import process
from mandos.client.privileges import has_root
from mandos.lean_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client.selection import Selection
    from mandos.client.settings import ClientOptions
    from mandos.client.unprivileged.loop import Loop

_STDERR = 2
#: Requests whose answer is waited for.
_REQUEST_LIMIT = 64
#: Seconds until the root half is no longer waited for; only hooks can take long.
_ENDING_TIME = 120.0


def has_hooks(directory: str) -> bool:
    """Whether there may be network hooks, which then have to run before the network is used."""
    try:
        return bool(os.listdir(directory))  # noqa: PTH208 - pathlib is expensive at boot
    except OSError:
        return False


class RootHelper:
    """The root half, a process that keeps the network: ``mandos.client.root.interface_setup``."""

    __slots__ = ("_loop", "_pid", "_routed", "_socket", "ready")

    def __init__(
        self,
        settings: ClientOptions,
        selection: Selection,
        reports: tuple[Callable[[str], None], Callable[[str], None]],
    ) -> None:
        """Fork it.  ``ready`` is false while hooks may still be making interfaces."""

        def work(end: socket.socket) -> None:
            from mandos.client.root import interface_setup  # noqa: PLC0415 - expensive

            interface_setup.keep_network(end, settings, selection, reports)

        self.ready = not has_hooks(settings.network_hook_dir)
        self._routed: dict[bytes, Callable[[], object]] = {}
        self._loop: Loop | None = None
        self._pid, self._socket = process.accompany(work, socket.SOCK_SEQPACKET, errors=_STDERR)

    def attach(self, loop: Loop, on_ready: Callable[[], object]) -> None:
        """Read its messages; ``on_ready`` is called once the network may be used."""
        self._loop = loop
        loop.watch(self._socket.fileno(), lambda: self._hear(on_ready))

    def ask_route(self, address: str, interface: int, then: Callable[[], object]) -> None:
        """Ask for a route to a numeric address over an interface, in place of an earlier one.

        Interface 0: for none.  ``then`` is called once it is so; without an answer nothing happens:
        the server is asked again later anyway.
        """
        from mandos.client.root.interface_setup import ROUTE  # noqa: PLC0415 - hardly any boot needs it

        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        request = ROUTE.pack(interface, len(packed), packed)
        self._routed[request] = then
        if len(self._routed) > _REQUEST_LIMIT:  # those that were refused stay without an answer
            del self._routed[next(iter(self._routed))]
        try:
            self._socket.send(request)
        except OSError:
            self._routed.pop(request, None)

    def finish(self) -> None:
        """Let the root half stop hooks, take interfaces down and remove routes; wait for that.

        The wait is bounded: if the work takes longer, it goes on without us.
        """
        self._forget()
        self._socket.close()
        ended = os.pidfd_open(self._pid)
        try:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            if poll.poll(_ENDING_TIME * 1000):
                os.waitpid(self._pid, 0)
        finally:
            os.close(ended)

    def _forget(self) -> None:
        if self._loop:
            self._loop.forget(self._socket.fileno())
            self._loop = None

    def _hear(self, on_ready: Callable[[], object]) -> None:
        try:
            said = self._socket.recv(1 << 10)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._forget()  # it failed, and has said why; interfaces that are up can be used
        then = self._routed.pop(said, None)
        if then:
            then()
        elif not self.ready:
            self.ready = True
            on_ready()


def begin(
    settings: ClientOptions,
    selection: Selection,
    reports: tuple[Callable[[str], None], Callable[[str], None]],
) -> RootHelper | None:
    """Fork the root helper if it could do anything: with root's rights, or if there are hooks."""
    if has_root() or has_hooks(settings.network_hook_dir):
        return RootHelper(settings, selection, reports)
    return None
