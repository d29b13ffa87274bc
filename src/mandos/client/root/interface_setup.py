# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root half of the client: hooks, interfaces and routes, and all of it undone at the end.

It runs in a process of its own, reads nothing that comes from a network, and is asked for one
thing only: a route to a host on an interface that is in use.  It ends when the other half does,
however that ends: the socket between them is closed then.
"""

from __future__ import annotations

import select
import struct
import time

from mandos.client.addresses import addresses
from mandos.client.privileges import be_root
from mandos.client.root.console import QuietConsole
from mandos.client.root.hooks import Hooks
from mandos.client.root.kernel import Kernel, read_setting, write_setting
from mandos.errors import MandosError
from mandos.lean_stdlib import socket
from mandos.links import Links
from mandos.program import ignore_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client.selection import Selection
    from mandos.client.settings import ClientOptions
    from mandos.links import Link

#: The one request, and its answer when it is done: interface, length, packed address.  Instead of
#: an earlier route to that host there shall be one over this interface, or none (0).
ROUTE = struct.Struct("=IB16s")
#: Said once the hooks have run and the interfaces that are there have been switched on.
READY = b"ready"
#: How many routes there may be at once; a network can be full of lies.
_ROUTE_LIMIT = 64
#: Settings of an interface by which Linux follows RFC 4429 (networking/ip-sysctl).
_OPTIMISM = ("optimistic_dad", "use_optimistic")
#: Seconds that an interface which comes late keeps its name before it is switched on: while it is
#: up, udev could not rename it.
SETTLING = 0.2
#: An interface that cannot be switched on (its firmware or another interface may still be missing)
#: is tried again after 1, 2, 4 … seconds, and at most so many.
_LONGEST_PAUSE = 60.0
_FOREVER = float("inf")
#: A packet socket of no interface in particular.
_ANY = 0


def keep_network(
    end: socket.socket,
    settings: ClientOptions,
    selection: Selection,
    reports: tuple[Callable[[str], None], Callable[[str], None]],
) -> None:
    """Do the work of the root half, until the other end of the socket is closed."""
    ignore_signals()  # the other half decides when to end
    be_root()
    hooks = Hooks(settings.network_hook_dir, settings.hook_variables(), reports)
    try:
        hooks.run("start", end.fileno())
        _Network(end, selection, settings.delay, reports).keep()
    except MandosError as error:
        reports[0](str(error))
    finally:
        hooks.run("stop")


class _Network:
    """The interfaces that we switched on, and the routes that we made."""

    def __init__(
        self,
        end: socket.socket,
        selection: Selection,
        delay: float,
        reports: tuple[Callable[[str], None], Callable[[str], None]],
    ) -> None:
        self._end = end
        self._selection = selection
        self._delay = delay
        self._say, self._debug = reports
        self._links = Links()
        self._kernel = Kernel()
        self._known: dict[int, tuple[str, ...]] = {}
        self._settling: dict[int, float] = {}
        self._switched_on: dict[int, str] = {}
        #: Addresses (packed) that those interfaces had before.
        self._former: dict[int, set[bytes]] = {}
        self._failed: dict[int, int] = {}
        self._settings: dict[str, bytes] = {}
        self._routes: list[tuple[bytes, int]] = []
        self._console: QuietConsole | None = None
        self._console_until = 0.0

    def keep(self) -> None:
        """Follow the links and serve requests, until the other half is gone; then tidy up."""
        try:
            self._links.update()
            if self._is_alone():
                return  # the other half ended while hooks ran
            self._look(time.monotonic(), settling=0.0)
            self._end.send(READY)
            while self._turn():
                pass
        except ConnectionError:
            pass  # the other half went without a word
        finally:
            self._tidy_up()

    def _is_alone(self) -> bool:
        try:
            return not self._end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _turn(self) -> bool:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.register(self._links, select.POLLIN)
        ready = dict(poll.poll(self._patience(time.monotonic())))
        if self._links.fileno() in ready:
            self._links.update()
        self._look(time.monotonic(), SETTLING)
        return self._end.fileno() not in ready or self._serve()

    def _patience(self, now: float) -> float | None:
        due = [*self._settling.values(), *self._widening()]
        if self._console:
            due.append(self._console_until)
        return max(0.0, min(due) - now) * 1000 if due else None

    def _widening(self) -> list[float]:
        """When to look whether the named interfaces have been of no use for too long."""
        deadline = self._selection.deadline
        return [] if deadline == _FOREVER else [deadline]

    def _look(self, now: float, settling: float) -> None:
        links = self._links.by_index
        if self._selection.look(links.values(), now):
            self._settling.update(dict.fromkeys(links, now))
        for index in self._known.keys() - links.keys():
            self._forget(index)
        for index, link in links.items():
            if self._known.get(index) != link.names:
                self._known[index] = link.names
                self._settling[index] = now + settling
        for index in [index for index, due in self._settling.items() if due <= now]:
            del self._settling[index]
            self._switch_on(links[index], now)
        self._watch_console(now)

    def _forget(self, index: int) -> None:
        for table in (self._known, self._settling, self._switched_on, self._failed):
            table.pop(index, None)
        self._former.pop(index, None)

    def _switch_on(self, link: Link, now: float) -> None:
        if link.up or not self._selection.brings_up(link):
            return
        self._debug(f"bringing up the network interface {link.name}")
        self._console = self._console or QuietConsole()
        self._console_until = now + self._delay
        self._use_at_once(link.name)
        self._former.setdefault(link.index, _foreign_addresses(link.index))
        try:
            self._kernel.switch_on(link.index)
        except OSError as error:
            tries = self._failed.get(link.index, 0)
            self._failed[link.index] = tries + 1
            self._settling[link.index] = now + min(2.0**tries, _LONGEST_PAUSE)
            tell = self._debug if tries else self._say
            tell(f"cannot bring up the network interface {link.name}: {error.strerror}; trying on")
        else:
            self._switched_on[link.index] = link.name

    def _use_at_once(self, name: str) -> None:
        """Use the link-local address while its uniqueness is still being checked (RFC 4429).

        Without that an interface is mute for one to two seconds.
        """
        for setting in _OPTIMISM:
            path = f"/proc/sys/net/ipv6/conf/{name}/{setting}"
            former = read_setting(path)
            if former:
                self._settings.setdefault(path, former)
                write_setting(path, b"1\n")

    def _watch_console(self, now: float) -> None:
        """Bring the kernel's messages back once all interfaces run, or have not for too long."""
        if self._console is None:
            return
        links = self._links.by_index
        waiting = [index for index in self._switched_on if not links[index].running]
        if now >= self._console_until or not waiting:
            self._console.restore()
            self._console = None

    def _serve(self) -> bool:
        """Answer a request; False when there will be none any more."""
        request = self._end.recv(ROUTE.size + 1)
        if not request:
            return False
        if len(request) == ROUTE.size:
            interface, length, address = ROUTE.unpack(request)
            if self._route(address[:length], interface):
                self._end.send(request)
        return True

    def _route(self, address: bytes, interface: int) -> bool:
        """Reach a host over this interface and, as far as it is our doing, over no other."""
        if (address, interface) in self._routes:
            return True
        for other in [route for route in self._routes if route[0] == address]:
            self._routes.remove(other)
            self._quietly(self._kernel.remove_route, *other)
        return not interface or self._make_route(address, interface)

    def _make_route(self, address: bytes, interface: int) -> bool:
        """Make a route where there is none; check all, since a stranger chose the address."""
        link = self._links.by_index.get(interface)
        if link is None or not self._selection.uses(link) or not may_be_a_server(address):
            return False
        if len(self._routes) >= _ROUTE_LIMIT:
            self._quietly(self._kernel.remove_route, *self._routes.pop(0))
        try:
            if self._kernel.has_route(address):
                self._debug(f"no route over {link.name}: there is one already")
                return False
            self._kernel.add_route(address, interface)
        except OSError as error:
            self._debug(f"no route over {link.name}: {error.strerror}")
            return False
        self._debug(f"made a route over {link.name}")
        self._routes.append((address, interface))
        return True

    def _tidy_up(self) -> None:
        for address, interface in self._routes:
            self._quietly(self._kernel.remove_route, address, interface)
        for index, name in self._switched_on.items():
            if why := self._why_stays(index):
                self._debug(f"leaving the network interface {name} up: {why}")
            else:
                self._debug(f"taking down the network interface {name}")
                self._quietly(self._kernel.switch_off, index)
        for path, former in self._settings.items():
            write_setting(path, former)
        if self._console:
            self._console.restore()
        self._kernel.close()
        self._links.close()

    def _why_stays(self, index: int) -> str:
        """Why an interface is left up: another program uses it by now, or is about to."""
        if _foreign_addresses(index) - self._former.get(index, set()):
            return "it has an address that is not ours"
        if {index, _ANY}.intersection(_packet_interfaces()):
            return "another program configures it"
        return ""

    def _quietly(self, undo: Callable[..., None], *arguments: bytes | int) -> None:
        """Undo a step; the removal of the interface may have undone it already."""
        try:
            undo(*arguments)
        except OSError as error:
            self._debug(f"while tidying up: {error.strerror}")


def may_be_a_server(address: bytes) -> bool:
    """Whether a route to this packed address may be made: one host, elsewhere, of any link.

    RFC 6890: none of this host, loopback, link-local (where clouds keep their secrets, as they do
    in fd00:ec2::/32), multicast, reserved, broadcast.
    """
    if len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127 and address[:2] != b"\xa9\xfe"
    link_local = address[:1] == b"\xfe" and address[1] & 0xC0 == 0x80
    other = address.startswith((bytes(10), b"\xff", b"\xfd\x00\x0e\xc2"))
    return len(address) == 16 and not (link_local or other)


def _foreign_addresses(index: int) -> set[bytes]:
    """The packed addresses of an interface that the kernel has not made by itself."""
    try:
        return {one.packed for one in addresses() if one.interface == index and one.foreign}
    except OSError:
        return set()


def _packet_interfaces() -> set[int]:
    """The interfaces that a program sends raw packets over: DHCP clients do; packet(7).

    A socket that is bound to none (``_ANY``) hears all of them, or is about to be bound.
    """
    try:
        with open("/proc/net/packet", "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
            rows = [line.split() for line in file.read(1 << 16).splitlines()[1:]]
    except OSError:
        return set()
    return {int(row[4]) for row in rows if len(row) > 4 and row[4].isdigit()}
