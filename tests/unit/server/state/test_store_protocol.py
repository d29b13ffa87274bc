# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server needs of a store only its protocol."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mandos
from mandos.client_settings import ClientSettings
from mandos.errors import MachineError
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.life.saved import Saved
from mandos.server.state.database import SQLiteStore
from mandos.server.state.opening import claim_state
from mandos.server.state.restore import restore
from mandos.server.state.store import Entry, Outcome, State
from mandos.server.state.writer import Keeper
from mandos.server.system.machine_clock import machine_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mandos.server.audit.records import Record
    from mandos.server.state.store import Changes, StateStore

SERVER = Path(mandos.__file__).parent / "server"
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed")
BETA = ClientSettings(name="beta", key_id="cd" * 32, secret=b"sealed")


class TableStore:
    """A store that shares no code with the database: it keeps everything in dictionaries."""

    def __init__(self) -> None:
        self.trouble: MachineError | None = None
        self._saved: dict[str, Saved] = {}
        self._removed: dict[str, ClientSettings] = {}
        self._trail: list[Record] = []

    def load(self, _configured: Sequence[ClientSettings] = ()) -> State:
        """See ``StateStore``."""
        disabled = {name for name, saved in self._saved.items() if not saved.life.enabled}
        return State(dict(self._saved), dict(self._removed), disabled)

    def write(self, changes: Changes) -> Outcome:
        """See ``StateStore``."""
        for name in changes.removed:
            self._saved.pop(name, None)
            self._removed.pop(name, None)
        for name, kept in changes.settings.items():
            self._saved[name] = Saved(
                kept.settings, kept.configured, changes.lives[name], kept.added, kept.absent
            )
        for name, life in changes.lives.items():
            self._saved[name] = self._saved[name]._replace(life=life)
        self._removed.update(changes.tombstones)
        self._trail += changes.records
        return Outcome()

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """See ``StateStore``."""
        entries = [Entry(number, it, it.at, 1) for number, it in enumerate(self._trail, start=1)]
        wanted = [
            entry
            for entry in reversed(entries)
            if client in {None, entry.record.client} and (before is None or entry.number < before)
        ]
        return wanted[:limit]

    def forget(self) -> None:
        """See ``StateStore``."""
        self._saved, self._removed = {}, {}

    def reopen(self) -> bool:
        """See ``StateStore``."""
        return False

    def close(self) -> None:
        """See ``StateStore``."""


STORES: dict[str, Callable[[Path], StateStore]] = {
    "sqlite": SQLiteStore,
    "claimed": lambda folder: claim_state(folder, 1000, os.geteuid())(),
    "tables": lambda _folder: TableStore(),
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    """A new store of each kind; the test closes it."""
    return STORES[request.param](tmp_path)


async def test_a_restart_finds_what_was_written(store: StateStore) -> None:
    """Two clients live, one is disabled, one is removed; the next server knows it."""
    clock = machine_clock()
    now = clock.now()
    registry = Registry([Client(ALPHA, now), Client(BETA, now)])
    told: list[Record] = []
    keeper = Keeper(store, registry, clock, told.append)
    keeper.begin(["alpha", "beta"], [])
    alpha = registry.named("alpha")
    assert alpha is not None
    alpha.disable(clock.now(), Why.ADMINISTRATOR, "uid 0")
    registry.remove("beta", clock.now(), "uid 0")
    await keeper.durable()
    trail = await keeper.trail(None, 10, None)
    assert [entry.record for entry in trail] == list(reversed(told))
    assert await keeper.trail("alpha", 1, None) == [trail[-1]]
    assert await keeper.trail(None, 10, trail[0].number) == trail[1:]
    await keeper.close()
    begin = restore([ALPHA, BETA], store.load([ALPHA, BETA]), clock.now())
    assert [client.life for client in begin.clients] == [alpha.life]
    assert begin.removed == {"beta": BETA}
    store.forget()
    assert store.load() == State()
    store.close()


def test_only_the_opening_names_the_database() -> None:
    """Whoever starts, restores and writes sees the protocol alone; moving a state needs both."""
    line = re.compile(
        r"^\s*from mandos\.server\.state(\.database import| import .*\bdatabase\b)", re.MULTILINE
    )
    users = {
        str(it.relative_to(SERVER)) for it in SERVER.rglob("*.py") if line.search(it.read_text())
    }
    assert users == {"state/opening.py", "state/moving.py"}
