# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that share their state, and their database, as one of them reports them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mandos.admin.client import parse_date
from mandos.admin.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Server:
    """A server: whether it is alive, whether it checks clients, and since when it runs.

    ``seen`` is the date of its last sign of life; dates are aware, in UTC, or None.
    """

    name: str
    alive: bool = False
    checks: bool = False
    started: datetime | None = None
    seen: datetime | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Sharing:
    """A server, by its ``name``, and those with which it shares its state, itself among them.

    ``database`` is the property DatabaseState of ``bus_names``; empty: no state is shared.
    """

    name: str = ""
    database: str = ""
    servers: tuple[Server, ...] = ()

    def changed(self, values: Mapping[str, Any]) -> Sharing:
        """The same with new values of the server's properties."""
        servers = values.get("Servers")
        return replace(
            self,
            name=values.get("ServerName", self.name),
            database=values.get("DatabaseState", self.database),
            servers=self.servers if servers is None else tuple(map(_server, servers)),
        )

    @property
    def connected(self) -> bool:
        """Whether the database can be reached, so that the others' state is known."""
        return self.database.startswith(_CONNECTED)

    @property
    def missing(self) -> list[str]:
        """The names of the servers that give no sign of life; none without the database."""
        return [one.name for one in self.servers if self.connected and not one.alive]

    def problems(self) -> list[str]:
        """All that an administrator has to know, a line each; empty when all is well."""
        if not self.database:
            return []
        if not self.connected:
            return [f"the database is {printable(self.database)}"]
        trouble = self.database.removeprefix(_CONNECTED).lstrip("; ")
        names = printable(", ".join(self.missing))
        plural = "s are" if len(self.missing) > 1 else " is"
        lines = [f"server{plural} missing: {names}" if names else "", printable(trouble)]
        return [line for line in lines if line]


def _server(values: Mapping[str, Any]) -> Server:
    return Server(
        name=str(values.get("name", "")),
        alive=values.get("alive") is True,
        checks=values.get("checks") is True,
        started=parse_date(str(values.get("started", ""))),
        seen=parse_date(str(values.get("seen", ""))),
        version=str(values.get("version", "")),
    )
