# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the administrator's programs make of a server's messages; the bus itself: tests/service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from hypothesis import given
from hypothesis import strategies as st

from mandos import bus_names
from mandos.admin import proxy, signals
from mandos.admin.client import (
    Client,
    NoSuchClientError,
    find_clients,
    parse_date,
    read_client,
    read_record,
    read_values,
)
from mandos.errors import MandosError

PATH = "/clients/alpha"
VALUES = {
    "Name": Variant("s", "alpha"),
    "Enabled": Variant("b", True),  # noqa: FBT003
    "Timeout": Variant("t", 300_000),
    "Expires": Variant("s", "2026-11-24T04:13:30.172096"),
    "LastCheckedOK": Variant("s", ""),
    "LastCheckerStatus": Variant("n", -1),
}


def _named(*names: str) -> list[Client]:
    return [Client(bus_names.client_path(name), {"Name": name}) for name in names]


def test_client_means_what_the_server_said() -> None:
    """Durations, dates and states are read from the D-Bus values."""
    client = read_client(PATH, {bus_names.CLIENT: VALUES})
    assert client is not None
    assert (client.name, client.enabled, client.path) == ("alpha", True, PATH)
    assert client.timeout == timedelta(minutes=5)
    assert client.expires == datetime(2026, 11, 24, 4, 13, 30, 172096, UTC)
    assert client.last_checked_ok is None
    assert client.last_checker_status == -1
    assert client.disabled_reason == ""


def test_reasons_come_with_the_client() -> None:
    """Our own interface's properties are the client's as well."""
    reason = {"DisabledReason": Variant("s", "timeout")}
    client = read_client(PATH, {bus_names.CLIENT: VALUES, bus_names.CLIENT1: reason})
    assert client is not None
    assert client.disabled_reason == "timeout"


def test_object_without_the_interface_is_no_client() -> None:
    """The root object, for example, is passed over."""
    assert read_client("/", {bus_names.MANDOS: {}}) is None


def test_change_makes_another_client() -> None:
    """A client that is shown somewhere does not change under the reader's eyes."""
    before = Client(PATH, {"Name": "alpha", "Enabled": True})
    after = before.changed({"Enabled": False})
    assert (before.enabled, after.enabled, after.name) == (True, False, "alpha")


def test_values_of_wrong_types_are_left_out() -> None:
    """A value that is not what the interface promises cannot end the program later."""
    wrong = {"Enabled": Variant("s", "yes"), "Timeout": Variant("i", 5), "New": Variant("s", "x")}
    assert read_values(bus_names.CLIENT, wrong) == {}
    client = Client(PATH, {})
    assert (client.name, client.enabled, client.timeout) == ("alpha", False, timedelta())


def test_duration_beyond_all_bounds() -> None:
    """The largest number that D-Bus can carry is some duration."""
    assert Client(PATH, {"Timeout": 2**64 - 1}).timeout == timedelta.max


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00", "\0"])
def test_what_is_no_date(text: str) -> None:
    """What cannot be read as a date is none."""
    assert parse_date(text) is None


def test_record() -> None:
    """A record is read with its dates; what is missing is empty."""
    variants = {
        "number": Variant("t", 7),
        "kind": Variant("s", "rejected"),
        "last": Variant("s", "2026-11-24T04:13:30"),
        "times": Variant("u", 3),
        "by": Variant("i", 0),
    }
    record = read_record(variants)
    assert (record.number, record.kind, record.times, record.by) == (7, "rejected", 3, "")
    assert record.last == datetime(2026, 11, 24, 4, 13, 30, tzinfo=UTC)
    assert record.first is None


def test_find_keeps_the_order_and_takes_each_once() -> None:
    """Clients come in the order in which they are named."""
    clients = _named("a", "b", "c")
    assert [one.name for one in find_clients(clients, ["c", "a", "c"])] == ["c", "a"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("wbe1", "did you mean web1?"),
        ("mail", "did you mean mail.example.org?"),
        ("WEB1", "did you mean web1 or web2?"),
        ("we", "did you mean web1 or web2?"),
        ("zzz", "mandos-ctl lists those that it has"),
        ("", "mandos-ctl lists those that it has"),
    ],
)
def test_nearest_names(name: str, hint: str) -> None:
    """The error about an unknown name has those that are like it."""
    clients = _named("web1", "web2", "mail.example.org")
    with pytest.raises(NoSuchClientError) as caught:
        find_clients(clients, [name])
    assert caught.value.hint == hint
    assert repr(name) in str(caught.value)


def test_no_clients_at_all() -> None:
    """An empty server is no spelling mistake."""
    with pytest.raises(NoSuchClientError) as caught:
        find_clients([], ["a", "b"])
    assert caught.value.lines() == [
        "the server has no clients 'a', 'b'",
        "hint: it has no clients at all",
    ]


SIGNALS: list[tuple[str, str, str, list[Any], signals.Event | None]] = [
    (bus_names.CLIENT, "GotSecret", "", [], signals.GotSecret(PATH)),
    (bus_names.CLIENT, "Rejected", "s", ["Denied"], signals.Rejected(PATH, "Denied")),
    (bus_names.CLIENT, "CheckerStarted", "s", ["true"], signals.CheckerStarted(PATH, "true")),
    (bus_names.CLIENT, "CheckerCompleted", "nxs", [1, 256, "false"],
     signals.CheckerCompleted(PATH, 1, 256, "false")),
    (
        bus_names.CLIENT,
        "NeedApproval",
        "tb",
        [30, True],
        signals.NeedApproval(PATH, 30, default=True),
    ),
    (bus_names.MANDOS, "ClientNotFound", "ss", ["AA", "::1"], signals.ClientNotFound("AA", "::1")),
    (bus_names.PROPERTIES, "PropertiesChanged", "sa{sv}as",
     [bus_names.CLIENT, {"Host": Variant("s", "x")}, []], signals.Changed(PATH, {"Host": "x"})),
    (bus_names.PROPERTIES, "PropertiesChanged", "sa{sv}as", [bus_names.CLIENT, {}, ["Secret"]],
     None),
    (bus_names.PROPERTIES, "PropertiesChanged", "sa{sv}as",
     ["se.bsnet.fukt.Mandos.Client", {"Host": Variant("s", "x")}, []], None),
    (bus_names.OBJECT_MANAGER, "InterfacesRemoved", "oas", [PATH, [bus_names.CLIENT]],
     signals.ClientRemoved(PATH)),
    (bus_names.OBJECT_MANAGER, "InterfacesRemoved", "oas", [PATH, [bus_names.PEER]], None),
    (bus_names.OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}",
     [PATH, {bus_names.CLIENT: {"Name": Variant("s", "a")}}],
     signals.ClientAdded(Client(PATH, {"Name": "a"}))),
    (bus_names.MANDOS, "ClientRemoved", "os", [PATH, "alpha"], None),
    (bus_names.CLIENT, "PropertyChanged", "sv", ["Host", Variant("s", "x")], None),
    (bus_names.CLIENT, "Rejected", "i", [1], None),
    (bus_names.CLIENT, "GotSecret", "s", ["x"], None),
    ("org.example", "GotSecret", "", [], None),
]  # fmt: skip


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: f"{signal[1]} {signal[2]}")
def test_signals(signal: tuple[str, str, str, list[Any], signals.Event | None]) -> None:
    """Signals become events once; deprecated and malformed ones do not."""
    interface, member, signature, body, event = signal
    assert signals.read_signal(PATH, interface, member, signature, body) == event


NAME = "org.freedesktop.DBus.Error."
TRACEBACK = 'Traceback (most recent call last):\n  File "x", line 1\nTypeError: bad value\n'


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        (NAME + "ServiceUnknown", "not provided", proxy.ServerGoneError, "not running"),
        (NAME + "NoReply", "", proxy.ServerGoneError, "ended before it answered"),
        (NAME + "AccessDenied", "Rejected send", proxy.AccessDeniedError, "does not let you"),
        (NAME + "UnknownMethod", "x", proxy.NotOfferedError, "does not offer the audit trail"),
        (NAME + "Failed", "no\n space ", proxy.RefusedError, "no\n space"),
        ("org.freedesktop.DBus.Python.TypeError", TRACEBACK, proxy.RefusedError, "TypeError: bad"),
        ("org.example.Odd", "", proxy.RefusedError, "refused GetRecords: org.example.Odd"),
    ],
)
def test_errors(name: str, text: str, kind: type[MandosError], said: str) -> None:
    """An error reply becomes the error that says what to do."""
    reply = Message(
        message_type=MessageType.ERROR, error_name=name, reply_serial=1, signature="s", body=[text]
    )
    error = proxy._error(reply, "GetRecords")
    assert type(error) is kind
    assert said in str(error)


def test_server_may_send_a_hint() -> None:
    """The hint in our server's errors stays a hint."""
    assert proxy._said("bad\nworse\nhint: mend it\n") == ("bad\nworse", "mend it")


@given(st.text(max_size=200))
def test_any_error_text(text: str) -> None:
    """Whatever a server says, it can be shown."""
    message, hint = proxy._said(text)
    assert isinstance(message, str)
    assert hint is None or hint


def test_secrets_do_not_get_into_the_log() -> None:
    """Of a secret only its length is shown by --debug."""
    assert proxy._shown(("Secret", Variant("ay", b"abc"), Variant("t", 5))) == (
        "'Secret', 3 bytes, 5"
    )
