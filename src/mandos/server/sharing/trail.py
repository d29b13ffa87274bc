# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New records that other servers have added to the audit trail.  Needs an event loop.

Numbers of records are given out before their transactions end, so that a lower one can appear after
a higher one: missing numbers are looked up again for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from mandos.server.audit.records import Record
    from mandos.server.state.store import Entry

    _Result = TypeVar("_Result")

#: Records that are read at once; earlier ones are in the trail, but are not reported.
LIMIT = 1000
#: Seconds after which a missing number will not appear: its transaction has failed.
_PATIENCE = 60.0


class Records(Protocol):
    """The records in the store: ``state/store.py``."""

    def last_record(self) -> int:
        """Return the number of the newest record; 0: there is none.  Raises MachineError."""

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """Return the newest records above ``number``, so many, and the missing ones, in order.

        Raises MachineError.
        """


class InThread(Protocol):
    """Calls the store where it may block."""

    def __call__(self, work: Callable[..., _Result], /, *arguments: object) -> Awaitable[_Result]:
        """Return the result of the call."""


class OthersRecords:
    """Reports the records of all servers but ``own`` to ``on_record``, from the first call on.

    ``elapsed`` reads a clock that never goes back, in seconds.
    """

    def __init__(
        self, own: str, records: Records, in_thread: InThread, elapsed: Callable[[], float]
    ) -> None:
        self._own = own
        self._records = records
        self._in_thread = in_thread
        self._elapsed = elapsed
        self._last: int | None = None
        self._missing: dict[int, float] = {}
        self.on_record: Callable[[Record], None] = _ignore

    async def read(self) -> None:
        """Report the records that are new; raises MachineError, and reads them the next time."""
        if self._last is None:
            self._last = await self._in_thread(self._records.last_record)
            return
        found = await self._in_thread(
            self._records.records_after, self._last, sorted(self._missing), LIMIT
        )
        if not found:  # a standby, or a restored database, may have lost the newest ones
            self._last = min(self._last, await self._in_thread(self._records.last_record))
        self._note([entry.number for entry in found])
        for entry in found:
            if entry.record.server != self._own:
                self.on_record(entry.record)

    def _note(self, numbers: Collection[int]) -> None:
        """Note the numbers that were read, and those between them that are missing."""
        now, last = self._elapsed(), self._last or 0
        new = {number for number in numbers if number > last}
        self._missing = {
            number: since
            for number, since in self._missing.items()
            if number not in numbers and now - since < _PATIENCE
        }
        if new:
            first = last + 1 if len(new) < LIMIT else min(new)
            between = range(max(first, max(new) - LIMIT), max(new))
            self._missing |= dict.fromkeys(set(between) - new, now)
            self._last = max(new)


def _ignore(_record: Record) -> None:
    """Default for ``on_record``."""
