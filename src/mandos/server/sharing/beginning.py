# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state with which a server begins that shares it: the database's, or its local copy.

Changes that this server made alone in its last run are merged into the database's state.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import MachineError, MandosError
from mandos.server.life.merge import merge, merge_settings
from mandos.server.state import boot_id
from mandos.server.state.apart import Contact
from mandos.server.state.store import Known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.client_settings import ClientSettings
    from mandos.server.audit.records import Record
    from mandos.server.life.saved import Saved
    from mandos.server.state.opening import Shared
    from mandos.server.state.store import State, StateStore

log = logging.getLogger(__name__)


class Beginning(NamedTuple):
    """The state, the time of the clients' lives, and the remains of a run without the database.

    ``state.known`` are the clients as all servers know them in common, ``alone`` those that this
    server has changed by itself, ``unsent`` the records that the database does not have.
    ``copied`` are the clients in the local copy.
    """

    state: State
    moment: datetime
    alone: frozenset[str]
    unsent: Sequence[Record]
    copied: State


def begin(
    shared: Shared, copy: StateStore, configured: Sequence[ClientSettings], elapsed: float
) -> Beginning:
    """Read the database, or the local copy when the database cannot be used now.

    ``elapsed`` is the machine's CLOCK_BOOTTIME in seconds.  Raises MandosError when the database
    has never been used from here, and its setting is wrong.
    """
    copied = copy.load(configured)
    bases, unsent = shared.notes.bases(), shared.notes.unsent()
    try:
        state, moment = _from_database(shared, configured)
    except MandosError as error:
        if not isinstance(error, MachineError) and shared.notes.contact() is None:
            raise
        for line in error.lines():
            log.error("%s", line)  # noqa: TRY400 - expected
        log.error("the database is unreachable: beginning with the local copy")  # noqa: TRY400
        known = {
            name: bases.get(name) or Known(one.life, one.settings, one.added)
            for name, one in copied.saved.items()
        }
        moment = datetime.now(UTC)
        state = replace(copied, shared=True, known=known)
        return Beginning(state, moment, frozenset(bases), unsent, copied)
    shared.notes.seen(Contact(boot_id.present(), elapsed, datetime.now(UTC)))
    saved = dict(state.saved)
    for name, base in bases.items():
        if name in saved and name in copied.saved:
            saved[name] = _merged(base, copied.saved[name], saved[name], moment)
    state = replace(state, saved=saved)
    return Beginning(state, moment, frozenset(bases), unsent, copied)


def _from_database(shared: Shared, configured: Sequence[ClientSettings]) -> tuple[State, datetime]:
    shared.database.open()
    return shared.store.load(configured), shared.database.settled()


def _merged(base: Known, ours: Saved, theirs: Saved, now: datetime) -> Saved:
    """The client with the changes of both sides; the side that disabled it wins."""
    life = merge(base.life, ours.life, theirs.life, now, disabling_wins=True)
    settings = merge_settings(base.settings, ours.settings, theirs.settings)
    return theirs._replace(life=life, settings=settings)
