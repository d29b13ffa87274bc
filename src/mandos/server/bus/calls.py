# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the calls of D-Bus methods.

A call acts at once, in the order of arrival.  Its changes are on disk before it is answered.  Where
several servers share the state, it acts on the client as all of them know it at that moment.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dbus_fast import Message, Variant

from mandos import bus_names
from mandos.errors import MandosError
from mandos.server.bus import introspection, properties
from mandos.server.bus.errors import LIMITS_EXCEEDED, CallError
from mandos.server.bus.listings import Listings
from mandos.server.bus.records import entry_fields
from mandos.server.life.events import Why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mandos.bus_names import Interface, Method
    from mandos.client_settings import ClientSettings
    from mandos.server.bus.objects import Objects
    from mandos.server.life.client import Client
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.state.store import Entry

_RECORD_LIMIT = 1000
#: Numbers of records stay below this, which SQLite can compare with.
_NUMBER_LIMIT = 1 << 62
#: Characters of a client's section; reading more would hold up others.
_SECTION_LIMIT = 1 << 20
_CLIENTS = bus_names.CLIENT_PATHS.rstrip("/")


class Server(NamedTuple):
    """The parts of the server on which calls act.

    ``durable`` returns when all changes so far are on disk; ``records`` reads the audit trail;
    ``parse`` reads one section of clients.conf; ``facts`` returns the server's own properties.
    ``current`` brings a client up to date where several servers share the state, and returns
    whether it could.
    """

    registry: Registry
    objects: Objects
    clock: Clock
    durable: Callable[[], Awaitable[None]]
    reload: Callable[[], Awaitable[None]]
    records: Callable[[str | None, int, int | None], Awaitable[list[Entry]]]
    parse: Callable[[str], ClientSettings]
    facts: Callable[[], Mapping[str, Variant]]
    current: Callable[[str], Awaitable[bool]] | None = None


class Calls:
    """Answers method calls."""

    def __init__(self, server: Server) -> None:
        self._server = server
        listings = Listings(server.objects, server.clock.date)
        self._client_methods: Mapping[str, Callable[[Client, list[Any], str], None]] = {
            "Approve": self._approve,
            "CheckedOK": lambda client, _body, by: client.checked_ok(self._now(), by),
            "Disable": lambda client, _body, by: client.disable(self._now(), Why.ADMINISTRATOR, by),
            "Enable": lambda client, _body, by: client.enable(self._now(), Why.ADMINISTRATOR, by),
            "StartChecker": lambda client, _body, _by: client.start_checker(self._now()),
            "StopChecker": lambda client, _body, _by: client.stop_checker(self._now()),
        }
        self._root_methods: Mapping[str, Callable[[Message, str], Awaitable[Message]]] = {
            "AddClient": self._add,
            "Get": self._server_property,
            "GetAll": self._server_property,
            "GetAllClients": lambda call, _by: _now(call, "ao", list(server.objects)),
            "GetAllClientsWithProperties": lambda call, _by: listings.all_properties(call),
            "GetManagedObjects": lambda call, _by: listings.managed_objects(call),
            "GetRecords": lambda call, _by: self._records(call, *call.body),
            "Reload": lambda call, _by: self._reload(call),
            "RemoveClient": self._remove,
            "Set": self._server_property,
        }

    async def prepare(self, call: Message) -> None:
        """Bring the client that the call will add or remove up to date; call ``act`` next.

        Without other servers it returns at once.
        """
        if self._server.current is not None and (name := self._moved_by(call)):
            await self._server.current(name)

    def _moved_by(self, call: Message) -> str:
        """The name of the client that a call adds or removes; else, or if malformed, empty."""
        objects, path = self._server.objects, call.path or ""
        if path == bus_names.ROOT_PATH and call.member == "AddClient" and call.signature == "s":
            return self._name_in(call.body[0])
        if path == bus_names.ROOT_PATH and call.member == "RemoveClient" and call.signature == "o":
            return objects.name(call.body[0]) if call.body[0] in objects else ""
        return ""

    def _name_in(self, section: str) -> str:
        """The name of the client in a section; empty when it has mistakes."""
        try:
            return self._server.parse(section).name if len(section) <= _SECTION_LIMIT else ""
        except MandosError:
            return ""

    def act(self, call: Message, by: str) -> Awaitable[Message]:
        """Carry out the call; await the result for the reply.

        Raises CallError, here or when awaited.
        """
        path = call.path or ""
        if call.member == "Introspect" and call.interface in (None, bus_names.INTROSPECTABLE):
            return _now(call, "s", self._introspect(path))
        if path == bus_names.ROOT_PATH:
            return self._root(call, by)
        client = self._server.objects.client(path)
        if client is None:
            raise CallError(bus_names.UNKNOWN_OBJECT, f"there is no client at {path}")
        return self._client(call, client, path, by)

    def _now(self) -> Any:  # noqa: ANN401 - a datetime; named for its use above
        return self._server.clock.now()

    def _introspect(self, path: str) -> str:
        objects = self._server.objects
        if path == bus_names.ROOT_PATH:
            return introspection.describe(introspection.ROOT, ["clients"])
        if path == _CLIENTS:
            names = sorted(one.removeprefix(bus_names.CLIENT_PATHS) for one in objects)
            return introspection.describe((), names)
        if objects.client(path) is None:
            raise CallError(bus_names.UNKNOWN_OBJECT, f"there is nothing at {path}")
        return introspection.describe(introspection.CLIENT)

    # The root object

    def _root(self, call: Message, by: str) -> Awaitable[Message]:
        _interface, name = _found(call, introspection.ROOT)
        return self._root_methods[name](call, by)

    def _remove(self, call: Message, by: str) -> Awaitable[Message]:
        path = call.body[0]
        client = self._server.objects.client(path)
        if client is None:
            raise CallError(bus_names.UNKNOWN_OBJECT, f"there is no client at {path}")
        self._server.registry.remove(client.name, self._now(), by)
        return self._durable(call)

    def _add(self, call: Message, by: str) -> Awaitable[Message]:
        server = self._server
        if len(call.body[0]) > _SECTION_LIMIT:
            raise CallError(LIMITS_EXCEEDED, f"a section of more than {_SECTION_LIMIT} characters")
        try:
            settings = server.parse(call.body[0])
            server.registry.admit(settings, self._now(), by)
        except MandosError as error:
            raise CallError(bus_names.INVALID_ARGS, "\n".join(error.lines())) from error
        return self._durable(call, "o", server.objects.path(settings.name))

    async def _reload(self, call: Message) -> Message:
        try:
            await self._server.reload()
        except MandosError as error:
            raise CallError(bus_names.FAILED, "\n".join(error.lines())) from error
        return Message.new_method_return(call)

    async def _records(self, call: Message, client: str, limit: int, before: int) -> Message:
        try:
            entries = await self._server.records(
                client or None, min(limit, _RECORD_LIMIT), min(before, _NUMBER_LIMIT) or None
            )
        except MandosError as error:
            raise CallError(bus_names.FAILED, "\n".join(error.lines())) from error
        body = [[entry_fields(entry) for entry in entries]]
        return Message.new_method_return(call, f"a{bus_names.RECORD}", body)

    def _server_property(self, call: Message, _by: str) -> Awaitable[Message]:
        interface, *rest = call.body
        facts = self._server.facts()
        if interface not in ("", bus_names.SERVER1, bus_names.MANDOS):
            raise CallError(bus_names.UNKNOWN_INTERFACE, f"{interface} is no interface here")
        if call.member == "GetAll":
            return _now(call, "a{sv}", {} if interface == bus_names.MANDOS else dict(facts))
        if rest[0] not in facts or interface == bus_names.MANDOS:
            raise CallError(bus_names.UNKNOWN_PROPERTY, f"there is no property {rest[0]}")
        if call.member == "Set":
            raise CallError(bus_names.PROPERTY_READ_ONLY, f"{rest[0]} cannot be written")
        return _now(call, "v", facts[rest[0]])

    # A client's object

    def _client(self, call: Message, client: Client, path: str, by: str) -> Awaitable[Message]:
        interface, name = _found(call, introspection.CLIENT)
        if interface.name != bus_names.PROPERTIES:
            act = partial(self._client_methods[name], client, call.body, by)
            return self._acted(call, client, act)
        if name == "GetAll":
            return _now(call, "a{sv}", self._get_all(call.body[0], client, path))
        wanted, one = _property(call.body[0], call.body[1])
        if name == "Set":
            if one.access == bus_names.READ:
                raise CallError(bus_names.PROPERTY_READ_ONLY, f"{wanted} cannot be written")
            value = call.body[2]
            return self._acted(
                call, client, lambda: properties.write(wanted, client, value, self._now(), by)
            )
        if one.access == bus_names.WRITE:
            raise CallError(bus_names.ACCESS_DENIED, f"{wanted} cannot be read")
        return _now(call, "v", properties.read(wanted, client, path, self._server.clock.date))

    def _get_all(self, interface: str, client: Client, path: str) -> dict[str, Variant]:
        """Those of one interface, or of the reference's for none."""
        wanted = interface or bus_names.CLIENT
        for one in introspection.CLIENT:
            if one.name == wanted:
                return properties.read_all(one, client, path, self._server.clock.date)
        raise CallError(bus_names.UNKNOWN_INTERFACE, f"{interface} is no interface here")

    def _approve(self, client: Client, body: list[Any], by: str) -> None:
        client.give_verdict(self._now(), approved=body[0], by=by)

    def _acted(self, call: Message, client: Client, act: Callable[[], None]) -> Awaitable[Message]:
        """Act at once; where several servers share the state, on the client as it is there now."""
        if (current := self._server.current) is not None:
            return self._acted_together(call, client, act, current(client.name))
        act()
        return self._durable(call)

    async def _acted_together(
        self, call: Message, client: Client, act: Callable[[], None], current: Awaitable[bool]
    ) -> Message:
        """Act on a client after it was brought up to date.

        By an old copy, an act may seem to change nothing, while it undoes another server's.
        """
        known = await current
        if self._server.registry.named(client.name) is not client:
            raise CallError(bus_names.UNKNOWN_OBJECT, f"{client.name} was removed meanwhile")
        act()
        reply = await self._durable(call)
        if not known:
            raise CallError(
                bus_names.FAILED,
                "it is in force here, but other servers may have changed the client meanwhile:"
                " look, and repeat it if necessary",
            )
        return reply

    async def _durable(self, call: Message, signature: str = "", *body: object) -> Message:
        """The reply once all is on disk; if that fails, the call's changes are still in force."""
        try:
            await self._server.durable()
        except MandosError as error:
            text = "it is in force, but it could not be saved: " + "\n".join(error.lines())
            raise CallError(bus_names.FAILED, text) from error
        return Message.new_method_return(call, signature, list(body))


async def _now(call: Message, signature: str, *body: object) -> Message:
    """A reply that nothing has to be awaited for."""
    return Message.new_method_return(call, signature, list(body))


def _found(call: Message, interfaces: Iterable[Interface]) -> tuple[Interface, str]:
    """The interface and the method that a call means, with arguments of the right types."""
    member = call.member or ""
    for interface in interfaces:
        method = interface.methods.get(member)
        if method is not None and call.interface in (None, interface.name):
            _check_signature(call, method)
            return interface, member
    if call.interface is not None and call.interface not in {one.name for one in interfaces}:
        raise CallError(bus_names.UNKNOWN_INTERFACE, f"{call.interface} is no interface here")
    raise CallError(bus_names.UNKNOWN_METHOD, f"there is no method {member} here")


def _check_signature(call: Message, method: Method) -> None:
    wanted = "".join(argument.signature for argument in method.takes)
    if call.signature != wanted:
        text = f"{call.member} takes {wanted or 'no arguments'}, not {call.signature or 'none'}"
        raise CallError(bus_names.INVALID_ARGS, text)


def _property(interface: str, name: str) -> tuple[str, bus_names.Property]:
    known = {one.name: one for one in introspection.CLIENT}
    if interface and interface not in known:
        raise CallError(bus_names.UNKNOWN_INTERFACE, f"{interface} is no interface here")
    candidates = [known[interface]] if interface else list(known.values())
    for one in candidates:
        if name in one.properties:
            return name, one.properties[name]
    raise CallError(bus_names.UNKNOWN_PROPERTY, f"there is no property {name}")
