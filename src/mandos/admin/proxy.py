# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server, as the administrator's programs see it: calls and events over the system bus.

The only module of ``admin`` that knows D-Bus.  It works with our server and with the reference's;
calls that the latter does not offer raise NotOfferedError.  The system bus may be another one by
DBUS_SYSTEM_BUS_ADDRESS (D-Bus specification, "Well-known Message Bus Instances").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self

from dbus_fast import BusType, DBusFastError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from mandos import bus_names
from mandos.admin.client import (
    AuditRecord,
    Client,
    NoSuchClientError,
    find_clients,
    read_client,
    read_record,
    read_values,
)
from mandos.admin.servers import Sharing
from mandos.admin.signals import (
    Changed,
    CheckerCompleted,
    CheckerStarted,
    ClientAdded,
    ClientNotFound,
    ClientRemoved,
    Event,
    GotSecret,
    Listed,
    ListingFailed,
    NeedApproval,
    RecordAdded,
    Rejected,
    ServerAppeared,
    ServerChanged,
    ServerVanished,
    read_signal,
)
from mandos.errors import AdministratorError, MachineError, MandosError, PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

__all__ = [
    "AccessDeniedError",
    "AuditRecord",
    "Changed",
    "CheckerCompleted",
    "CheckerStarted",
    "Client",
    "ClientAdded",
    "ClientNotFound",
    "ClientRemoved",
    "Event",
    "GotSecret",
    "Listed",
    "ListingFailed",
    "NeedApproval",
    "NoBusError",
    "NoSuchClientError",
    "NotOfferedError",
    "RecordAdded",
    "RefusedError",
    "Rejected",
    "ServerAppeared",
    "ServerChanged",
    "ServerGoneError",
    "ServerProxy",
    "ServerVanished",
    "find_clients",
]  # fmt: skip

#: How long a server may take; the reference's answers no calls while it works.
REPLY_TIME = 60.0  # seconds
_CONNECT_TIME = 10.0  # seconds
_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_MATCHES = (
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{bus_names.BUS_NAME}'",
    f"type='signal',sender='{bus_names.BUS_NAME}'",
)
_GONE = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")
)
_DENIED = frozenset((bus_names.ACCESS_DENIED, "org.freedesktop.DBus.Error.AuthFailed"))
_UNKNOWN = frozenset((bus_names.UNKNOWN_METHOD, bus_names.UNKNOWN_INTERFACE))
#: How the servers say that there is no such client: ours, and dbus-python in the reference's.
_NO_OBJECT = frozenset((bus_names.UNKNOWN_OBJECT, "org.freedesktop.DBus.Python.KeyError"))
#: Functions that only our server offers, and the hint for users of another server.
_OURS = {
    "AddClient": (
        "to add clients",
        "append the section to /etc/mandos/clients.conf, then: systemctl restart mandos",
    ),
    "GetRecords": ("the audit trail", "see its log: journalctl -u mandos"),
    "Reload": ("to read its configuration anew", "systemctl restart mandos"),
}
_FAILURES = (OSError, EOFError, DBusFastError)

_log = logging.getLogger(__name__)


class NoBusError(MachineError):
    """There is no system bus, or the connection to it was lost."""


class ServerGoneError(MachineError):
    """The server is not running, or ended before it answered."""


class AccessDeniedError(AdministratorError):
    """The bus lets only root and the server's group talk to the server."""

    exit_code = 77  # EX_NOPERM


class RefusedError(PeerError):
    """The server answered with an error; ``name`` is the error's D-Bus name."""

    def __init__(self, message: str, name: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.name = name


class NotOfferedError(RefusedError):
    """The server lacks the requested function: it is the reference's, or an older one."""


class ServerProxy:
    """A connection to the server by way of the bus; it is fine for the server to come and go.

    Calls raise NoBusError, ServerGoneError, AccessDeniedError, NoSuchClientError or RefusedError.
    """

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._owner = ""
        self._listener: Callable[[Event], None] | None = None
        self._awaited: dict[int, Callable[[Message], None]] = {}

    @classmethod
    @asynccontextmanager
    async def connect(cls, bus_address: str | None = None) -> AsyncIterator[Self]:
        """Connect to the system bus, or the one of this address; raises NoBusError."""
        bus = MessageBus(bus_address=bus_address, bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(_CONNECT_TIME):
                await bus.connect()
        except (*_FAILURES, TimeoutError) as error:
            bus.disconnect()
            if isinstance(error, PermissionError):
                raise _denied("you may not connect to the system bus") from error
            raise NoBusError(
                f"cannot connect to the system bus: {str(error) or type(error).__name__}",
                "start it: systemctl start dbus",
            ) from error
        server = cls(bus)
        try:
            yield server
        finally:
            bus.disconnect()
            await server._disconnected()

    async def closed(self) -> NoReturn:
        """Wait until the connection to the bus is lost; then raise NoBusError."""
        await asyncio.shield(self._disconnected())  # the waiting task may be cancelled
        raise _lost()

    async def _disconnected(self) -> None:
        with contextlib.suppress(*_FAILURES):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's

    async def clients(self) -> list[Client]:
        """All clients, in the server's order."""
        (objects,) = await self._call("/", bus_names.OBJECT_MANAGER, "GetManagedObjects")
        return _read_objects(objects)

    async def client_at(self, path: str) -> Client:
        """The client of this path."""
        return Client(path, await self._values(path, bus_names.CLIENT))

    async def _values(self, path: str, interface: str) -> dict[str, Any]:
        (variants,) = await self._call(path, bus_names.PROPERTIES, "GetAll", "s", interface)
        return read_values(interface, variants)

    async def set(self, client: Client, name: str, value: Any) -> None:  # noqa: ANN401
        """Set a property: bool, str, bytes, or a timedelta (from zero on) for durations."""
        interface, declared = bus_names.CLIENT_PROPERTIES[name]
        if isinstance(value, timedelta):
            value = value // timedelta(milliseconds=1)
        variant = Variant(declared.signature, value)
        await self._on(client, bus_names.PROPERTIES, "Set", "ssv", interface, name, variant)

    async def call(self, client: Client, method: str, *arguments: Any) -> None:  # noqa: ANN401
        """Call one of a client's methods."""
        takes = bus_names.CLIENT_INTERFACE.methods[method].takes
        signature = "".join(argument.signature for argument in takes)
        await self._on(client, bus_names.CLIENT, method, signature, *arguments)

    async def remove(self, client: Client) -> None:
        """Remove a client from the server."""
        await self._on(client, bus_names.MANDOS, "RemoveClient", "o", client.path)

    async def extended(self) -> bool:
        """Whether the server has our additions: adding, reloading, the audit trail, reasons."""
        (xml,) = await self._call("/", bus_names.INTROSPECTABLE, "Introspect")
        return f'"{bus_names.SERVER1}"' in xml

    async def add(self, section: str) -> str:
        """Add the client of one section's text, as in clients.conf; returns its path."""
        (path,) = await self._call("/", bus_names.SERVER1, "AddClient", "s", section)
        return str(path)

    async def reload(self) -> None:
        """Have the server read its configuration anew; returns when it is in force and saved."""
        await self._call("/", bus_names.SERVER1, "Reload")

    async def records(
        self, client: str = "", limit: int = 1000, before: int = 0
    ) -> list[AuditRecord]:
        """The newest records, newest first: of one client or all, below a number (0: any)."""
        (records,) = await self._call(
            "/", bus_names.SERVER1, "GetRecords", "sut", client, limit, before
        )
        return [read_record(record) for record in records]

    async def properties(self) -> dict[str, Any]:
        """The server's own properties: those of Server1 in ``bus_names``."""
        return await self._values("/", bus_names.SERVER1)

    async def sharing(self) -> Sharing:
        """The servers with which it shares its state; of a server that shares none, no servers."""
        try:
            return Sharing().changed(await self.properties())
        except RefusedError:  # the reference's server
            return Sharing()

    async def follow(self, listener: Callable[[Event], None]) -> None:
        """Tell the listener everything from now on, in the server's order.

        It begins with ServerAppeared and Listed, or with ServerVanished; a server that comes back
        begins anew.  Its own listing is in order with the events, which ``clients()`` is not.
        """
        self._listener = listener
        self._bus.add_message_handler(self._hear)
        for match in _MATCHES:
            await self._ask_bus("AddMatch", match)
        self._send(_bus_message("GetNameOwner", bus_names.BUS_NAME), self._owner_told)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events of ``follow``, for ever; raises NoBusError when the bus is lost."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        lost = asyncio.ensure_future(self.closed())
        lost.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            await self.follow(queue.put_nowait)
            while (event := await queue.get()) is not None:
                yield event
            await lost
        finally:
            lost.cancel()

    async def _on(
        self, client: Client, interface: str, member: str, signature: str, *body: object
    ) -> None:
        path = bus_names.ROOT_PATH if interface == bus_names.MANDOS else client.path
        try:
            await self._call(path, interface, member, signature, *body)
        except RefusedError as error:
            if error.name in _NO_OBJECT:
                raise NoSuchClientError(f"the client {client.name!r} is gone") from error
            raise RefusedError(f"{client.name}: {error}", error.name, error.hint) from error

    async def _call(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[Any]:
        message = _server_message(path, interface, member, signature, *body)
        _log.debug("%s %s.%s(%s)", path, interface, member, _shown(body))
        reply = await self._reply(message)
        if reply.message_type == MessageType.ERROR:
            raise _error(reply, member)
        return list(reply.body)

    async def _ask_bus(self, member: str, argument: str) -> list[Any]:
        reply = await self._reply(_bus_message(member, argument))
        if reply.message_type == MessageType.ERROR:
            raise _error(reply, member)
        return list(reply.body)

    async def _reply(self, message: Message) -> Message:
        try:
            async with asyncio.timeout(REPLY_TIME):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise ServerGoneError(
                f"the server did not answer {message.member} within {REPLY_TIME:.0f} seconds",
                "see its log: journalctl -u mandos",
            ) from None
        except _FAILURES as error:
            raise _lost() from error
        if reply is None:
            raise _lost()
        return reply

    def _send(self, message: Message, on_reply: Callable[[Message], None]) -> None:
        """Send, and take the reply in its order among the signals."""
        message.serial = self._bus.next_serial()
        self._awaited[message.serial] = on_reply
        self._bus.send(message)

    def _hear(self, message: Message) -> None:
        if message.message_type != MessageType.SIGNAL:
            if on_reply := self._awaited.pop(message.reply_serial, None):
                on_reply(message)
        elif message.sender == _BUS:
            if message.member == "NameOwnerChanged" and message.body[0] == bus_names.BUS_NAME:
                self._owner_changed(message.body[2])
        elif message.sender == self._owner and message.path and message.interface:
            event = read_signal(
                message.path, message.interface, message.member or "", message.signature,
                message.body,
            )  # fmt: skip
            if event is not None:
                self._tell(event)

    def _owner_told(self, reply: Message) -> None:
        if reply.message_type == MessageType.ERROR:
            self._tell(ServerVanished())
        elif reply.body[0] != self._owner:
            self._owner_changed(reply.body[0])

    def _owner_changed(self, owner: str) -> None:
        vanished, self._owner = bool(self._owner), owner
        if vanished:
            self._tell(ServerVanished())
        if owner:
            self._tell(ServerAppeared())
            about = "/", bus_names.PROPERTIES, "GetAll", "s", bus_names.SERVER1
            self._send(_server_message(*about), self._described)
            listing = _server_message("/", bus_names.OBJECT_MANAGER, "GetManagedObjects")
            self._send(listing, self._listed)

    def _described(self, reply: Message) -> None:
        """Report the server's own properties; the reference's server has none."""
        if reply.message_type != MessageType.ERROR and reply.signature == "a{sv}":
            self._tell(ServerChanged(read_values(bus_names.SERVER1, reply.body[0])))

    def _listed(self, reply: Message) -> None:
        if reply.message_type != MessageType.ERROR:
            self._tell(Listed(tuple(_read_objects(reply.body[0]))))
            return
        error = _error(reply, "GetManagedObjects")
        if not isinstance(error, ServerGoneError):  # that is reported anyway
            self._tell(ListingFailed(error))

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)


def _read_objects(objects: dict[str, Any]) -> list[Client]:
    clients = (read_client(path, interfaces) for path, interfaces in objects.items())
    return [client for client in clients if client is not None]


def _server_message(
    path: str, interface: str, member: str, signature: str = "", *body: object
) -> Message:
    return Message(
        destination=bus_names.BUS_NAME,
        path=path,
        interface=interface,
        member=member,
        flags=MessageFlag.NO_AUTOSTART,
        signature=signature,
        body=list(body),
    )


def _bus_message(member: str, argument: str) -> Message:
    return Message(
        destination=_BUS,
        path=_BUS_PATH,
        interface=_BUS,
        member=member,
        signature="s",
        body=[argument],
    )


def _error(reply: Message, member: str) -> MandosError:
    """The error that an error reply means."""
    name = reply.error_name or ""
    if name in _GONE:
        ended = name.endswith((".NoReply", ".Disconnected"))
        return ServerGoneError(
            "the Mandos server ended before it answered" if ended
            else "the Mandos server is not running (or it runs with --no-dbus)",
            "see journalctl -u mandos" if ended else "start it: systemctl start mandos",
        )  # fmt: skip
    if name in _DENIED:
        return _denied("the bus does not let you talk to the Mandos server")
    if name in _UNKNOWN:
        what, instead = _OURS.get(member, (member, None))
        return NotOfferedError(f"this server does not offer {what}", name, instead)
    text, hint = _said(reply.body[0] if reply.signature.startswith("s") else "")
    return RefusedError(text or f"the server refused {member}: {name}", name, hint)


def _said(text: str) -> tuple[str, str | None]:
    """An error's message and hint; of a Python traceback, only its last line."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback "):
        return lines[-1], None
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    message = "\n".join(line for line in lines if not line.startswith("hint: "))
    return message, " ".join(hints) or None


def _denied(message: str) -> AccessDeniedError:
    return AccessDeniedError(message, "root and the members of the group _mandos may: use sudo")


def _lost() -> NoBusError:
    return NoBusError("the connection to the system bus is lost", "see journalctl -u dbus")


def _shown(body: tuple[object, ...]) -> str:
    """Arguments for the debug log; a secret is not shown."""
    return ", ".join(
        f"{len(value.value)} bytes" if isinstance(value, Variant) and value.signature == "ay"
        else repr(value.value if isinstance(value, Variant) else value)
        for value in body
    )  # fmt: skip
