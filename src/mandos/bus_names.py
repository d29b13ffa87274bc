# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The D-Bus interface, described once for the server, mandos-ctl and mandos-monitor.

``se.recompile.Mandos`` is the reference's, and stays as it is.  New members stand in interfaces of
our own.  Times are milliseconds; dates are ISO 8601 in UTC without a zone, or empty.  Client
settings have their properties from their rows in ``client_settings``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mandos.client_settings import BY_PROPERTY, Restart, Setting, ValueKind

if TYPE_CHECKING:
    from collections.abc import Mapping

BUS_NAME = "se.recompile.Mandos"
ROOT_PATH = "/"
CLIENT_PATHS = "/clients/"
#: Bytes in UTF-8 that a client's name may have: as many as a host name (RFC 1035 section 2.3.4)
#: and as a name on D-Bus or in a folder.  The name is part of paths, log lines and tables.
CLIENT_NAME_LIMIT = 255

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PEER = "org.freedesktop.DBus.Peer"
MANDOS = "se.recompile.Mandos"
CLIENT = "se.recompile.Mandos.Client"
#: Ours: the server's functions beyond the reference, at ROOT_PATH and at each client's path.
SERVER1 = "org.mandos_python.Server1"
CLIENT1 = "org.mandos_python.Client1"

READ, WRITE, READWRITE = "read", "write", "readwrite"
#: Values of the annotation EmitsChangedSignal: D-Bus specification, "Introspection Data Format".
EMITS, INVALIDATES, CONST = "true", "invalidates", "const"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a method or signal; the name may be empty."""

    signature: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A method: its arguments and its results."""

    takes: tuple[Argument, ...] = ()
    returns: tuple[Argument, ...] = ()
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal and its arguments."""

    carries: tuple[Argument, ...] = ()
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Property:
    """A property: its type, its access, and the signals that report its changes."""

    signature: str
    access: str = READ
    emits: str = EMITS
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface: its name and its members."""

    name: str
    methods: Mapping[str, Method]
    signals: Mapping[str, Signal]
    properties: Mapping[str, Property]


def _arguments(*pairs: str) -> tuple[Argument, ...]:
    """Read ``"s key_id"``, or ``"s"`` for an argument without a name."""
    return tuple(Argument(*pair.split()) for pair in pairs)


#: D-Bus types of settings; those of the other kinds are texts.
_SIGNATURES = {
    ValueKind.SECRET: "ay",
    ValueKind.DURATION: "t",
    ValueKind.PERIOD: "t",
    ValueKind.BOOLEAN: "b",
}


def _property(setting: Setting) -> Property:
    signature = _SIGNATURES.get(setting.kind, "s")
    if setting.kind is ValueKind.SECRET:
        return Property(signature, WRITE, INVALIDATES)
    if setting.restart is Restart.FILES:
        return Property(signature, emits=CONST)
    return Property(signature, READWRITE)


def _settings(*, original: bool) -> dict[str, Property]:
    """The properties of the settings that are in the original's interface, or in ours."""
    return {
        name: _property(setting)
        for name, setting in BY_PROPERTY.items()
        if setting.original is original
    }


#: One audit record: number t, kind s, client s, key_id s, address s, interface s, detail s, by s,
#: server s, first s and last s (dates), times u.
RECORD = "a{sv}"
#: One of the servers that share their state: see ``Servers`` below.
SERVER = "a{sv}"

MANDOS_INTERFACE = Interface(
    MANDOS,
    methods={
        "GetAllClients": Method(returns=_arguments("ao"), deprecated=True),
        "GetAllClientsWithProperties": Method(returns=_arguments("a{oa{sv}}"), deprecated=True),
        "RemoveClient": Method(takes=_arguments("o object_path")),
    },
    signals={
        "ClientAdded": Signal(_arguments("o objpath")),
        "ClientNotFound": Signal(_arguments("s key_id", "s address")),
        "ClientRemoved": Signal(_arguments("o objpath", "s name"), deprecated=True),
    },
    properties={},
)
CLIENT_INTERFACE = Interface(
    CLIENT,
    methods={
        "Approve": Method(takes=_arguments("b value")),
        "CheckedOK": Method(),
        "Disable": Method(deprecated=True),
        "Enable": Method(deprecated=True),
        "StartChecker": Method(deprecated=True),
        "StopChecker": Method(deprecated=True),
    },
    signals={
        "CheckerCompleted": Signal(_arguments("n exitcode", "x waitstatus", "s command")),
        "CheckerStarted": Signal(_arguments("s command")),
        "GotSecret": Signal(),
        "NeedApproval": Signal(_arguments("t timeout", "b default")),
        "PropertyChanged": Signal(_arguments("s property", "v value"), deprecated=True),
        "Rejected": Signal(_arguments("s reason")),
    },
    properties=dict(
        sorted(
            {
                "ApprovalPending": Property("b"),
                "CheckerRunning": Property("b", READWRITE),
                "Created": Property("s", emits=CONST),
                "Enabled": Property("b", READWRITE),
                "Expires": Property("s"),
                "LastApprovalRequest": Property("s"),
                "LastCheckedOK": Property("s", READWRITE),
                "LastCheckerStatus": Property("n"),
                "LastEnabled": Property("s"),
                "Name": Property("s", emits=CONST),
                "ObjectPath": Property("o", emits=CONST, deprecated=True),
                **_settings(original=True),
            }.items()
        )
    ),
)
SERVER1_INTERFACE = Interface(
    SERVER1,
    methods={
        # The text of one section, as in clients.conf; the client is kept in the server's state.
        "AddClient": Method(takes=_arguments("s section"), returns=_arguments("o object_path")),
        # Returns when the configuration is in force and saved; an error names the mistake in it.
        "Reload": Method(),
        # The newest records, newest first: of one client (empty: of all), at most so many (at most
        # 1000), with a number below ``before`` (0: any).
        "GetRecords": Method(
            takes=_arguments("s client", "u limit", "t before"),
            returns=_arguments(f"a{RECORD} records"),
        ),
    },
    signals={"RecordAdded": Signal(_arguments(f"{RECORD} record"))},
    properties={
        "Address": Property("s", emits=CONST),
        # The database that several servers share: "connected", with a semicolon and its trouble if
        # there is some, or "unreachable since", a date, and the consequence; empty: none is shared.
        "DatabaseState": Property("s"),
        "Interface": Property("s", emits=CONST),
        "Port": Property("q", emits=CONST),
        "ServerName": Property("s", emits=CONST),
        # Those that share the state, this one among them: name s, started s and seen s (dates),
        # alive b, checks b (whether it can check clients), version s.  Of living ones, ``seen`` is
        # the date of the last signal or call.
        "Servers": Property(f"a{SERVER}"),
        "ServiceName": Property("s", emits=CONST),
        "Version": Property("s", emits=CONST),
    },
)
CLIENT1_INTERFACE = Interface(
    CLIENT1,
    methods={},
    signals={},
    properties={
        # When and why it was disabled: "timeout", "administrator", "configuration", "state lost".
        "DisabledAt": Property("s"),
        "DisabledReason": Property("s"),
        # When it last got its secret for a rehearsal of a boot, and for a boot.
        "LastRehearsed": Property("s"),
        "LastSecretSent": Property("s"),
        # The server that checks it while it is enabled; empty where no state is shared.
        "WatchedBy": Property("s"),
        **_settings(original=False),
    },
)
ROOT_INTERFACES = (MANDOS_INTERFACE, SERVER1_INTERFACE)
CLIENT_INTERFACES = (CLIENT_INTERFACE, CLIENT1_INTERFACE)
#: The properties of a client, and the interface of each; no two have the same name.
CLIENT_PROPERTIES = {
    name: (interface.name, declared)
    for interface in CLIENT_INTERFACES
    for name, declared in interface.properties.items()
}

#: Errors; those of the D-Bus specification where it has one.
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
UNKNOWN_INTERFACE = "org.freedesktop.DBus.Error.UnknownInterface"
UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"
PROPERTY_READ_ONLY = "org.freedesktop.DBus.Error.PropertyReadOnly"
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"
FAILED = "org.freedesktop.DBus.Error.Failed"

_DASH = re.compile(r"[.-]")
_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


def client_path(name: str) -> str:
    """The object path of the client of this name.

    ``.`` and ``-`` become ``_``, as in the reference; of any other character that a path cannot
    hold each byte becomes ``_`` and two hexadecimal digits.  Two names may share a path.
    """
    return CLIENT_PATHS + _UNSAFE.sub(_escaped, _DASH.sub("_", name))


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"_{byte:02x}" for byte in match[0].encode())
