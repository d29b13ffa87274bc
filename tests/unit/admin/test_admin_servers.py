# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that share their state, as the administrator's programs show them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dbus_fast import Variant

from mandos import bus_names
from mandos.admin import signals
from mandos.admin.client import AuditRecord, Client, read_record
from mandos.admin.ctl import log, servers, table
from mandos.admin.ctl.columns import Medium
from mandos.admin.ctl.explain import Grade, why
from mandos.admin.ctl.watch import Line, SignalWatch
from mandos.admin.monitor.messages import Weight
from mandos.admin.monitor.model import Model
from mandos.admin.servers import Sharing
from mandos.admin.signals import RecordAdded, ServerChanged, ServerVanished, read_signal

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALONE = "unreachable since 2026-11-24 11:00:00 UTC, local copy in use"
WELL = "the database is connected, and all servers are there"


def _server(name: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - any value on the bus
    usual = {"alive": True, "checks": True, "version": "7", "started": "", "seen": ""}
    return {"name": name} | usual | values


def _values(*others: dict[str, Any], database: str = "connected") -> dict[str, Any]:
    listed = [_server("own"), *others]
    return {"ServerName": "own", "DatabaseState": database, "Servers": listed}


SEEN = "2026-11-24T11:59:00"
MISSING = _values(_server("b", alive=False, seen=SEEN))
LOST = _values(_server("b"), database=ALONE)
LATE = _values(_server("b"), database="connected; standbys are late")
CASES = [
    ({}, []),
    (_values(database="") | {"Servers": []}, []),
    (_values(_server("b")), []),
    (MISSING, ["server is missing: b"]),
    (
        _values(_server("b", alive=False), _server("c\n", alive=False)),
        ["servers are missing: b, c\\n"],
    ),
    (LOST, [f"the database is {ALONE}"]),
    (_values(_server("b", alive=False), database=ALONE), [f"the database is {ALONE}"]),
    (LATE, ["standbys are late"]),
    (
        _values(_server("b", alive=False), database="connected; it is late"),
        ["server is missing: b", "it is late"],
    ),
]


@pytest.mark.parametrize(("values", "problems"), CASES)
def test_problems(values: dict[str, Any], problems: list[str]) -> None:
    """All is well, or each problem has a line; without the database none is called missing."""
    assert Sharing().changed(values).problems() == problems


def test_values_that_are_no_news_stay() -> None:
    """A signal has only what has changed."""
    sharing = Sharing().changed(MISSING).changed({"DatabaseState": ALONE})
    assert (sharing.name, len(sharing.servers), sharing.database) == ("own", 2, ALONE)


def test_a_signal_is_read() -> None:
    """The servers come without variants; what has another type than it should is skipped."""
    one = {name: Variant("s", name) for name in ("name", "version")}
    values = {"Servers": Variant("aa{sv}", [one]), "DatabaseState": Variant("u", 7)}
    body = [bus_names.SERVER1, values, []]
    event = read_signal("/", bus_names.PROPERTIES, "PropertiesChanged", "sa{sv}as", body)
    assert event == ServerChanged({"Servers": [{"name": "name", "version": "version"}]})
    assert Sharing().changed({"Servers": [{"alive": "yes", "seen": 7}]}).missing == []


def _shown(values: dict[str, Any]) -> list[str]:
    return list(servers.show(Sharing().changed(values), NOW, Medium()))


def test_the_table() -> None:
    """A line for each server, and its state by what this one can know."""
    heading, own, other, last = _shown(_values(_server("b", checks=False)))
    assert heading.split()[:2] == ["Server", "State"]
    assert own.split()[:4] == ["own", "this", "server", "yes"]
    assert other.split()[:6] == ["b", "alive", "no:", "no", "network", "link"]
    assert last == WELL
    assert "missing, last sign of life 1 min ago" in _shown(MISSING)[2]
    assert _shown(MISSING)[-1] == "server is missing: b"
    assert _shown(LOST)[2].split()[:2] == ["b", "unknown"]
    assert _shown({}) == ["the server shares its state with no other"]


def test_the_object() -> None:
    """The same as JSON; the state of others is null when it cannot be known."""
    whole = json.loads(servers.dump(Sharing().changed(MISSING)))
    assert whole["problems"] == ["server is missing: b"]
    assert whole["servers"][1] == {
        "name": "b", "alive": False, "checks": True, "started": "", "seen": SEEN, "version": "7",
    }  # fmt: skip
    lost = json.loads(servers.dump(Sharing().changed(LOST)))
    assert [one["alive"] for one in lost["servers"]] == [True, None]


def _record(kind: str, server: str, **values: Any) -> AuditRecord:  # noqa: ANN401 - as above
    texts = {"kind": kind, "server": server, "client": "alpha"} | values
    return read_record({name: Variant("s", text) for name, text in texts.items()})


def test_the_trail_names_the_server() -> None:
    """In words and as JSON; without one there are no words for it."""
    record = _record("disabled", "b", detail="administrator", by="root")
    assert log.describe(record) == "disabled: administrator, by root, on server b"
    assert log.as_object(record)["server"] == "b"
    assert log.describe(_record("approved", "", by="root")) == "approved, by root"


def test_why_names_the_servers() -> None:
    """The one that answered the last request, that disabled the client, that checks it."""
    values = {"Name": "alpha", "Enabled": True, "WatchedBy": "b", "LastCheckerStatus": 1}
    expires = {"Expires": (NOW + timedelta(hours=1)).isoformat(), "ApprovedByDefault": True}
    sent = _record("secret-sent", "c", last=NOW.isoformat(), address="::1")
    text = why(Client("/", values | expires), NOW, ours=True, records=[sent])
    assert "Its last check by server b failed" in text
    assert "at ::1, from server c: it got its secret." in text
    off = Client("/", values | {"Enabled": False, "DisabledReason": "administrator"})
    text = why(off, NOW, ours=True, records=[_record("disabled", "d")])
    assert "alpha was disabled on server d by an administrator." in text


def test_the_column_is_only_for_shared_states() -> None:
    """Tables and JSON of a server alone stay as they are."""
    alone, shared = (Client("/", {"Name": "a", "WatchedBy": name}) for name in ("", "b"))
    assert "WatchedBy" not in table.verbose([alone])
    assert "WatchedBy" not in table.dump([alone])
    assert table.verbose([alone, shared])[-1] == "WatchedBy"
    assert '"WatchedBy": "b"' in table.dump([shared])


def _line(watch: SignalWatch, values: dict[str, Any]) -> Line | None:
    return watch.as_line(ServerChanged(values))


def test_watch_tells_of_troubles_once() -> None:
    """Each new problem, and the end of all; nothing of a server without any."""
    watch = SignalWatch((), verbose=False)
    assert _line(watch, _values(_server("b"))) is None
    assert _line(watch, MISSING) == Line("server is missing: b", Grade.BAD)
    assert _line(watch, MISSING) is None
    assert _line(watch, LOST) == Line(f"the database is {ALONE}", Grade.BAD)
    assert _line(watch, _values(_server("b"))) == Line(WELL, Grade.WELL)
    _line(watch, MISSING)
    watch.as_line(ServerVanished())
    assert _line(watch, MISSING) == Line("server is missing: b", Grade.BAD)


def test_watch_tells_of_requests_at_other_servers() -> None:
    """Their records are told, since no signal does; the own server's have signals."""
    watch = SignalWatch((), verbose=False)
    watch.as_line(ServerChanged(_values(_server("b"))))
    sent = RecordAdded(_record("secret-sent", "b", address="::1"))
    text = "alpha: got its secret, at ::1, on server b"
    assert watch.as_line(sent) == Line(text, Grade.WELL)
    assert watch.as_line(RecordAdded(_record("secret-sent", "own"))) is None
    assert watch.as_line(RecordAdded(_record("secret-sent", ""))) is None
    told = watch.as_object(ServerChanged(MISSING), NOW)
    assert told is not None
    assert json.loads(told)["event"] == "server-changed"


def test_watch_tells_nothing_of_a_server_alone() -> None:
    """What programs read of a server that shares no state stays as it is."""
    watch = SignalWatch((), verbose=True)
    assert watch.as_object(ServerChanged({"DatabaseState": "", "Port": 7}), NOW) is None
    assert watch.as_object(ServerChanged(_values()), NOW) is not None


def _log(model: Model) -> list[tuple[str, Weight]]:
    return [(one.text, one.weight) for one in model.messages.after(0, verbose=False)]


def test_the_monitor_logs_troubles_and_acts_elsewhere() -> None:
    """Problems loudly, once; acts and requests at other servers with their names."""
    model = Model()
    for event in (
        signals.ServerAppeared(),
        ServerChanged(MISSING),
        ServerChanged(MISSING),
        ServerChanged(_values(_server("b"))),
        RecordAdded(_record("disabled", "b", detail="administrator", by="root")),
        RecordAdded(_record("rejected", "b", detail="Denied")),
        RecordAdded(_record("changed", "b", detail="timeout")),
        RecordAdded(_record("disabled", "own", detail="administrator", by="root")),
    ):
        model.apply(event, NOW)
    asked = "asked for its secret and did not get it on server b: it was denied"
    assert _log(model) == [
        ("server is missing: b", Weight.ALERT),
        (WELL, Weight.NORMAL),
        ("alpha: DISABLED by root on server b: administrator", Weight.ALERT),
        (f"alpha: {asked}", Weight.ALERT),
    ]
    model.apply(ServerChanged(LOST), NOW)
    assert model.sharing.problems() == [f"the database is {ALONE}"]
    model.apply(ServerVanished(), NOW)
    assert not model.sharing.problems()
