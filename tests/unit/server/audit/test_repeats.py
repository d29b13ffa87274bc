# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines about requests: the first of each kind at once, its repetitions once a minute."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from mandos.server.audit.records import ANSWERED, Kind, Record
from mandos.server.audit.repeats import LATE, SENT_ADDRESSES, UNKNOWN_KEYS, Repeats

START = datetime(2026, 11, 30, tzinfo=UTC)


def _record(kind: Kind, second: int = 0, **fields: str) -> Record:
    at = START + timedelta(seconds=second)
    return Record(kind=kind, at=at, interface="eth0", **{"address": "fe80::1", **fields})


def _unknown(number: int, address: str = "fe80::1") -> Record:
    return _record(Kind.UNKNOWN_KEY, number, key_id=f"{number:064x}", address=address)


def _texts(repeats: Repeats, *records: Record) -> list[str]:
    lines = [line for record in records for line in repeats.lines(record)]
    return [line.text for line in lines if line.level > logging.DEBUG]


def _sums(repeats: Repeats) -> list[str]:
    return [line.text for line in repeats.minute_over()]


def test_unknown_keys_are_named_a_hundred_times_a_minute() -> None:
    """The others are counted; the sum names the last of them, with its fields for the journal."""
    repeats = Repeats()
    logged = _texts(repeats, *map(_unknown, range(5000)), _unknown(5000, "fe80::2"))
    assert len(logged) == UNKNOWN_KEYS
    assert logged[0] == f"refused fe80::1 on eth0: no client has the key ID {0:064x}"
    (line,) = repeats.minute_over()
    assert line.text == (
        "refused 4901 more requests in a minute: no client has these keys; the last came from"
        f" fe80::2 on eth0 with the key ID {5000:064x}"
    )
    assert (line.level, line.record) == (logging.WARNING, _unknown(5000, "fe80::2"))
    assert _texts(repeats, _unknown(9)) == [
        f"refused fe80::1 on eth0: no client has the key ID {9:064x}"
    ]


def test_memory_is_bounded() -> None:
    """Ever new keys leave nothing but a number."""
    repeats = Repeats()
    for _minute in range(3):
        _texts(repeats, *map(_unknown, range(3000)))
        assert len(repeats._keys) == UNKNOWN_KEYS
        _sums(repeats)
    _sums(repeats)
    assert not repeats._keys


def test_key_that_goes_on_asking_has_one_line_a_minute() -> None:
    """As of a client that is missing from the files; it stays named."""
    repeats = Repeats()
    assert len(_texts(repeats, *[_unknown(7)] * 6)) == 1
    assert _sums(repeats)[0].startswith("refused 5 more requests in a minute")
    assert not _texts(repeats, _unknown(7))
    assert _sums(repeats)[0].startswith("refused 1 more request in a minute")
    assert not _sums(repeats)
    assert len(_texts(repeats, _unknown(7))) == 1


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        (Kind.REJECTED, "Disabled"), (Kind.APPROVAL_NEEDED, ""),
        (Kind.UNDELIVERED, "the connection broke"),
    ],
)  # fmt: skip
def test_requests_of_a_known_client_are_counted(kind: Kind, detail: str) -> None:
    """The sum has the last record's words and fields."""
    repeats = Repeats()
    asked = [_record(kind, number, client="alpha", detail=detail) for number in range(1000)]
    (first,) = _texts(repeats, *asked)
    (line,) = repeats.minute_over()
    assert line.text == f"{first} (999 more times since the last line about this)"
    assert line.record is asked[-1]
    assert _texts(repeats, *asked) == []
    assert len(_sums(repeats)) == 1
    assert _sums(repeats) == []
    assert not repeats._known


def test_repetitions_are_logged_for_debugging() -> None:
    """With the usual text."""
    repeats = Repeats()
    refused = _record(Kind.REJECTED, client="alpha", detail="Disabled")
    ((first,), (second,)) = repeats.lines(refused), repeats.lines(refused)
    assert (first.level, second.level) == (logging.WARNING, logging.DEBUG)
    assert first.text == second.text


def test_each_client_and_each_reason_is_seen_at_once() -> None:
    """A flood of one client hides no other, and no other reason."""
    repeats = Repeats()
    _texts(repeats, *[_record(Kind.REJECTED, client="alpha", detail="Disabled")] * 1000)
    _texts(repeats, *map(_unknown, range(1000)))
    for client, detail in (("alpha", "Denied"), ("beta", "Disabled")):
        assert _texts(repeats, _record(Kind.REJECTED, client=client, detail=detail)) == [
            f"refused fe80::1 on eth0: client {client}: {detail.lower()}"
        ]


def test_act_of_an_administrator_begins_anew() -> None:
    """First the sum of what went before; the next refusal is logged at once."""
    repeats = Repeats()
    refused = _record(Kind.REJECTED, client="alpha", detail="Disabled")
    _texts(repeats, refused, refused)
    sums, enabled = _texts(repeats, _record(Kind.ENABLED, client="alpha"))
    assert sums.endswith("disabled (1 more time since the last line about this)")
    assert enabled == "client alpha is enabled"
    assert len(_texts(repeats, refused)) == 1


def test_all_that_strangers_do_not_cause_is_logged() -> None:
    """However often: each change, each check that failed."""
    repeats = Repeats()
    others = [kind for kind in Kind if kind.value not in (
        "unknown-key", "rejected", "approval-needed", "undelivered", "secret-sent",
        "rehearsed", "status-sent")]  # fmt: skip
    for kind in others:
        assert len(_texts(repeats, *[_record(kind, client="alpha")] * 3)) == 3
    assert _sums(repeats) == []


#: The words of each kind of record about an answer: the answer, and its purpose.
WORDS = {
    Kind.SECRET_SENT: ("secret", ""),
    Kind.REHEARSED: ("secret", " for a rehearsal of its boot"),
    Kind.STATUS_SENT: ("status", ""),
}
of_each_kind = pytest.mark.parametrize("kind", WORDS)


def test_every_answer_is_tested() -> None:
    """A new kind needs its words above."""
    assert set(WORDS) == ANSWERED


def _words(kind: Kind, client: str = "alpha", address: str = "fe80::1") -> str:
    answer, purpose = WORDS[kind]
    return f"sent the {answer} of client {client} to {address} on eth0{purpose}"


@of_each_kind
def test_secrets_that_are_sent_begin_nothing_anew(kind: Kind) -> None:
    """Else the holder of a key had two lines for each pair of requests."""
    repeats = Repeats()
    asked = _record(Kind.APPROVAL_NEEDED, client="alpha")
    sent = _record(kind, client="alpha")
    assert len(_texts(repeats, *[asked, sent] * 10)) == 2
    assert len(_sums(repeats)) == 2


def _sent(
    number: int, client: str = "alpha", address: str = "fe80::1", kind: Kind = Kind.SECRET_SENT
) -> Record:
    return _record(kind, number, client=client, address=address)


@of_each_kind
def test_secrets_sent_are_counted_by_address(kind: Kind) -> None:
    """The holder of a live key has one line at once and one a minute; other clients their own."""
    repeats = Repeats()
    asked = [_sent(number, kind=kind) for number in range(1000)]
    assert _texts(repeats, *asked, _sent(0, "beta", kind=kind)) == [
        _words(kind, "alpha"), _words(kind, "beta"),
    ]  # fmt: skip
    (line,) = repeats.minute_over()
    assert line.text == f"{_words(kind)} (999 more times since the last line about this)"
    assert (line.level, line.record) == (logging.INFO, asked[-1])
    assert not _texts(repeats, _sent(1000, kind=kind))
    assert len(_sums(repeats)) == 1
    assert _sums(repeats) == []
    assert not repeats._sent
    assert len(_texts(repeats, _sent(1001, kind=kind))) == 1


@of_each_kind
def test_thief_has_a_line_beside_the_machine(kind: Kind) -> None:
    """The same request from another address within a minute is no repetition."""
    repeats = Repeats()
    asked = [_sent(number, address=f"fe80::{number}", kind=kind) for number in (1, 2, 2)]
    assert _texts(repeats, *asked) == [_words(kind, address=f"fe80::{number}") for number in (1, 2)]


def test_answers_of_one_kind_hide_no_others() -> None:
    """A rehearsal hides no boot: neither at the same address nor at other addresses."""
    for first, second in permutations(WORDS, 2):
        repeats = Repeats()
        _texts(repeats, *(_sent(n, address=f"fe80::{n:x}", kind=first) for n in range(100)))
        assert len(_texts(repeats, _sent(0, address="fe80::0", kind=second))) == 1
        assert len(_texts(repeats, _sent(0, address="fe80::99", kind=second))) == 1


@of_each_kind
def test_few_addresses_of_a_client_have_a_line(kind: Kind) -> None:
    """The others are counted, and get their chance in the next minute."""
    repeats = Repeats()
    asked = [_sent(number, address=f"fe80::{number:x}", kind=kind) for number in range(1000)]
    assert len(_texts(repeats, *asked)) == SENT_ADDRESSES
    assert len(repeats._sent["alpha", kind]._addresses) == SENT_ADDRESSES
    (text,) = _sums(repeats)
    purpose = ", for rehearsals of its boot" if kind is Kind.REHEARSED else ""
    assert text == (
        f"sent the {WORDS[kind][0]} of client alpha {1000 - SENT_ADDRESSES} more times in a minute,"
        f" to other addresses{purpose}; the last was fe80::3e7 on eth0"
    )
    assert not repeats._sent
    assert len(_texts(repeats, asked[-1])) == 1


@of_each_kind
def test_act_of_an_administrator_sums_up_the_secrets_sent(kind: Kind) -> None:
    """The next secret has a line again."""
    repeats = Repeats()
    _texts(repeats, _sent(0, kind=kind), _sent(1, kind=kind))
    sums, enabled = _texts(repeats, _record(Kind.ENABLED, client="alpha"))
    assert sums.endswith(f"on eth0{WORDS[kind][1]} (1 more time since the last line about this)")
    assert enabled == "client alpha is enabled"
    assert len(_texts(repeats, _sent(2, kind=kind))) == 1


@pytest.mark.parametrize(
    ("kind", "total"),
    [
        (
            Kind.OVERDUE,
            "the time of 4900 more clients is over without a check; no secret before one succeeds",
        ),
        (
            Kind.FORGIVEN,
            "4900 more clients found alive late: still enabled",
        ),
    ],
)
def test_late_checks_are_named_a_hundred_times_a_minute(kind: Kind, total: str) -> None:
    """A stranger who can stall the server cannot fill its log with thousands of clients."""
    repeats = Repeats()
    assert len(_texts(repeats, *(_record(kind, client=str(n)) for n in range(5000)))) == LATE[kind]
    assert _sums(repeats) == [total]
    assert _sums(repeats) == []
    assert len(_texts(repeats, _record(kind, client="alpha"))) == 1
    assert _sums(repeats) == []


def test_one_more_late_check_is_counted_in_the_singular() -> None:
    """As all sums are."""
    repeats = Repeats()
    late = [_record(Kind.OVERDUE, client=str(n)) for n in range(LATE[Kind.OVERDUE] + 1)]
    _texts(repeats, *late)
    assert _sums(repeats) == [
        "the time of 1 more client is over without a check; no secret before one succeeds"
    ]
