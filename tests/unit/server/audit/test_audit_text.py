# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of each kind of record."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mandos.server.audit.records import Kind, Record
from mandos.server.audit.text import describe_record

WHEN = datetime(2026, 11, 23, tzinfo=UTC)
KEY_ID = "ab" * 32
ALPHA = {"client": "alpha", "key_id": KEY_ID}
THERE = {"address": "[fe80::1]:4711", "interface": "eth0"}
ENABLE = "enable it with mandos-ctl --enable"
APPROVE = "let it through with mandos-ctl --approve"
UNCHECKED = "it gets nothing until a check succeeds; without one it will be disabled"

LINES = [
    (
        Kind.ENABLED, ALPHA | {"detail": "administrator", "by": "root"}, "INFO",
        "client alpha is enabled: administrator (by root)",
    ),
    (
        Kind.DISABLED, ALPHA | {"detail": "timeout"}, "WARNING",
        f"client alpha is disabled: timeout; {ENABLE} alpha when it is back",
    ),
    (
        Kind.DISABLED, {"client": "it's a", "detail": "timeout"}, "WARNING",
        f"client it's a is disabled: timeout; {ENABLE} 'it'\"'\"'s a' when it is back",
    ),
    (
        Kind.DISABLED, ALPHA | {"detail": "state lost"}, "WARNING",
        f"client alpha is disabled: state lost; {ENABLE} alpha if it is where it should be",
    ),
    (
        Kind.DISABLED, ALPHA | {"detail": "administrator", "by": "root"}, "WARNING",
        "client alpha is disabled: administrator (by root)",
    ),
    (
        Kind.OVERDUE, ALPHA | {"detail": "it waited"}, "WARNING",
        f"the time of client alpha is over, but it was not checked: it waited; {UNCHECKED}",
    ),
    (
        Kind.FORGIVEN, ALPHA | {"detail": "it answered"}, "INFO",
        "client alpha stays enabled though it was not checked in time: it answered",
    ),
    (
        Kind.SECRET_SENT, ALPHA | THERE, "INFO",
        "sent the secret of client alpha to [fe80::1]:4711 on eth0",
    ),
    (
        Kind.UNDELIVERED, ALPHA | THERE | {"detail": "connection reset"}, "WARNING",
        "the secret of client alpha did not reach [fe80::1]:4711 on eth0: connection reset",
    ),
    (
        Kind.REJECTED, ALPHA | {"address": "192.0.2.7:4711", "detail": "Disabled"}, "WARNING",
        "refused 192.0.2.7:4711: client alpha: disabled",
    ),
    (
        Kind.UNKNOWN_KEY, THERE | {"key_id": KEY_ID}, "WARNING",
        f"refused [fe80::1]:4711 on eth0: no client has the key ID {KEY_ID}",
    ),
    (
        Kind.CHECK_FAILED, ALPHA | {"detail": "exit status 1, without output"}, "INFO",
        "a check of client alpha failed: exit status 1, without output",
    ),
    (
        Kind.CHECK_FAILED, ALPHA | {"detail": "none has succeeded yet: exit status 1"}, "WARNING",
        "a check of client alpha failed: none has succeeded yet: exit status 1",
    ),
    (
        Kind.APPROVAL_NEEDED, ALPHA | THERE, "INFO",
        f"client alpha at [fe80::1]:4711 on eth0 waits for approval; {APPROVE} alpha",
    ),
    (
        Kind.APPROVAL_NEEDED, ALPHA | {"detail": "it says that it rehearses its boot"}, "INFO",
        f"client alpha waits for approval: it says that it rehearses its boot; {APPROVE} alpha",
    ),
    (Kind.APPROVED, ALPHA | {"by": "root"}, "INFO", "client alpha is approved (by root)"),
    (Kind.DENIED, ALPHA, "INFO", "client alpha is denied"),
    (
        Kind.CHANGED, ALPHA | {"detail": "timeout, interval", "by": "root"}, "INFO",
        "client alpha has new settings: timeout, interval (by root)",
    ),
    (Kind.ADDED, ALPHA, "INFO", "client alpha is new"),
    (
        Kind.REMOVED, ALPHA | {"detail": "configuration"}, "INFO",
        "client alpha is removed: configuration",
    ),
    (
        Kind.STATE_LOST, {"detail": "file is not a database"}, "ERROR",
        "the saved state is lost: file is not a database",
    ),
    (
        Kind.REHEARSED, ALPHA | THERE, "INFO",
        "sent the secret of client alpha to [fe80::1]:4711 on eth0 for a rehearsal of its boot",
    ),
    (
        Kind.STATUS_SENT, ALPHA | THERE, "INFO",
        "sent the status of client alpha to [fe80::1]:4711 on eth0",
    ),
    (Kind.STATE_LOST, ALPHA, "ERROR", "the saved state of client alpha is lost"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "parts", "level", "text"), LINES)
def test_line_of_a_record(kind: Kind, parts: dict[str, str], level: str, text: str) -> None:
    """What happened, to whom, why and by whom; what to do, as a command that can be pasted."""
    record = Record(kind=kind, at=WHEN, **parts)
    assert describe_record(record) == (logging.getLevelNamesMapping()[level], text)


@pytest.mark.parametrize("kind", Kind)
def test_line_of_another_server(kind: Kind) -> None:
    """Its name stands in the line once, before the remedy, and with the user if there is one."""
    record = Record(kind=kind, at=WHEN, client="alpha", address="::1", server="second")
    text = describe_record(record)[1]
    assert text.count(" (on server second)") == 1
    assert "on server second" not in text.partition(";")[2]
    with_user = describe_record(replace(record, by="root"))[1]
    assert with_user in {text, text.replace("(on server", "(by root on server")}


def test_every_kind_has_a_line() -> None:
    """None was forgotten."""
    assert {kind for kind, *_ in LINES} == set(Kind)
