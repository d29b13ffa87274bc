# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client as the server reports it, a record of its audit trail, and finding clients by name.

The D-Bus values are kept as they came, so that they can be shown unchanged.  Properties convert
them to Python on demand, which keeps ten thousand clients cheap.  Values that do not have the
type that ``bus_names`` promises are skipped: a server's mistake must not end a program.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mandos import bus_names
from mandos.client_settings import BY_PROPERTY, DURATIONS, ValueKind
from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mandos.client_settings import Setting

_SIGNATURES: Final = {
    interface.name: {name: declared.signature for name, declared in interface.properties.items()}
    for interface in (*bus_names.CLIENT_INTERFACES, *bus_names.ROOT_INTERFACES)
}
_RECORD_SIGNATURES: Final = {
    "number": "t", "kind": "s", "client": "s", "key_id": "s", "address": "s", "interface": "s",
    "detail": "s", "by": "s", "server": "s", "first": "s", "last": "s", "times": "u",
}  # fmt: skip
_NEAREST = 3
#: The value of a setting, by its kind.
SettingValue = str | bool | timedelta
#: The settings that the reference does not have, by their properties.
_BEYOND: Final = {name: one for name, one in BY_PROPERTY.items() if not one.original}

#: ``last_checker_status`` beside exit codes: facts of the D-Bus interface.
KILLED, NEVER_CHECKED = -1, -2


class NoSuchClientError(AdministratorError):
    """The server has no client of this name."""

    exit_code = 67  # EX_NOUSER


@dataclass(frozen=True, slots=True)
class Client:
    """A client; ``values`` holds its D-Bus properties as they came, without their variants.

    Durations are not negative; dates are aware and in UTC, None where there is none.
    """

    path: str
    values: Mapping[str, Any]

    def changed(self, values: Mapping[str, Any]) -> Client:
        """The same client with some new values."""
        return replace(self, values={**self.values, **values})

    @property
    def name(self) -> str:
        """The section's name in clients.conf; the end of the path when the server is silent."""
        return str(self.values.get("Name") or self.path.rpartition("/")[2])

    @property
    def short_name(self) -> str:
        """The name for people; cut if it is longer than the server's limit, as of old servers."""
        return shortened(self.name)

    @property
    def key_id(self) -> str:
        """SHA-256 of the TLS key, upper-case hexadecimal."""
        return self._text("KeyID")

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the OpenPGP key, upper-case hexadecimal."""
        return self._text("Fingerprint")

    @property
    def host(self) -> str:
        """The host that the checker checks."""
        return self._text("Host")

    @property
    def checker(self) -> str:
        """The checker's command line, before its variables are filled in."""
        return self._text("Checker")

    @property
    def enabled(self) -> bool:
        """Whether it may get its secret and is checked."""
        return self._flag("Enabled")

    @property
    def checker_running(self) -> bool:
        """Whether a checker runs now."""
        return self._flag("CheckerRunning")

    @property
    def approval_pending(self) -> bool:
        """Whether a request waits for approval now."""
        return self._flag("ApprovalPending")

    @property
    def approved_by_default(self) -> bool:
        """The decision on a request that no administrator approves or denies in time."""
        return self._flag("ApprovedByDefault")

    @property
    def timeout(self) -> timedelta:
        """How long after its last sign of life it is disabled."""
        return self._duration("Timeout")

    @property
    def extended_timeout(self) -> timedelta:
        """The timeout after its secret was sent."""
        return self._duration("ExtendedTimeout")

    @property
    def interval(self) -> timedelta:
        """How often a checker starts."""
        return self._duration("Interval")

    @property
    def approval_delay(self) -> timedelta:
        """How long a request waits for an administrator; zero: it does not wait."""
        return self._duration("ApprovalDelay")

    @property
    def approval_duration(self) -> timedelta:
        """How long an approval or denial holds."""
        return self._duration("ApprovalDuration")

    @property
    def created(self) -> datetime | None:
        """When the server first knew it."""
        return self._date("Created")

    @property
    def last_enabled(self) -> datetime | None:
        """When it was enabled last."""
        return self._date("LastEnabled")

    @property
    def expires(self) -> datetime | None:
        """When it will be disabled unless it shows that it is alive; None when disabled."""
        return self._date("Expires")

    @property
    def last_checked_ok(self) -> datetime | None:
        """When it was last found alive."""
        return self._date("LastCheckedOK")

    @property
    def reports_boots(self) -> bool:
        """Whether the server reports when the client got its secret."""
        return "LastSecretSent" in self.values

    @property
    def last_secret_sent(self) -> datetime | None:
        """When it last got its secret to boot; None also when the server does not report it."""
        return self._date("LastSecretSent")

    @property
    def last_rehearsed(self) -> datetime | None:
        """When it last got its secret for a rehearsal, which is no boot."""
        return self._date("LastRehearsed")

    @property
    def last_approval_request(self) -> datetime | None:
        """When it last asked for its secret and had to wait for approval."""
        return self._date("LastApprovalRequest")

    @property
    def last_checker_status(self) -> int:
        """The last checker's exit code, KILLED, or NEVER_CHECKED."""
        return int(self.values.get("LastCheckerStatus", NEVER_CHECKED))

    @property
    def disabled_at(self) -> datetime | None:
        """When it was disabled; None when it is enabled or the server does not report it."""
        return self._date("DisabledAt")

    @property
    def disabled_reason(self) -> str:
        """Why it is disabled; empty when it is enabled or the server does not report it."""
        return self._text("DisabledReason")

    @property
    def watched_by(self) -> str:
        """The server that checks it, where several share their state."""
        return self._text("WatchedBy")

    def setting(self, setting: Setting) -> SettingValue:
        """The value of a setting; a server that lacks it leaves it empty, off or zero."""
        if setting.kind in DURATIONS:
            return self._duration(setting.property_name)
        if setting.kind is ValueKind.BOOLEAN:
            return self._flag(setting.property_name)
        return self._text(setting.property_name)

    def settings_beyond(self) -> list[Setting]:
        """The settings beyond the reference's that the server reports."""
        return [setting for name, setting in _BEYOND.items() if name in self.values]

    def _text(self, name: str) -> str:
        return str(self.values.get(name, ""))

    def _flag(self, name: str) -> bool:
        return bool(self.values.get(name, False))

    def _duration(self, name: str) -> timedelta:
        try:
            return timedelta(milliseconds=self.values.get(name, 0))
        except OverflowError:
            return timedelta.max

    def _date(self, name: str) -> datetime | None:
        return parse_date(self._text(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One record of the audit trail; fields that do not apply are empty.

    The event happened ``times`` times, from ``first`` to ``last`` (aware, UTC).  ``number`` grows.
    ``server`` is the server that recorded it, where several share their state.
    """

    number: int
    kind: str
    client: str = ""
    key_id: str = ""
    address: str = ""
    interface: str = ""
    detail: str = ""
    by: str = ""
    server: str = ""
    first: datetime | None = None
    last: datetime | None = None
    times: int = 1


def parse_date(text: str) -> datetime | None:
    """Read a date of the interface; None for an empty or unreadable one."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def read_client(path: str, interfaces: Mapping[str, Mapping[str, Any]]) -> Client | None:
    """Read an object of GetManagedObjects or InterfacesAdded; None when it is no client."""
    if bus_names.CLIENT not in interfaces:
        return None
    values = read_values(bus_names.CLIENT, interfaces[bus_names.CLIENT])
    if bus_names.CLIENT1 in interfaces:
        values |= read_values(bus_names.CLIENT1, interfaces[bus_names.CLIENT1])
    return Client(path, values)


def read_values(interface: str, variants: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an interface's properties that are known and have the right type."""
    signatures = _SIGNATURES.get(interface, {})
    return {
        name: _plain(variant)
        for name, variant in variants.items()
        if variant.signature == signatures.get(name)
    }


def _plain(variant: Any) -> Any:  # noqa: ANN401 - any value from D-Bus
    """The value of a variant, without the variants in it."""
    if variant.signature != f"a{bus_names.SERVER}":
        return variant.value
    return [{name: one.value for name, one in item.items()} for item in variant.value]


def read_record(variants: Mapping[str, Any]) -> AuditRecord:
    """Read a record of the audit trail."""
    values: dict[str, Any] = {"number": 0, "kind": ""}
    values |= {
        name: variants[name].value
        for name, signature in _RECORD_SIGNATURES.items()
        if name in variants and variants[name].signature == signature
    }
    for name in ("first", "last"):
        values[name] = parse_date(values.get(name, ""))
    return AuditRecord(**values)


def find_clients(clients: Iterable[Client], names: Sequence[str]) -> list[Client]:
    """The clients of these names, in their order, each once.

    Raises NoSuchClientError, whose hint has the nearest names.
    """
    by_name = {client.name: client for client in clients}
    missing = [name for name in dict.fromkeys(names) if name not in by_name]
    if missing:
        raise no_such_client(missing, by_name)
    return [by_name[name] for name in dict.fromkeys(names)]


def shortened(name: str) -> str:
    """A client's name of at most 255 characters; three dots replace the end of a longer one."""
    limit = bus_names.CLIENT_NAME_LIMIT
    return name if len(name) <= limit else f"{name[: limit - 3]}..."


def no_such_client(missing: Sequence[str], names: Iterable[str]) -> NoSuchClientError:
    """The error about names that no client has."""
    known = list(names)
    noun = "client" if len(missing) == 1 else "clients"
    wanted = ", ".join(repr(shortened(name)) for name in missing)
    message = f"the server has no {noun} {wanted}"
    if not known:
        return NoSuchClientError(message, "it has no clients at all")
    near = [name for one in missing for name in nearest(one, known)]
    if not near:
        return NoSuchClientError(message, "mandos-ctl lists those that it has")
    return NoSuchClientError(
        message, f"did you mean {' or '.join(dict.fromkeys(map(shortened, near)))}?"
    )


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The few names that begin so, or are most like this one, without regard to case."""
    wanted, folded = name.casefold(), {known.casefold(): known for known in names}
    begin = [one for one in folded if wanted and one.startswith(wanted)]
    close = difflib.get_close_matches(wanted, folded, _NEAREST)
    return [folded[one] for one in dict.fromkeys((*begin, *close))][:_NEAREST]
