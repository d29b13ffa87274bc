# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system bus and an avahi-daemon of a host's own, where nobody but the test can reach them.

``BusPeer`` is the test's own connection to such a bus: it calls the server, and keeps every signal
that the server sends in the order in which they come.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from dbus_fast import DBusFastError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

from harness.patience import within
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from harness.host import Host
    from harness.process import Process

SERVER = "se.recompile.Mandos"
PROPERTIES = "org.freedesktop.DBus.Properties"
_SOCKET = "/run/dbus/system_bus_socket"

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""
AVAHI_CONFIG = """[server]
host-name={name}
use-ipv4=yes
use-ipv6=yes
disallow-other-stacks=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


def start_system_bus(host: Host) -> Process:
    """Run a dbus-daemon as the host's system bus; return when it takes connections."""
    host.path("/run/dbus").mkdir()
    host.path("/run/bus.conf").write_text(BUS_CONFIG, encoding="ascii")
    bus = host.start(
        *("dbus-daemon", "--config-file=/run/bus.conf"),
        *("--nofork", "--nopidfile", "--print-address"),
    )
    bus.wait_for("^unix:path=")
    return bus


@dataclass(frozen=True)
class Signal:
    """A signal of the server; ``body`` still has its variants."""

    path: str
    interface: str
    member: str
    body: list[Any]

    @property
    def values(self) -> list[Any]:
        """The body without the variants' types."""
        return list(unpack_variants(self.body))


class BusError(AssertionError):
    """A call was answered with an error, of this name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class UnheardError(AssertionError):
    """What was waited for was not heard, for ``PATIENCE``."""


class BusPeer:
    """A connection to a host's system bus that hears all signals of the Mandos server."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.signals: list[Signal] = []
        self.owner = ""

    @classmethod
    @asynccontextmanager
    async def connect(cls, host: Host) -> AsyncIterator[Self]:
        """Connect as root, and listen."""
        bus = MessageBus(bus_address=f"unix:path={host.path(_SOCKET)}")
        await bus.connect()
        peer = cls(bus)
        bus.add_message_handler(peer._hear)
        try:
            await peer._listen()
            yield peer
        finally:
            bus.disconnect()
            with contextlib.suppress(EOFError, OSError, DBusFastError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's

    async def _listen(self) -> None:
        for rule in (
            f"type='signal',sender='{SERVER}'",
            f"type='signal',sender='org.freedesktop.DBus',arg0='{SERVER}'",
        ):
            await self.bus_call("AddMatch", "s", rule)
        with contextlib.suppress(BusError):
            self.owner = await self.bus_call("GetNameOwner", "s", SERVER)

    def _hear(self, message: Message) -> bool:
        if message.message_type is not MessageType.SIGNAL:
            return False
        if message.member == "NameOwnerChanged":
            self.owner = message.body[2]
        elif message.sender != "org.freedesktop.DBus":
            where = message.path or "", message.interface or "", message.member or ""
            self.signals.append(Signal(*where, message.body))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return False

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, decided: Callable[[], object], what: str) -> None:
        """Return when ``decided`` says so, which is asked after every signal.

        Raises UnheardError when it does not.
        """
        try:
            await within(PATIENCE, self._decided(decided))
        except TimeoutError:
            heard = "\n".join(map(str, self.signals[-30:]))
            raise UnheardError(f"never heard {what}; the last signals:\n{heard}") from None

    async def _decided(self, decided: Callable[[], object]) -> None:
        async with self._news:
            await self._news.wait_for(lambda: bool(decided()))

    async def heard(
        self, member: str, *values: object, path: str | None = None, after: int = 0
    ) -> int:
        """Wait for a signal that begins with these values; return the number of those up to it."""

        def found() -> int:
            for number, signal in enumerate(self.signals[after:], after + 1):
                fits = signal.member == member and path in (None, signal.path)
                if fits and signal.values[: len(values)] == list(values):
                    return number
            return 0

        await self.until(found, f"{member} {values}")
        return found()

    async def named(self) -> None:
        """Wait until the server has its name."""
        await self.until(lambda: self.owner, f"of the owner of {SERVER}")

    async def send(
        self, path: str, interface: str | None, member: str, signature: str = "", *body: object
    ) -> Message:
        """Call the server; return its answer, which may be an error."""
        return await self._ask(SERVER, path, interface, member, signature, list(body))

    async def call(
        self, path: str, interface: str | None, member: str, signature: str = "", *body: object
    ) -> Any:  # noqa: ANN401 - by signature
        """Call the server; return what it returns, or raise BusError."""
        return _result(await self.send(path, interface, member, signature, *body))

    async def bus_call(self, member: str, signature: str = "", *body: object) -> Any:  # noqa: ANN401 - by signature
        """Call the bus itself."""
        bus = "org.freedesktop.DBus"
        path = "/org/freedesktop/DBus"
        return _result(await self._ask(bus, path, bus, member, signature, list(body)))

    async def _ask(
        self,
        name: str,
        path: str,
        interface: str | None,
        member: str,
        signature: str,
        body: list[object],
    ) -> Message:
        call = Message(name, path, interface, member, signature=signature, body=body)
        return await within(PATIENCE, self._bus.call(call))


def _result(answer: Message) -> Any:  # noqa: ANN401 - by signature
    if answer.message_type is MessageType.ERROR:
        raise BusError(answer.error_name or "", str(answer.body[0]) if answer.body else "")
    body = unpack_variants(answer.body)
    return body[0] if len(body) == 1 else body or None


def start_avahi(host: Host) -> Process:
    """Run an avahi-daemon on the host's bus; return when it has claimed its name on the link."""
    text = AVAHI_CONFIG.format(name=host.name)
    host.path("/run/avahi.conf").write_text(text, encoding="ascii")
    avahi = host.start("avahi-daemon", "--no-chroot", "--no-drop-root", "--file=/run/avahi.conf")
    avahi.wait_for("Server startup complete")
    return avahi
