# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the store of the server's state: the part that needs root, and the part that does not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mandos.server.state import obstacles
from mandos.server.state.database import SQLiteStore, claim
from mandos.server.state.rescue import read_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mandos.server.state.store import StateStore


def claim_state(directory: Path, audit_limit: int, server_uid: int) -> Callable[[], StateStore]:
    """Keep other servers from the state while this one has root; the result opens the store.

    Files that the server's user cannot read or write, as after a restore, are read here.  Both
    steps raise MachineError: when another server uses the state, and when it cannot be read.
    """
    lock = claim(directory)
    copy = read_copy(directory) if obstacles.foreign(directory, server_uid) else None
    return partial(SQLiteStore, directory, audit_limit, lock=lock, copy=copy)
