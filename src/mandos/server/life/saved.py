# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client as it was last saved, and how it lives on from there.

Pure.  The rules are in the manual page mandos(8), "PERSISTENT STATE".
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

#: How long a client is remembered after its section was last seen.
MEMORY = timedelta(days=90)
#: How the log calls a client whose section is there again.
BACK, STILL_DISABLED = "back", "back, and still disabled"


class Saved(NamedTuple):
    """A client as it was last saved: the settings in force, those of the files, and its life.

    ``absent`` is since when its section is missing from the files.
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
) -> Client:
    """A known client with its past, and what has changed in the files."""
    settings = merged(configured, saved.configured, saved.settings)
    life = saved.life.moved(settings.timeout - saved.settings.timeout)
    if life.enabled and configured.name in disabled:
        life = life.turned_off(now, Why.STATE_LOST)
    switched = configured.enabled != saved.configured.enabled
    if switched and configured.enabled != life.enabled:
        life = _switched(life, configured, now)
    return Client(settings, now, configured=configured, life=life, rebooted=rebooted)


def _switched(life: Life, configured: ClientSettings, now: datetime) -> Life:
    if configured.enabled:
        return life.turned_on(now, configured.timeout)
    return life.turned_off(now, Why.CONFIGURATION)


def unknown_life(now: datetime) -> Life:
    """The life of a client of which no more is known than that it must not be served."""
    return Life(created=now, enabled=False).turned_off(now, Why.STATE_LOST)


def outdated(saved: Saved, now: datetime) -> bool:
    """Whether a client has been missing for so long that it is forgotten."""
    return saved.absent is not None and now - saved.absent > MEMORY


def former_self(settings: ClientSettings, saved: Saved) -> bool:
    """Whether this is the disabled client that is saved, under another name."""
    return refused(saved) and settings.key_id == saved.settings.key_id


def refused(saved: Saved) -> bool:
    """Whether a client with this key was disabled."""
    return bool(saved.settings.key_id) and not saved.life.enabled


def renamed(former: str) -> str:
    """How the log calls a disabled client that has another name now."""
    return f"new, and disabled: it has the key of {former}, which was disabled"
