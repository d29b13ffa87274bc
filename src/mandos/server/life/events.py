# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events in a client's life, for the parts that save them, show them or act on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class Why(StrEnum):
    """The cause for which a client was enabled or disabled."""

    TIMEOUT = "timeout"
    ADMINISTRATOR = "administrator"
    CONFIGURATION = "configuration"
    STATE_LOST = "state lost"


class Rejection(StrEnum):
    """The reason of a refusal, in the words of the D-Bus signal Rejected."""

    DISABLED = "Disabled"
    DENIED = "Denied"
    TIMED_OUT = "Approval timed out"
    OVERDUE = "Not checked in time"
    NEW_KEY = "Its key was replaced"
    NO_DATABASE = "Database unreachable"
    REFUSED = "Its key is disabled"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to the client of this name."""

    client: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Added(Event):
    """The client is new in the registry; ``how`` tells people when it was known before."""

    by: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Removed(Event):
    """The client is no longer in the registry."""

    by: str = ""


@dataclass(frozen=True, slots=True)
class Left(Removed):
    """The client's section is missing from the files; the client is remembered for a while."""


@dataclass(frozen=True, slots=True)
class Forgotten(Event):
    """The server no longer remembers a removed client, or one whose section was missing for long.

    A removed client is forgotten when its section is gone from the files or has changed there.
    """


@dataclass(frozen=True, slots=True)
class Enabled(Event):
    """The client is enabled, for the reason ``why``."""

    why: Why
    by: str = ""


@dataclass(frozen=True, slots=True)
class Disabled(Event):
    """The client is disabled; a person has to enable it again."""

    why: Why
    by: str = ""


@dataclass(frozen=True, slots=True)
class CheckerWanted(Event):
    """A checker is to be started now; its completion is reported under this run's number."""

    run: int


@dataclass(frozen=True, slots=True)
class CheckerBegan(Event):
    """This run's process has been started, with this command."""

    run: int
    command: str


@dataclass(frozen=True, slots=True)
class CheckerStopped(Event):
    """This run is to be killed; its result no longer counts."""

    run: int


@dataclass(frozen=True, slots=True)
class CheckerCompleted(Event):
    """A run has ended, with this wait(2) status."""

    run: int
    wait_status: int
    command: str


@dataclass(frozen=True, slots=True)
class CheckFailed(Event):
    """A run has failed, and is the first after a success, or the one that let the client expire.

    ``failure`` is its exit status and the last words of its output.
    """

    failure: str


@dataclass(frozen=True, slots=True)
class CheckedOK(Event):
    """The client is alive, by a checker's result or an administrator's word."""

    by: str = ""


@dataclass(frozen=True, slots=True)
class Overdue(Event):
    """The client's time is over, but the server is ``late`` with its check.

    The client gets nothing until a check succeeds; it is disabled when none succeeds in time.
    """

    late: timedelta


@dataclass(frozen=True, slots=True)
class Forgiven(Event):
    """An overdue client was found alive, ``time`` after its time was over; all is as before."""

    time: timedelta
    by: str = ""


@dataclass(frozen=True, slots=True)
class SecretSent(Event):
    """The client has its secret."""


@dataclass(frozen=True, slots=True)
class Rehearsed(Event):
    """The client has its secret for a rehearsal of its boot."""


@dataclass(frozen=True, slots=True)
class Rejected(Event):
    """A request got nothing."""

    why: Rejection


@dataclass(frozen=True, slots=True)
class ApprovalNeeded(Event):
    """A request waits; after the delay the default decides."""

    delay: timedelta
    default: bool


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """A request no longer waits: its peer has gone away."""


@dataclass(frozen=True, slots=True)
class VerdictGiven(Event):
    """An administrator approved or denied the client."""

    approved: bool
    by: str = ""


@dataclass(frozen=True, slots=True)
class SettingsChanged(Event):
    """These settings have new values."""

    names: tuple[str, ...]
    by: str = ""


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """Another server checks the client from now on, or this one does again."""


@dataclass(frozen=True, slots=True)
class Followed(Event):
    """The client has a life, or a waiting request, that other servers have given it.

    ``switched``: it was enabled or disabled.
    """

    switched: bool = False


@dataclass(frozen=True, slots=True)
class Reconfigured(Event):
    """The client's section in the configuration files has changed."""
