# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``mandos --move-state``: moves the saved state of this stopped server, then ends."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError
from mandos.server.state.moving import from_database, to_database
from mandos.server.state.opening import load_moving, lock_directory
from mandos.server.system import privileges

if TYPE_CHECKING:
    from mandos.server.config.server_conf import ServerSettings

_UMASK = 0o077


def move(settings: ServerSettings) -> list[str]:
    """Move the state in the direction ``move_state``, as the server's user; returns lines.

    Raises MandosError.
    """
    if not settings.state:
        raise AdministratorError(
            "--move-state needs the database: state is not set",
            "set state in mandos.conf, or give --state; see docs/postgresql.md",
        )
    os.umask(_UMASK)
    user = privileges.server_user()
    privileges.make_state_directory(settings.statedir, user)
    lock = lock_directory(settings.statedir)
    database = load_moving()(settings.state, settings.server_name)
    privileges.give_up_root()
    if settings.move_state == "to-database":
        return to_database(settings.statedir, lock, database, datetime.now(UTC))
    return from_database(settings.statedir, lock, database)
