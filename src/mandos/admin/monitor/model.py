# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the monitor knows: the server's clients, the log, and why there is no server.

Events go in with the time; the model has no other effect than its own state.  ``changed`` says
that something has to be drawn again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

from mandos.admin.client import shortened
from mandos.admin.monitor.messages import Messages, Weight, said, said_elsewhere
from mandos.admin.monitor.row import ClientRow
from mandos.admin.monitor.view import View
from mandos.admin.servers import Sharing
from mandos.admin.signals import (
    Changed,
    ClientAdded,
    ClientRemoved,
    Listed,
    ListingFailed,
    RecordAdded,
    ServerAppeared,
    ServerChanged,
    ServerVanished,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mandos.admin.signals import Event
    from mandos.errors import MandosError

#: The text of the list while it has no clients to show.
CONNECTING = ("Looking for the Mandos server ...",)
LISTING = ("The Mandos server is there, its clients are coming ...",)
NO_SERVER = (
    "The Mandos server is not running, or it runs with --no-dbus.",
    "Start it: systemctl start mandos",
)
#: For so long comings and goings of clients are gathered: a server that ends takes leave of each.
GATHERING = timedelta(seconds=1)
_NEW, _REMOVED = "new on the server", "removed from the server"
#: Most changes that are reported one by one.
_SINGLE = 3
WAITING = "mandos-monitor goes on by itself as soon as it can.  q quits."


class Model:
    """The server as it was told of."""

    def __init__(self) -> None:
        self.view = View()
        self.messages = Messages()
        #: The servers that share the state.
        self.sharing = Sharing()
        self.changed = True
        #: Why there are no clients to show; empty when the server has listed them.
        self.obstacle: tuple[str, ...] = CONNECTING
        self._failure: tuple[str, ...] = ()
        self._rows: dict[str, ClientRow] = {}
        self._sorted = True
        #: The names of clients by news, gathered before they are logged.
        self._gathered: dict[str, list[str]] = {}
        self._gathering_since = datetime.min.replace(tzinfo=UTC)
        self._takes: dict[type, Callable[[Any, datetime], None]] = {
            Changed: self._change,
            ClientAdded: self._add,
            ClientRemoved: self._remove,
            Listed: self._list,
            ListingFailed: self._not_listed,
            RecordAdded: self._record,
            ServerAppeared: self._appear,
            ServerChanged: self._serve,
            ServerVanished: self._vanish,
        }

    def arrange(self, now: datetime) -> None:
        """Renew the view."""
        if not self._sorted:
            rows = sorted(self._rows.values(), key=attrgetter("sort_name"))
            self._rows = {row.path: row for row in rows}
            self._sorted = True
        if self._gathered and now - self._gathering_since >= GATHERING:
            self._tell_gathered()
        self.view.arrange(self._rows.values(), now)
        self.changed = False

    def apply(self, event: Event, now: datetime) -> None:
        """Take an event from the server."""
        if take := self._takes.get(type(event)):
            take(event, now)
        if words := said(event, self._name(getattr(event, "path", ""))):
            text, weight = words
            self.note(text, now, weight)

    def fail(self, error: MandosError, now: datetime) -> None:
        """There is no server to be had, for this reason; the log says it once."""
        lines = _lines(error)
        if lines != self._failure:
            self.messages.add(now, lines[0], Weight.ALERT)
        self._failure = lines
        self._empty(lines)

    def refuse(self, error: MandosError, now: datetime) -> str:
        """Record that an administrator's action failed; returns the text of the log about it."""
        text = " -- ".join(_lines(error))
        self.note(text, now, Weight.ALERT)
        return text

    def note(self, text: str, now: datetime, weight: Weight = Weight.NORMAL) -> None:
        """Add a line to the log."""
        self.messages.add(now, text, weight)
        self.changed = True

    def _name(self, path: str) -> str:
        """The name of this path's client; the path's end when it is not known yet."""
        row = self._rows.get(path)
        return row.client.short_name if row else shortened(path.rpartition("/")[2])

    def _change(self, event: Changed, now: datetime) -> None:
        row = self._rows.get(event.path)
        if row is None:  # told between the server's start and its list, which will have it
            return
        new = self._rows[event.path] = row.changed(event.values)
        self.changed = True
        if new.sort_name != row.sort_name:
            self._sorted = False
        if row.client.enabled != new.client.enabled:
            what = "enabled" if new.client.enabled else "DISABLED"
            weight = Weight.NORMAL if new.client.enabled else Weight.ALERT
            self.note(f"{new.client.short_name}: is {what} now", now, weight)

    def _add(self, event: ClientAdded, now: datetime) -> None:
        client = event.client
        if client.path not in self._rows and not self.obstacle:
            self._gather(_NEW, client.short_name, now)
        self._rows[client.path] = ClientRow.of(client)
        self._sorted = False
        self.changed = True

    def _remove(self, event: ClientRemoved, now: datetime) -> None:
        row = self._rows.pop(event.path, None)
        if row is not None:
            self.changed = True
            self._gather(_REMOVED, row.client.short_name, now)

    def _gather(self, what: str, name: str, now: datetime) -> None:
        """Tell of a client later, together with others."""
        if not self._gathered:
            self._gathering_since = now
        self._gathered.setdefault(what, []).append(name)

    def _tell_gathered(self) -> None:
        for what, names in self._gathered.items():
            few = len(names) <= _SINGLE
            lines = names if few else [f"{len(names)} clients ({', '.join(names[:_SINGLE])}, ...)"]
            for line in lines:
                self.messages.add(self._gathering_since, f"{line}: {what}")
        self._gathered = {}

    def _list(self, event: Listed, now: datetime) -> None:
        self._rows = {client.path: ClientRow.of(client) for client in event.clients}
        self._sorted = False
        self.obstacle = self._failure = ()
        number = len(event.clients)
        self.note(f"the server has {number} client{'' if number == 1 else 's'}", now)

    def _not_listed(self, event: ListingFailed, now: datetime) -> None:
        self.fail(event.error, now)

    def _record(self, event: RecordAdded, now: datetime) -> None:
        """Log an event at another server, of which this one sends no signal."""
        elsewhere = event.record.server not in {"", self.sharing.name}
        if elsewhere and (words := said_elsewhere(event.record)):
            self.note(words[0], now, words[1])

    def _serve(self, event: ServerChanged, now: datetime) -> None:
        before, self.sharing = self.sharing.problems(), self.sharing.changed(event.values)
        self.changed = True
        for problem in self.sharing.problems():
            if problem not in before:
                self.note(problem, now, Weight.ALERT)
        if before and not self.sharing.problems():
            self.note("the database is connected, and all servers are there", now)

    def _appear(self, _event: ServerAppeared, _now: datetime) -> None:
        self._empty(self._failure or LISTING)  # until it turns out that this time is another one

    def _vanish(self, _event: ServerVanished, now: datetime) -> None:
        if self.obstacle != NO_SERVER:
            self.messages.add(now, "the Mandos server is not running", Weight.ALERT)
        self._failure = ()
        self._empty(NO_SERVER)

    def _empty(self, obstacle: tuple[str, ...]) -> None:
        self._rows = {}
        self._gathered = {}
        self.sharing = Sharing()
        self.obstacle = obstacle
        self.changed = True


def _lines(error: MandosError) -> tuple[str, ...]:
    """An error and its hint."""
    return (*str(error).splitlines(), *([error.hint] if error.hint else []))
