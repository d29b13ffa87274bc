# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges two changes of one client that two servers made at the same time.  Pure.

``base`` is the value that both servers knew last, ``ours`` has this server's changes since then,
``theirs`` has those of the other servers, which the database already holds.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mandos.client_settings import ClientSettings
from mandos.server.life.events import Why

if TYPE_CHECKING:
    from datetime import datetime

    from mandos.server.life.life import Life

#: The fields that an enabling or a disabling sets; they belong together.
_SWITCH = ("enabled", "last_enabled", "disabled_at", "disabled_why")
_switch_of = attrgetter(*_SWITCH)
#: The dates of which the later one is right.
_LATEST = ("last_checked_ok", "last_approval_request", "last_secret_sent", "last_rehearsed")


def merge(
    base: Life, ours: Life, theirs: Life, now: datetime, *, disabling_wins: bool = False
) -> Life:
    """Return ``theirs`` with the changes of ours.

    An administrator's act is never lost.  When both sides enabled or disabled the client, ours is
    the later act and decides, unless ``disabling_wins``, for a server that was without the
    database and does not know which act was the later one.  A client of which the others know that
    its time is not over at ``now`` does not expire.
    """
    if theirs in (base, ours):
        switched = ours
    elif ours == base:
        return theirs
    else:
        switched = replace(theirs, **_switch(base, ours, theirs, disabling_wins=disabling_wins))
    if _expired_too_early(switched, theirs, now):
        switched = replace(switched, **dict(zip(_SWITCH, _switch_of(theirs), strict=True)))
    changed = ours.last_checker_status != base.last_checker_status
    status = ours.last_checker_status if changed else theirs.last_checker_status
    expires = _expires(base, ours, theirs, switched)
    return replace(switched, **latest(ours, theirs), expires=expires, last_checker_status=status)


def latest(one: Life, other: Life) -> dict[str, Any]:
    """Return the later of each date that both sides found out."""
    return {name: _later(getattr(one, name), getattr(other, name)) for name in _LATEST}


def _switch(base: Life, ours: Life, theirs: Life, *, disabling_wins: bool) -> dict[str, Any]:
    """Whether the client is enabled, since when, and why not."""
    we_did, they_did = _switch_of(ours) != _switch_of(base), _switch_of(theirs) != _switch_of(base)
    chosen = ours if we_did else theirs
    if we_did and they_did and not theirs.enabled:
        expired = not ours.enabled and ours.disabled_why is Why.TIMEOUT
        chosen = theirs if expired or (disabling_wins and ours.enabled) else ours
    return dict(zip(_SWITCH, _switch_of(chosen), strict=True))


def _expired_too_early(merged: Life, theirs: Life, now: datetime) -> bool:
    """Whether a client would expire of which another server knows that it is alive."""
    expired = not merged.enabled and merged.disabled_why is Why.TIMEOUT
    alive = theirs.enabled and theirs.expires is not None and theirs.expires > now
    return expired and alive


def _expires(base: Life, ours: Life, theirs: Life, merged: Life) -> datetime | None:
    """The end of the client's time: by the side that switched it, else the later of the changes."""
    if not merged.enabled:
        return None
    of_ours, of_theirs = (_switch_of(one) == _switch_of(merged) for one in (ours, theirs))
    if not of_ours:
        return theirs.expires
    if not of_theirs or theirs.expires == base.expires:
        return ours.expires
    return theirs.expires if ours.expires == base.expires else _later(ours.expires, theirs.expires)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def merge_settings(
    base: ClientSettings, ours: ClientSettings, theirs: ClientSettings
) -> ClientSettings:
    """Return ``theirs`` with each setting that differs between ``base`` and ``ours``."""
    names = [field.name for field in fields(ClientSettings)]
    changed = [name for name in names if getattr(base, name) != getattr(ours, name)]
    return replace(theirs, **{name: getattr(ours, name) for name in changed})
