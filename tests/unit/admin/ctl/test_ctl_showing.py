# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mandos-ctl shows to people: what is wrong, why, what happens; the time is as given."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.admin import signals
from mandos.admin.client import AuditRecord, Client, NoSuchClientError
from mandos.admin.ctl import log, screen, table
from mandos.admin.ctl.columns import Cell, Medium, layout
from mandos.admin.ctl.explain import Grade, trouble, why
from mandos.admin.ctl.watch import Line, SignalWatch
from mandos.errors import MandosError
from mandos.openpgp.secret_check import warning_about
from mandos.server.audit.records import Kind
from mandos.server.life.events import Rejection

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PATH = "/clients/alpha"


def _date(**before: float) -> str:
    return (NOW - timedelta(**before)).replace(tzinfo=None).isoformat()


def _client(**values: object) -> Client:
    usual = {
        "Name": "alpha", "Host": "alpha.example.org", "Checker": "fping %(host)s", "Enabled": True,
        "Timeout": 300_000, "Interval": 120_000, "ApprovedByDefault": True, "ApprovalDelay": 0,
        "LastCheckerStatus": 0, "LastCheckedOK": _date(seconds=12), "Expires": _date(seconds=-288),
        "LastEnabled": _date(days=3), "LastApprovalRequest": "",
    }  # fmt: skip
    return Client(PATH, usual | values)


def _disabled(reason: str = "", **values: object) -> Client:
    when = _date(hours=2) if reason else ""
    return _client(Enabled=False, Expires="", DisabledReason=reason, DisabledAt=when, **values)


TROUBLES = [
    (_client(), Grade.WELL, ""),
    (_client(LastCheckerStatus=-2, LastCheckedOK=""), Grade.WELL, ""),
    (_disabled("timeout"), Grade.BAD, "disabled: timed out"),
    (_disabled("administrator"), Grade.BAD, "disabled: by an administrator"),
    (_disabled("something new"), Grade.BAD, "disabled: something new"),
    (_disabled(), Grade.BAD, "disabled"),
    (_disabled(LastEnabled=""), Grade.BAD, "disabled from the beginning"),
    (_client(ApprovalPending=True), Grade.ASKS,
     "waits for approval: mandos-ctl --approve alpha"),
    (_client(LastCheckerStatus=1), Grade.DOUBTFUL, "last check failed with exit status 1"),
    (_client(LastCheckerStatus=-1), Grade.DOUBTFUL, "last check was killed by a signal"),
    (_client(Expires=_date(seconds=1)), Grade.DOUBTFUL, "its time is over; it waits for a check"),
    (_client(Timeout=120_000), Grade.DOUBTFUL, "its timeout is not longer than its interval"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "grade", "text"), TROUBLES, ids=[t[2] for t in TROUBLES])
def test_what_is_wrong(client: Client, grade: Grade, text: str) -> None:
    """The table names the worst thing about a client."""
    assert trouble(client, NOW) == (grade, text)


REASONS = [
    (_client(), True, ("Yes: alpha gets its secret as soon as it asks. It was last found alive "
     "12 s ago, and is disabled in 4 min 48 s (2026-11-24 12:04:48) unless it is found alive "
     "before.")),
    (_client(LastCheckerStatus=-2, LastCheckedOK="", Expires=""), True, ("Yes: alpha gets its "
     "secret as soon as it asks. It has not been found alive yet. No check of it has ended yet.")),
    (_client(LastCheckerStatus=2), True, ("Its last check failed with exit status 2: see whether "
     "alpha.example.org is up, and whether its checker works (fping %(host)s).")),
    (_client(Timeout=60_000), True, ("Its timeout (1 min) is not longer than its checks' interval "
     "(2 min): it will be disabled although it is alive.")),
    (_client(Expires=_date(seconds=1)), True, "it is disabled unless a check succeeds."),
    (_client(ApprovedByDefault=False), True, "No: alpha is denied by default, and has no approval"),
    (_client(ApprovedByDefault=False), False, "Yes: alpha gets its secret as soon as it asks."),
    (_client(ApprovalDelay=30_000), True, ("Yes, unless it is denied: alpha waits 30 s for "
     "approval, and then gets its secret.")),
    (_client(ApprovalDelay=30_000, ApprovedByDefault=False), True, ("Only if it is approved: "
     "alpha waits 30 s for that, and then gets nothing.")),
    (_client(ApprovalPending=True, LastApprovalRequest=_date(seconds=5)), True, ("Not yet: alpha "
     "waits for approval (it asked 5 s ago). Let it through with: mandos-ctl --approve alpha. "
     "Without a word from you it gets its secret in the end.")),
    (_disabled("timeout"), True, ("No: alpha was disabled 2 h ago (2026-11-24 10:00:00) since it "
     "did not show in time that it was alive. It was last found alive 12 s ago (2026-11-24 "
     "11:59:48). If it was not stolen, enable it: mandos-ctl --enable alpha.")),
    (_disabled("administrator"), True, ("No: alpha was disabled 2 h ago (2026-11-24 10:00:00) "
     "by an administrator.")),
    (_disabled("state lost", LastCheckedOK=""), True, ("It was never found alive. If it is "
     "where it should be, enable it: mandos-ctl --enable alpha.")),
    (_disabled(), False, ("No: alpha is disabled. It was last found alive 12 s ago (2026-11-24 "
     "11:59:48). The server does not report why or when; its log may. If it may have its secret, "
     "enable it: mandos-ctl --enable alpha.")),
    (_disabled(LastEnabled=""), True, ("No: alpha is disabled. It was never enabled: its "
     "section in clients.conf may say enabled = no. If it may have its secret, enable it:")),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates are shown where the reader is: here in Greenwich."""
    import time  # noqa: PLC0415

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(("client", "is_ours", "text"), REASONS, ids=[r[2][:40] for r in REASONS])
def test_why(client: Client, is_ours: bool, text: str) -> None:  # noqa: FBT001
    """--why says whether, if not why not, since when, and what to do."""
    assert text in why(client, NOW, ours=is_ours)


def test_why_knows_the_last_request() -> None:
    """The newest record of a request ends the paragraph."""
    record = AuditRecord(
        number=9, kind="rejected", client="alpha", address="2001:db8::1", detail="Disabled",
        last=NOW - timedelta(minutes=1),
    )  # fmt: skip
    records = [replace(record, kind="changed"), record, replace(record, kind="secret-sent")]
    assert why(_client(), NOW, ours=True, records=records).endswith(
        " It last asked for its secret 1 min ago (2026-11-24 11:59:00)"
        " at 2001:db8::1: it was refused: disabled."
    )


@pytest.mark.parametrize(
    ("sent", "rehearsed", "text"),
    [
        (
            "2026-11-22T12:00:00",
            "2026-11-24T11:00:00",
            (
                "It last booted with its secret 2 days ago (2026-11-22 12:00:00)."
                " It last rehearsed a boot 1 h ago (2026-11-24 11:00:00)."
            ),
        ),
        (
            "",
            "",
            (
                "No boot with its secret is on record."
                " It has rehearsed no boot: mandos-check on the client does."
            ),
        ),
    ],
)
def test_why_knows_the_last_boot(sent: str, rehearsed: str, text: str) -> None:
    """From our server; the original's does not know it, and nothing is said."""
    client = _client(LastSecretSent=sent, LastRehearsed=rehearsed)
    assert why(client, NOW, ours=True).endswith(text)
    assert "boot" not in why(_client(), NOW, ours=False)


VALUES = st.one_of(st.text(), st.booleans(), st.integers(-3, 2**64 - 1))


@given(
    st.dictionaries(st.sampled_from(sorted(_client().values)), VALUES)
    .filter(lambda values: all(_fits(name, value) for name, value in values.items()))
)  # fmt: skip
def test_anything_can_be_shown(values: dict[str, Any]) -> None:
    """Whatever the server says, there are words for it, and no control characters in them."""
    client = _client(**values)
    lines = [
        why(client, NOW, ours=True),
        *screen.summary([client], NOW, Medium(columns=40)),
        *screen.details([client], NOW, Medium(columns=40)),
    ]
    assert all(line.isprintable() for line in lines)
    assert json.loads(table.dump([client]))


def _fits(name: str, value: object) -> bool:
    """Whether the value has the type that ``read_values`` lets through."""
    kinds: dict[str, type] = {"Enabled": bool, "ApprovedByDefault": bool}
    kinds |= dict.fromkeys(("Timeout", "Interval", "ApprovalDelay", "LastCheckerStatus"), int)
    kind = kinds.get(name, str)
    wanted = type(value) is kind and (kind is not int or name == "LastCheckerStatus" or value >= 0)  # type: ignore[operator]
    return wanted and (name != "LastCheckerStatus" or -2 <= value < 2**15)  # type: ignore[operator]


def test_columns() -> None:
    """Columns are as wide as they must be; the last is folded; no line ends with blanks."""
    rows = [[Cell("a"), Cell("one two three four five six")], [Cell("long"), Cell("")]]
    assert list(layout(rows, Medium(columns=29))) == [
        "a     one two three four five",
        "      six",
        "long",
    ]
    assert list(layout(rows, Medium())) == ["a     one two three four five six", "long"]


LONG = "x" * 200_000


BOOTED = {"LastSecretSent": _date(days=3), "LastRehearsed": _date(minutes=4)}


def test_wide_terminal_shows_boots() -> None:
    """The last boot and the last rehearsal, where the server reports them."""
    clients = [_client(**BOOTED), _client(LastSecretSent="", LastRehearsed=""), _client()]
    first, booted, never, silent, _count = screen.summary(clients, NOW, Medium(120))
    begin, end = first.index("Last boot"), first.index("What is wrong")
    assert re.split("  +", first[begin:]) == ["Last boot", "Last rehearsal", "What is wrong"]
    assert re.split("  +", booted[begin:]) == ["3 days ago", "4 min ago"]
    assert never[begin:end].split() == ["never", "never"]
    assert silent[begin:end].strip() == ""
    for narrow in (
        next(screen.summary(clients, NOW, Medium(119))),
        next(screen.summary(clients[2:], NOW, Medium(120))),
    ):
        assert "Last boot" not in narrow


def test_scripts_get_boots_last() -> None:
    """In the verbose table and the JSON, if the server reports them; never in the short table."""
    clients = [_client(), _client(**BOOTED)]
    assert table.verbose(clients) == (*table.REFERENCE, "LastSecretSent", "LastRehearsed")
    heading, _silent, booted = table.table(clients, table.verbose(clients)).splitlines()
    assert heading.split("Last Secret Sent")[1].split() == ["Last", "Rehearsed"]
    assert booted.split()[-2:] == [BOOTED["LastSecretSent"], BOOTED["LastRehearsed"]]
    shown = list(json.loads(table.dump([clients[1]]))["alpha"].items())
    assert shown[-2:] == list(BOOTED.items())
    assert table.verbose(clients[:1]) == table.REFERENCE
    assert "Secret" not in table.table(clients, table.SHORT)


def test_long_name_leaves_room_for_the_others() -> None:
    """As an old server may have one: on a terminal it is cut, and no line is endless."""
    clients = [_client(), _client(Name=LONG, ApprovalPending=True)]
    first, alpha, other, _count = screen.summary(clients, NOW, Medium(80))
    assert first.index("Enabled") == alpha.index("yes") == 42
    assert other.startswith("x" * 37 + "...  yes")
    assert max(len(line) for line in (first, alpha, other)) <= 150
    wide = list(screen.summary([_client(Name="x" * 60)], NOW, Medium(160)))
    assert wide[1].startswith("x" * 60 + "  yes")
    details = list(screen.details(clients, NOW, Medium(80)))
    assert max(len(line) for line in details) <= 255
    assert len(why(clients[1], NOW, ours=True)) < 2000
    record = AuditRecord(number=1, kind="enabled", client=LONG)
    assert all(len(line) < 100 for line in log.show([record], Medium(80)))
    assert all(len(line) < 400 for line in log.show([record], Medium()))
    watch = SignalWatch([], verbose=True)
    watch.as_line(signals.Listed((replace(clients[1], path="/clients/x"),)))
    line = watch.as_line(signals.NeedApproval("/clients/x", 1000, default=True))
    assert line is not None
    assert len(line.text) < 1000


def test_scripts_get_a_long_name_whole() -> None:
    """It fills no other line of the table with blanks."""
    lines = table.table([_client(), _client(Name=LONG)], table.SHORT).splitlines()
    assert [len(line) < 1100 for line in lines] == [True, True, False]
    assert lines[2].startswith(LONG + " Yes")


def test_clock_times() -> None:
    """Durations for scripts are as the reference writes them."""
    times = {0: "00:00:00", 1999: "00:00:01", 3_605_000: "01:00:05", 31_449_600_000: "364T00:00:00"}
    assert {number: table.clock(number) for number in times} == times


def test_table_of_nothing() -> None:
    """Without clients there is the heading, where the reference has a traceback."""
    assert table.table([], table.SHORT) == "Name Enabled Timeout Last Successful Check\n"
    assert table.dump([]) == "{}"


def test_json_is_what_the_library_makes() -> None:
    """The fast way to write JSON and the standard library's agree."""
    clients = [_client(Name='a"\u20ac\n'), _client(Name="b", Timeout=2**64 - 1)]
    assert table.dump(clients) == json.dumps(
        {
            client.name: {
                name: client.values[name]
                for name in table.verbose(clients)
                if name in client.values
            }
            for client in clients
        },
        indent=4,
    )


SECRETS = [
    (b"", "it is empty"),
    (b"hello\n", "base64"),
    (b"hQIMA8+/=\n", "base64"),
    (b"hello, world", "not an OpenPGP message"),
    (b"\x99\x01\x01x", "cut off"),
    (b"\xcb\x01b", "it has a packet 11"),
    (b"-----BEGIN PGP MESSAGE-----\n\n", ""),
    (b"\xd2\x01\x01", ""),
    (b"\x84\x02\x03\x00\xd2\x01\x01", ""),
    (b"\xc9\x01\x01", "no integrity protection"),
    (b"\xd4\x03\x01\x0d\x02", "not AES-OCB (version 1, cipher 13, mode 2)"),
    (b"\xd4\x01\x01", "not AES-OCB"),
    (b"\xd4\x03\x01\x09\x02", ""),
    (b"\xd2\xff\0\0\x0f\xfa" + bytes(4090), ""),
    (b"\xd2\xff\0\0\x0f\xfb" + bytes(4091), "of more than 2048 bytes is of no use"),
]


@pytest.mark.parametrize(("secret", "doubt"), SECRETS, ids=repr)
def test_doubtful_secrets(secret: bytes, doubt: str) -> None:
    """What cannot be a sealed password is recognized by its packets; nothing is opened."""
    found = warning_about(secret)
    assert doubt in found
    assert bool(doubt) == bool(found)


RECORD = AuditRecord(number=1, kind="disabled", client="alpha", detail="timeout", by="root",
                     first=NOW - timedelta(hours=1), last=NOW)  # fmt: skip


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (RECORD, "disabled: timeout, by root"),
        (AuditRecord(number=1, kind="unknown-key", key_id="AB", address="::1", interface="lo"),
         "refused: no client has this key (key ID AB), at ::1 on lo"),
        (replace(RECORD, kind="rejected", detail="Denied", times=3),
         "refused: denied, by root, 3 times since 2026-11-24 11:00:00"),
        (AuditRecord(number=1, kind="rehearsed", address="::1"),
         "got its secret for a rehearsal of its boot, at ::1"),
        (AuditRecord(number=1, kind="approval-needed", detail="it says that it rehearses its boot"),
         "waits for approval: it says that it rehearses its boot"),
        (AuditRecord(number=1, kind="status-sent", address="::1"), "asked for its status, at ::1"),
        (replace(RECORD, kind="from the\nfuture"), "from the\\nfuture: timeout, by root"),
    ],
)  # fmt: skip
def test_records(record: AuditRecord, text: str) -> None:
    """A record is described in words, those of kinds that are not known as well."""
    assert log.describe(record) == text


def test_trouble_page_quotes_the_log() -> None:
    """The table for a waiting machine has the words that mandos-ctl --log shows."""
    page = (ROOT / "docs" / "trouble.md").read_text(encoding="utf-8")
    section = page.partition("| the log has |")[2].partition("\n## ")[0]
    quoted = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    records = [AuditRecord(number=1, kind=kind.value) for kind in Kind]
    records += [replace(records[0], kind="rejected", detail=reason.value) for reason in Rejection]
    shown = [log.describe(record).partition(" (key ID")[0] for record in records]
    assert any("rehearsal" in text for text in quoted)
    assert [text for text in quoted if text not in shown] == []


def same(text: str) -> tuple[str, str]:
    """What is told alike with and without --verbose."""
    return text, text


LISTED = signals.Listed((_client(), Client("/clients/b_c", {"Name": "b.c"})))
EVENTS: list[tuple[signals.Event, str | None, str | None]] = [
    (signals.GotSecret(PATH), "alpha: got its secret", "alpha: got its secret"),
    (signals.Rejected("/clients/b_c", "Denied"), "b.c: refused: denied", "b.c: refused: denied"),
    (signals.Rejected("/clients/new\n", "x"), "new\\n: refused: x", "new\\n: refused: x"),
    (signals.CheckerStarted(PATH, "true"), None, "alpha: check begins: true"),
    (signals.CheckerCompleted(PATH, 0, 0, "true"), None, "alpha: check succeeded"),
    (signals.CheckerCompleted(PATH, 1, 256, "x"), *same("alpha: check failed (exit status 1): x")),
    (
        signals.CheckerCompleted(PATH, -1, 9, "x"),
        *same("alpha: check failed (killed by a signal): x"),
    ),
    (signals.Changed(PATH, {"Timeout": 300_000}), None, None),
    (signals.Changed(PATH, {"Timeout": 600_000, "Host": ""}),
     *same("alpha: Timeout is now 10 min, Host is now empty")),
    (signals.Changed(PATH, {"LastSecretSent": "", "LastRehearsed": ""}), None,
     "alpha: LastSecretSent is now empty, LastRehearsed is now empty"),
    (signals.Changed(PATH, {"CheckerRunning": True}), None, "alpha: CheckerRunning is now yes"),
    (signals.Changed(PATH, {"Enabled": False, "Expires": ""}), "alpha: disabled",
     "alpha: Enabled is now no, Expires is now empty"),
    (signals.NeedApproval(PATH, 30_000, default=False),
     *same("alpha: waits for approval, 30 s, and then gets nothing: mandos-ctl --approve alpha")),
    (signals.ClientNotFound("AB", "::1"), *same("refused ::1: no client has the key ID AB")),
    (signals.ClientAdded(_client()), None, None),
    (signals.ClientAdded(Client("/clients/c", {"Name": "c"})), "c: added", "c: added"),
    (signals.ClientRemoved(PATH), "alpha: removed", "alpha: removed"),
    (signals.ClientRemoved("/clients/c"), None, None),
    (signals.RecordAdded(RECORD), *same("alpha: disabled: timeout, by root")),
    (signals.RecordAdded(replace(RECORD, kind="changed")), None, None),
    (
        signals.RecordAdded(AuditRecord(number=1, kind="rehearsed", client="alpha", address="::1")),
        *same("alpha: got its secret for a rehearsal of its boot, at ::1"),
    ),
    (signals.ListingFailed(MandosError("bad")), *same("the server does not list its clients: bad")),
    (signals.ServerVanished(), *same("the server is gone; waiting for it")),
    (signals.ServerAppeared(), *same("the server is back")),
]  # fmt: skip


@pytest.mark.parametrize(("event", "short", "long"), EVENTS, ids=[repr(e[0])[:50] for e in EVENTS])
def test_watch_lines(event: signals.Event, short: str | None, long: str | None) -> None:
    """What a person is told of each event, without and with --verbose."""
    for verbose, text in ((False, short), (True, long)):
        watch = SignalWatch((), verbose=verbose)
        watch.as_line(LISTED)
        line = watch.as_line(event)
        assert (line and line.text) == text


@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS], ids=lambda e: repr(e)[:50])
def test_watch_objects(event: signals.Event) -> None:
    """Programs are told everything, as one JSON object in a line."""
    watch = SignalWatch((), verbose=False)
    watch.as_object(LISTED, NOW)
    text = watch.as_object(event, NOW)
    assert text is not None
    assert "\n" not in text
    told = json.loads(text)
    assert told["time"] == "2026-11-24T12:00:00"
    assert told["event"].replace("-", "") == type(event).__name__.lower()


def test_watch_forgets_a_server_that_is_gone() -> None:
    """A server that comes back is known by its new list alone."""
    watch = SignalWatch((), verbose=False)
    for event in (LISTED, signals.ServerVanished(), signals.ServerAppeared()):
        watch.as_line(event)
    added = signals.ClientAdded(_client())
    assert watch.as_line(added) is None  # it is part of the list
    assert watch.as_line(signals.Listed((_client(),))) == Line("watching 1 client")


def test_watch_of_named_clients() -> None:
    """Only what concerns them is told."""
    watch = SignalWatch(("b.c",), verbose=True)
    told = [watch.as_line(event) for event in (LISTED, *(event for event, _, _ in EVENTS))]
    texts = [line.text for line in told if line is not None]
    assert texts == [
        "watching 1 client",
        "b.c: refused: denied",
        "the server does not list its clients: bad",
        "the server is gone; waiting for it",
        "the server is back",
    ]


def test_watch_of_unknown_clients() -> None:
    """A name that the server does not have at first is a mistake; later it may come and go."""
    with pytest.raises(NoSuchClientError):
        SignalWatch(("x",), verbose=False).as_line(LISTED)
    watch = SignalWatch(("alpha",), verbose=False)
    watch.as_line(LISTED)
    assert watch.as_line(signals.Listed(())) == Line("watching 1 client")


def test_watch_does_not_say_twice_what_a_record_says() -> None:
    """Where the server tells of records, these tell why a client is disabled."""
    watch = SignalWatch((), verbose=False)
    watch.records = True
    watch.as_line(LISTED)
    assert watch.as_line(signals.Changed(PATH, {"Enabled": False})) is None


def test_why_has_the_words_of_a_failing_checker() -> None:
    """Also after the client was disabled; not once a check has succeeded."""
    words = "none has succeeded yet: exit status 1, saying: no such host"
    records = [AuditRecord(number=9, kind="check-failed", client="alpha", detail=words)]
    for client in (_client(LastCheckerStatus=1), _disabled("timeout", LastCheckerStatus=1)):
        text = why(client, NOW, ours=True, records=records)
        assert f"Its checker ended with: {words}." in text
    assert words not in why(_client(), NOW, ours=True, records=records)
