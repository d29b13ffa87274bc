# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one client, each in one row: a field of ``ClientSettings``.

The reader of clients.conf, the saved state, the D-Bus interface, mandos-ctl and mandos-monitor take
the setting's name, kind and texts from its row.  The manual page mandos-clients.conf(5) describes
each setting; ``tests/integration/test_client_settings.py`` sends each one through all programs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

from mandos.errors import AdministratorError

#: The key of a row in the metadata of its field.
_ROW: Final = "row"


class ValueKind(Enum):
    """The kind of a setting's value: it decides how the value is read, sent and shown."""

    TEXT = auto()
    COMMAND = auto()  # a checker's command line
    KEY_ID = auto()  # hexadecimal digits, lower case
    FINGERPRINT = auto()  # hexadecimal digits, lower case
    SECRET = auto()  # bytes that are never shown
    DURATION = auto()
    PERIOD = auto()  # a duration of more than no time
    BOOLEAN = auto()


DURATIONS: Final = frozenset((ValueKind.DURATION, ValueKind.PERIOD))


class Restart(Enum):
    """The source of a setting's value after a restart of the server, or a reload.

    A value that has changed in the files since they were last read always wins.
    """

    SAVED = auto()  # the last value in force, which D-Bus can set
    FILES = auto()  # the files alone; D-Bus shows the value as a constant
    BEGINNING = auto()  # the files say how a new client begins; then its ``Life`` has the value


class CtlOption(NamedTuple):
    """An option of mandos-ctl that changes a setting.

    ``metavar`` is the name of its value in --help.  Without one the option takes no value, and
    stands for ``value``.
    """

    strings: tuple[str, ...]
    metavar: str
    help: str
    value: bool = False


class Setting(NamedTuple):
    """A row: the description of a setting, except for its type and default.

    ``name`` is the option in clients.conf, and the name in the saved state.  ``options`` are those
    of mandos-ctl.  ``label`` names the setting for people: its name with blanks, unless the row has
    another.

    ``own``: each client has a value of its own, so that the setting does not belong in [DEFAULT].
    ``original``: the property is in the original's D-Bus interface, and not in ours.
    ``for_checkers``: a checker's command may refer to the value.
    """

    name: str
    kind: ValueKind
    options: tuple[CtlOption, ...]
    restart: Restart
    label: str
    own: bool
    original: bool
    for_checkers: bool

    @property
    def heading(self) -> str:
        """The label with capital letters, for columns: ``Extended Timeout``."""
        return " ".join(word[:1].upper() + word[1:] for word in self.label.split())

    @property
    def property_name(self) -> str:
        """The name on D-Bus, such as ``ExtendedTimeout``; empty without a property of its own."""
        if self.restart is Restart.BEGINNING:
            return ""
        return self.heading.replace(" ", "")


def _row(
    kind: ValueKind,
    *options: CtlOption,
    restart: Restart = Restart.SAVED,
    label: str = "",
    own: bool = False,
    original: bool = False,
    for_checkers: bool = False,
) -> dict[str, Setting]:
    """The metadata of a setting's field."""
    return {_ROW: Setting("", kind, options, restart, label, own, original, for_checkers)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSettings:
    """The settings of one client; the secret never shows in a log."""

    name: str
    secret: bytes = field(
        repr=False,
        metadata=_row(
            ValueKind.SECRET,
            CtlOption(("-s", "--secret"), "FILE", "encrypted password, or - for stdin"),
            own=True,
            original=True,
        ),
    )
    key_id: str = field(
        default="",
        metadata=_row(
            ValueKind.KEY_ID,
            restart=Restart.FILES,
            label="key ID",
            own=True,
            original=True,
            for_checkers=True,
        ),
    )
    fingerprint: str = field(
        default="",
        metadata=_row(
            ValueKind.FINGERPRINT, restart=Restart.FILES, own=True, original=True, for_checkers=True
        ),
    )
    host: str = field(
        default="",
        metadata=_row(
            ValueKind.TEXT,
            CtlOption(("-H", "--host"), "STRING", "the host that the checker checks"),
            own=True,
            original=True,
            for_checkers=True,
        ),
    )
    checker: str = field(
        default="fping -q -- %(host)s",
        metadata=_row(
            ValueKind.COMMAND,
            CtlOption(("-c", "--checker"), "COMMAND", "the checker's command"),
            original=True,
        ),
    )
    timeout: timedelta = field(
        default=timedelta(minutes=5),
        metadata=_row(
            ValueKind.DURATION,
            CtlOption(("-t", "--timeout"), "TIME", "time without success"),
            original=True,
            for_checkers=True,
        ),
    )
    extended_timeout: timedelta = field(
        default=timedelta(minutes=15),
        metadata=_row(
            ValueKind.DURATION,
            CtlOption(("--extended-timeout",), "TIME", "... after its secret"),
            original=True,
        ),
    )
    interval: timedelta = field(
        default=timedelta(minutes=2),
        metadata=_row(
            ValueKind.PERIOD,
            CtlOption(("-i", "--interval"), "TIME", "time between checks"),
            original=True,
            for_checkers=True,
        ),
    )
    approval_delay: timedelta = field(
        default=timedelta(0),
        metadata=_row(
            ValueKind.DURATION,
            CtlOption(("--approval-delay",), "TIME", "wait for a decision"),
            original=True,
            for_checkers=True,
        ),
    )
    approval_duration: timedelta = field(
        default=timedelta(seconds=1),
        metadata=_row(
            ValueKind.DURATION,
            CtlOption(("--approval-duration",), "TIME", "decisions hold for"),
            original=True,
            for_checkers=True,
        ),
    )
    approved_by_default: bool = field(
        default=True,
        metadata=_row(
            ValueKind.BOOLEAN,
            CtlOption(("--approve-by-default",), "", "undecided: allow", value=True),
            CtlOption(("--deny-by-default",), "", "undecided: refuse", value=False),
            original=True,
        ),
    )
    enabled: bool = field(
        default=True,
        metadata=_row(ValueKind.BOOLEAN, restart=Restart.BEGINNING, for_checkers=True),
    )

    def __post_init__(self) -> None:
        """Refuse values that no client may have."""
        if self.interval <= timedelta(0):
            raise AdministratorError("interval: expected more than no time, not PT0S")


def _named(row: Setting, name: str) -> Setting:
    return row._replace(name=name, label=row.label or name.replace("_", " "))


#: All rows, in the order of the fields.  New rows come last: signals and records keep their order.
SETTINGS: Final = tuple(
    _named(one.metadata[_ROW], one.name) for one in fields(ClientSettings) if _ROW in one.metadata
)
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
#: The rows of the settings with a D-Bus property, by its name.
BY_PROPERTY: Final = {
    setting.property_name: setting for setting in SETTINGS if setting.property_name
}
