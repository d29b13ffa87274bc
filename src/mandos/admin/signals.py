# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signals of a server as events, in the order in which the server sent them.

Deprecated signals only repeat others, and are skipped.  So are signals whose arguments do not
have the types that ``bus_names`` promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mandos import bus_names
from mandos.admin.client import AuditRecord, Client, read_client, read_record, read_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mandos.errors import MandosError


@dataclass(frozen=True, slots=True)
class ServerVanished:
    """No server is on the bus, or no longer."""


@dataclass(frozen=True, slots=True)
class ServerAppeared:
    """A server is on the bus; its clients follow in a Listed."""


@dataclass(frozen=True, slots=True)
class ListingFailed:
    """The server did not list its clients; nothing but this is known."""

    error: MandosError


@dataclass(frozen=True, slots=True)
class Listed:
    """The list of all clients now; it replaces everything known before."""

    clients: tuple[Client, ...]


@dataclass(frozen=True, slots=True)
class ClientAdded:
    """A client is new, or told anew."""

    client: Client


@dataclass(frozen=True, slots=True)
class ClientRemoved:
    """The client of this path is gone."""

    path: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Properties of a client have new values; for Client.changed."""

    path: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """The server's own properties have these values; for Sharing.changed."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckerStarted:
    """A checker was started."""

    path: str
    command: str


@dataclass(frozen=True, slots=True)
class CheckerCompleted:
    """A checker has ended: its exit code or -1, and its wait(2) status."""

    path: str
    exit_code: int
    wait_status: int
    command: str


@dataclass(frozen=True, slots=True)
class GotSecret:
    """The client was sent its secret."""

    path: str


@dataclass(frozen=True, slots=True)
class NeedApproval:
    """A request waits; after so many milliseconds the default decides."""

    path: str
    milliseconds: int
    default: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request got nothing."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClientNotFound:
    """A request arrived with a key that belongs to no client."""

    key_id: str
    address: str


@dataclass(frozen=True, slots=True)
class RecordAdded:
    """The audit trail has a new record."""

    record: AuditRecord


ClientEvent = (
    Changed
    | CheckerStarted
    | CheckerCompleted
    | GotSecret
    | NeedApproval
    | Rejected
    | ClientRemoved
)
Event = (
    ServerVanished | ServerAppeared | ListingFailed | Listed | ClientAdded | ClientNotFound
    | RecordAdded | ServerChanged | ClientEvent
)  # fmt: skip


def _added(_path: str, body: Sequence[Any]) -> Event | None:
    client = read_client(*body)
    return None if client is None else ClientAdded(client)


def _removed(_path: str, body: Sequence[Any]) -> Event | None:
    path, interfaces = body
    return ClientRemoved(path) if bus_names.CLIENT in interfaces else None


def _changed(path: str, body: Sequence[Any]) -> Event | None:
    interface, variants, _invalidated = body
    values = read_values(interface, variants)
    if interface == bus_names.SERVER1:
        return ServerChanged(values) if values else None
    return Changed(path, values) if values else None


#: Each signal that becomes an event: its types, and the event's making from path and body.
_SIGNALS: Mapping[tuple[str, str], tuple[str, Callable[[str, Sequence[Any]], Event | None]]] = {
    (bus_names.OBJECT_MANAGER, "InterfacesAdded"): ("oa{sa{sv}}", _added),
    (bus_names.OBJECT_MANAGER, "InterfacesRemoved"): ("oas", _removed),
    (bus_names.PROPERTIES, "PropertiesChanged"): ("sa{sv}as", _changed),
    (bus_names.MANDOS, "ClientNotFound"): ("ss", lambda _, body: ClientNotFound(*body)),
    (bus_names.CLIENT, "CheckerStarted"): ("s", lambda path, body: CheckerStarted(path, *body)),
    (bus_names.CLIENT, "CheckerCompleted"): (
        "nxs",
        lambda path, body: CheckerCompleted(path, *body),
    ),
    (bus_names.CLIENT, "GotSecret"): ("", lambda path, _: GotSecret(path)),
    (bus_names.CLIENT, "NeedApproval"): ("tb", lambda path, body: NeedApproval(path, *body)),
    (bus_names.CLIENT, "Rejected"): ("s", lambda path, body: Rejected(path, *body)),
    (bus_names.SERVER1, "RecordAdded"): (
        bus_names.RECORD,
        lambda _, body: RecordAdded(read_record(*body)),
    ),
}


def read_signal(
    path: str, interface: str, member: str, signature: str, body: Sequence[Any]
) -> Event | None:
    """The event of a signal; None when it is none of ours, or not as it should be."""
    carries, make = _SIGNALS.get((interface, member), (None, None))
    return make(path, body) if make is not None and signature == carries else None
