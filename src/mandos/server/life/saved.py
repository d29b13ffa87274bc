# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client as it was last saved, and its life after a restart.

The rules are in the manual page mandos(8), "PERSISTENT STATE".  Pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from mandos.server.life.client import Client, merged
from mandos.server.life.events import Why
from mandos.server.life.life import Life

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from mandos.client_settings import ClientSettings

#: A client is remembered for so long after its section was last seen.
MEMORY = timedelta(days=90)
#: The log's words for a client whose section is there again.
BACK, STILL_DISABLED = "back", "back, and still disabled"


class Saved(NamedTuple):
    """A client as it was last saved: the settings in force, those of the files, and its life.

    ``absent`` is the time since which its section is missing from the files.
    """

    settings: ClientSettings
    configured: ClientSettings
    life: Life
    added: bool = False
    absent: datetime | None = None


def remembered(
    configured: ClientSettings,
    saved: Saved,
    disabled: Collection[str],
    now: datetime,
    *,
    rebooted: bool = False,
    watched: bool = True,
) -> Client:
    """Return a known client with its saved life, and with the changes in the files.

    ``watched``: this server judges at once whether its time is over.
    """
    settings = merged(configured, saved.configured, saved.settings)
    life = saved.life.moved(settings.timeout - saved.settings.timeout)
    if life.enabled and configured.name in disabled:
        life = life.turned_off(now, Why.STATE_LOST)
    switched = configured.enabled != saved.configured.enabled
    if switched and configured.enabled != life.enabled:
        life = _switched(life, configured, now)
    return Client(
        settings, now, configured=configured, life=life, rebooted=rebooted, watched=watched
    )


def _switched(life: Life, configured: ClientSettings, now: datetime) -> Life:
    if configured.enabled:
        return life.turned_on(now, configured.timeout)
    return life.turned_off(now, Why.CONFIGURATION)


def unknown_life(now: datetime) -> Life:
    """Return the life of a client about which the list of disabled clients alone is left."""
    return Life(created=now, enabled=False).turned_off(now, Why.STATE_LOST)


def outdated(saved: Saved, now: datetime) -> bool:
    """Return whether a client has been missing for so long that it is to be forgotten."""
    return saved.absent is not None and now - saved.absent > MEMORY


def former_self(settings: ClientSettings, saved: Saved) -> bool:
    """Return whether this section is the saved, disabled client under another name."""
    return refused(saved) and settings.key_id == saved.settings.key_id


def refused(saved: Saved) -> bool:
    """Return whether the saved client has a key and is disabled."""
    return bool(saved.settings.key_id) and not saved.life.enabled


def renamed(former: str) -> str:
    """Return the log's words for a disabled client that has another name now."""
    return f"new, and disabled: it has the key of {former}, which was disabled"
