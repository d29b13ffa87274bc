# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of a store of the server's state, and the data types that it takes and gives.

The SQLite database (``database.py``) is one implementation; ``opening.py`` chooses.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from mandos.client_settings import ClientSettings
    from mandos.errors import MachineError
    from mandos.server.audit.records import Record
    from mandos.server.life.life import Life
    from mandos.server.life.saved import Saved


class Kept(NamedTuple):
    """The settings in force, those of the files, and whether the client is in no file.

    ``absent`` is since when its section is missing.
    """

    settings: ClientSettings
    configured: ClientSettings
    added: bool = False
    absent: datetime | None = None


class Verdict(NamedTuple):
    """An administrator's word about all requests of a client, and until when it counts."""

    approved: bool
    until: datetime


class Known(NamedTuple):
    """A client as the servers that share the state know it.

    ``added``: an administrator added it.  ``version`` rises with each change of its settings,
    ``life_version`` with each change of its life.  ``present``: it is to be served; no longer when
    its section is missing from the files of all servers.
    """

    life: Life
    settings: ClientSettings
    added: bool = False
    version: int = 0
    life_version: int = 0
    verdict: Verdict | None = None
    present: bool = True


class Outcome(NamedTuple):
    """What became of changes in a state that several servers share.

    ``clients`` are all that were written, as they are now; None: the client is removed.
    ``refused`` are the places of the wishes that were not granted.
    """

    clients: Mapping[str, Known | None] = {}
    refused: Collection[int] = frozenset()


@dataclass(frozen=True)
class State:
    """The state of the last run.

    ``removed`` are clients that an administrator has removed, with their settings in the files.
    ``disabled`` are the names in the list of disabled clients, None when it is lost; ``lost`` says
    how the rest was lost, and is empty when nothing was.  ``rebooted``: the machine was
    started since then, not only the server.  ``shared``: several servers share the state, and
    ``known`` are their clients.  ``damaged`` are the names of those that cannot be read.
    """

    saved: Mapping[str, Saved] = field(default_factory=dict)
    removed: Mapping[str, ClientSettings] = field(default_factory=dict)
    disabled: Collection[str] | None = frozenset()
    lost: str = ""
    rebooted: bool = False
    shared: bool = False
    known: Mapping[str, Known] = field(default_factory=dict)
    damaged: Collection[str] = frozenset()


class Wish(NamedTuple):
    """A server's wish to give a client its secret, and the record of that.

    ``settings`` have the secret: it must be the client's secret at the moment of the decision.
    """

    record: Record
    settings: ClientSettings


@dataclass
class Changes:
    """Changes that are written together, with dates as people would write them.

    ``tombstones`` are clients that were removed though the files have them.  ``verdicts``,
    ``waiting`` (until when a client's request waits here; None: no longer) and ``wishes`` matter
    only where several servers share the state; so do ``forgotten``, those of ``removed`` that no
    administrator removed now, ``bases``, the clients as they were before these changes, and
    ``alone``, those that this server changed without the others.
    """

    lives: dict[str, Life] = field(default_factory=dict)
    settings: dict[str, Kept] = field(default_factory=dict)
    tombstones: dict[str, ClientSettings] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    waiting: dict[str, datetime | None] = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)
    bases: dict[str, Known] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)


class Entry(NamedTuple):
    """A record of the trail, its number, and when and how often it was repeated."""

    number: int
    record: Record
    last: datetime
    times: int


class StateStore(Protocol):
    """The saved state of one server.

    One thread at a time calls.  A call may block, on a disk or on a network, so that the event loop
    calls only from a thread beside it.  Every date is one that people would write, every
    MachineError says why and how to mend it.
    """

    @property
    def trouble(self) -> MachineError | None:
        """Why the store cannot be written at present; None when it can."""

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """Return the state of the last run; settings equal to ``configured`` share its objects.

        The store does not know whether the machine was started since then: ``rebooted`` is false.
        Raises MachineError.
        """

    def write(self, changes: Changes) -> Outcome:
        """Save all changes or none; they survive a crash of the machine once this returns.

        A store that several servers share decides about the wishes, and merges the changes with
        those of other servers.  Raises MachineError.
        """

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """Return the newest records of the audit trail, newest first; raises MachineError.

        ``client`` restricts them to one client, ``before`` to lower numbers.
        """

    def forget(self) -> None:
        """Forget all clients, but not the audit trail.

        Raises MachineError, with nothing forgotten.
        """

    def reopen(self) -> bool:
        """Try to write again after ``trouble``; true when the caller must write everything anew."""

    def close(self) -> None:
        """Free the store for another server."""


class SharedStore(StateStore, Protocol):
    """The state that several servers share."""

    def changed(self, names: Collection[str]) -> Mapping[str, Known | None]:
        """Return these clients as they are now; None: there is no such client.

        Raises MachineError.
        """

    def outdated(self, versions: Mapping[str, tuple[int, int]]) -> set[str]:
        """Return the names of clients that have other versions, of settings and life, than these.

        Raises MachineError.
        """

    def waiting(self, servers: Collection[str]) -> set[str]:
        """Return the names of clients with requests that wait at these servers.

        Raises MachineError.
        """

    def last_record(self) -> int:
        """Return the number of the newest record; 0: there is none.  Raises MachineError."""

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """Return the newest records above ``number``, so many, and the missing ones, in order.

        Raises MachineError.
        """
