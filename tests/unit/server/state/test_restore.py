# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""With what clients begin: the precedence of files and saved state, and what is done about loss."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mandos.client_settings import ClientSettings
from mandos.server.audit.records import Kind
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.life.saved import BACK, MEMORY, STILL_DISABLED, Saved
from mandos.server.state.database import SQLiteStore
from mandos.server.state.restore import restore
from mandos.server.state.store import Changes, Kept, State

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed")
ENABLED = Life(
    created=NOW - 9 * MINUTE, enabled=True, last_enabled=NOW - 9 * MINUTE,
    expires=NOW + 3 * MINUTE, last_checked_ok=NOW - 2 * MINUTE, last_checker_status=0,
)  # fmt: skip
DISABLED = replace(
    ENABLED, enabled=False, expires=None, disabled_at=NOW - MINUTE, disabled_why=Why.TIMEOUT
)


def _state(
    life: Life, in_force: ClientSettings = ALPHA, configured: ClientSettings = ALPHA
) -> State:
    return State({"alpha": Saved(in_force, configured, life)})


def test_unchanged_client_goes_on() -> None:
    """As if the server had never ended; nothing has to be written."""
    begin = restore([ALPHA], _state(ENABLED), NOW)
    assert begin.unsaved == begin.gone == set()
    assert begin.clients[0].life == ENABLED
    assert begin.records == []


def test_saved_value_wins_unless_the_file_has_changed() -> None:
    """Of two settings changed at run time, the one that the file changes too is the file's."""
    in_force = replace(ALPHA, host="run-time", timeout=10 * MINUTE)
    (client,), _records, *_rest = restore(
        [replace(ALPHA, host="file")], _state(ENABLED, in_force), NOW
    )
    assert client.settings == replace(ALPHA, host="file", timeout=10 * MINUTE)
    assert client.configured == replace(ALPHA, host="file")


def test_file_that_says_what_it_said_before_changes_nothing() -> None:
    """Even where something else is in force."""
    in_force = replace(ALPHA, host="run-time", secret=b"new")
    (client,), _records, *_rest = restore([ALPHA], _state(ENABLED, in_force), NOW)
    assert client.settings == in_force


def test_longer_timeout_in_the_file_moves_the_expiry() -> None:
    """By the difference, so that a client that would have expired is saved by it."""
    changed = replace(ALPHA, timeout=30 * MINUTE)
    life = replace(ENABLED, expires=NOW - MINUTE, last_checker_status=1)
    (client,), _records, *_rest = restore([changed], _state(life), NOW)
    assert client.life.expires == NOW + 24 * MINUTE


def test_new_client_begins_as_the_file_says() -> None:
    """It is recorded as new."""
    beta = ClientSettings(name="beta", key_id="cd" * 32, secret=b"x", enabled=False)
    clients, records, *_rest = restore([ALPHA, beta], State(), NOW)
    assert [client.life.enabled for client in clients] == [True, False]
    assert [(record.kind, record.client) for record in records] == [
        (Kind.ADDED, "alpha"), (Kind.ADDED, "beta"),
    ]  # fmt: skip


def _absent_since(life: Life, since: datetime) -> State:
    return State({"alpha": Saved(ALPHA, ALPHA, life, absent=since)})


def test_client_gone_from_the_file_is_remembered() -> None:
    """It is recorded once as removed, and kept with all that is known of it."""
    begin = restore([], _state(DISABLED), NOW)
    assert begin.clients == []
    assert [(record.kind, record.client) for record in begin.records] == [(Kind.REMOVED, "alpha")]
    assert begin.absent == {"alpha": Saved(ALPHA, ALPHA, DISABLED, absent=NOW)}
    assert (begin.unsaved, begin.gone) == ({"alpha"}, set())
    again = restore([], State(begin.absent), NOW + MINUTE)
    assert again.absent == begin.absent
    assert again.records == []
    assert again.unsaved == set()


def test_client_that_comes_back_is_as_it_was() -> None:
    """A disabled one is still disabled, for 30 days at least, and the log says so."""
    state = _absent_since(DISABLED, NOW - 30 * DAY)
    begin = restore([ALPHA], state, NOW)
    assert begin.clients[0].life == DISABLED
    told = [(record.kind, record.detail) for record in begin.records]
    assert told == [(Kind.ADDED, STILL_DISABLED)]
    assert begin.unsaved == {"alpha"}
    begin = restore([ALPHA], _absent_since(ENABLED, NOW - MINUTE), NOW)
    assert begin.clients[0].life.enabled
    assert [record.detail for record in begin.records] == [BACK]


def test_disabled_client_under_another_name_stays_disabled() -> None:
    """Whoever has its key is the same machine; the same name is not needed."""
    beta = replace(ALPHA, name="beta")
    (client,), records, *_rest = restore([beta], _state(DISABLED), NOW)
    assert not client.life.enabled
    assert "it has the key of alpha, which was disabled" in records[0].detail
    (client,), _records, *_rest = restore([beta], _state(ENABLED), NOW)
    assert client.life.enabled
    (client,), _records, *_rest = restore([replace(beta, key_id="cd" * 32)], _state(DISABLED), NOW)
    assert client.life.enabled


def test_name_that_became_too_long_loses_nothing(tmp_path: Path) -> None:
    """Its section is skipped; what an older server knew of it stays, and goes to a shorter name."""
    old = replace(ALPHA, name="a" * 200_000)
    with closing(SQLiteStore(tmp_path)) as store:
        lives, settings = {old.name: DISABLED}, {old.name: Kept(old, old)}
        store.write(Changes(lives=lives, settings=settings))
    with closing(SQLiteStore(tmp_path)) as store:
        state = store.load()
    assert state.saved[old.name].life == DISABLED
    assert state.disabled == {old.name}
    begin = restore([], state, NOW)
    assert begin.absent == {old.name: Saved(old, old, DISABLED, absent=NOW)}
    begin = restore([ALPHA], State(begin.absent), NOW)
    assert not begin.clients[0].life.enabled


def test_client_without_a_key_is_no_other_one() -> None:
    """Having no key ID is nothing that two clients have in common."""
    old = replace(ALPHA, key_id="", fingerprint="ab")
    new = replace(old, name="beta", fingerprint="cd")
    (client,), _records, *_rest = restore([new], _state(DISABLED, old, old), NOW)
    assert client.life.enabled


def test_client_is_forgotten_after_a_stated_time() -> None:
    """The state does not grow for ever."""
    begin = restore([], _absent_since(DISABLED, NOW - MEMORY - MINUTE), NOW)
    assert begin.absent == {}
    assert begin.gone == {"alpha"}
    assert MEMORY >= 30 * DAY


def test_name_that_only_the_list_has_is_remembered() -> None:
    """The database was lost while the client's section was missing, too."""
    state = State({}, {}, frozenset({"beta"}), "the database is damaged")
    assert restore([ALPHA], state, NOW).listed == {"beta"}


def test_list_of_disabled_clients_holds_for_absent_ones() -> None:
    """What the database could not be told is known when the client comes back."""
    state = State(_state(ENABLED).saved, {}, frozenset({"alpha"}))
    assert not restore([], state, NOW).absent["alpha"].life.enabled


def test_expired_while_the_server_was_down() -> None:
    """Disabled, with a record, when its last checker had failed."""
    life = replace(ENABLED, expires=NOW - MINUTE, last_checker_status=1)
    (client,), records, *_rest = restore([ALPHA], _state(life), NOW)
    assert not client.life.enabled
    assert [(record.kind, record.detail) for record in records] == [(Kind.DISABLED, Why.TIMEOUT)]


def test_overdue_after_a_restart_of_the_server_alone() -> None:
    """It is on record; after one of the machine the client has a whole timeout."""
    state = _state(replace(ENABLED, expires=NOW - MINUTE))
    (client,), records, *_rest = restore([ALPHA], state, NOW)
    assert client.overdue
    assert [(record.kind, record.detail) for record in records] == [
        (Kind.OVERDUE, "the server was not running")
    ]
    (client,), records, *_rest = restore([ALPHA], replace(state, rebooted=True), NOW)
    assert client.life.expires == NOW + 5 * MINUTE
    assert not client.overdue
    assert [(record.kind, record.detail) for record in records] == [
        (Kind.FORGIVEN, "the machine was started anew after the client's time was over")
    ]


def test_file_can_enable_and_disable() -> None:
    """Changing ``enabled`` in the file is an explicit act."""
    off = replace(ALPHA, enabled=False)
    (client,), records, *_rest = restore([off], _state(ENABLED), NOW)
    assert client.life.disabled_why is Why.CONFIGURATION
    assert [record.kind for record in records] == [Kind.DISABLED]
    (client,), records, *_rest = restore([ALPHA], _state(DISABLED, configured=off), NOW)
    assert client.life.expires == NOW + 5 * MINUTE
    assert client.life.disabled_why is None
    assert [record.kind for record in records] == [Kind.ENABLED]


def test_lost_state_with_the_list_of_disabled_clients() -> None:
    """Who is on it stays disabled, the others begin as the file says; the loss is recorded."""
    beta = replace(ALPHA, name="beta", key_id="cd" * 32)
    state = State({}, {}, frozenset({"alpha"}), "the database is damaged")
    (alpha, other), records, *_rest = restore([ALPHA, beta], state, NOW)
    assert (alpha.life.enabled, other.life.enabled) == (False, True)
    assert alpha.life.disabled_why is Why.STATE_LOST
    assert records[0].kind is Kind.STATE_LOST
    assert records[0].detail == "the database is damaged"


def test_lost_state_without_the_list() -> None:
    """Nobody knows who was disabled: everybody is, until a person has looked."""
    (client,), _records, *_rest = restore([ALPHA], State({}, {}, None, "gone"), NOW)
    assert not client.life.enabled
    assert client.life.disabled_why is Why.STATE_LOST


def test_list_wins_over_a_database_that_calls_the_client_enabled() -> None:
    """The last write was cut short: what was not acknowledged does not enable."""
    state = State(_state(ENABLED).saved, {}, frozenset({"alpha"}))
    (client,), records, *_rest = restore([ALPHA], state, NOW)
    assert not client.life.enabled
    assert [record.kind for record in records] == [Kind.DISABLED]


def test_added_client_needs_no_file() -> None:
    """It goes on as it was, until a file takes it over."""
    state = State({"alpha": Saved(ALPHA, ALPHA, ENABLED, added=True)})
    (client,), records, *_rest = restore([], state, NOW)
    assert client.added
    assert (client.life, records) == (ENABLED, [])
    (client,), _records, *_rest = restore([ALPHA], state, NOW)
    assert not client.added


def test_removed_client_comes_back_only_when_its_section_changes() -> None:
    """A restart must not undo what an administrator did; changing the file is an explicit act."""
    state = State({}, {"alpha": ALPHA}, frozenset({"alpha"}))
    assert restore([ALPHA], state, NOW) == ([], [], {"alpha": ALPHA}, set(), set(), {}, set())
    (client,), records, removed, *_rest = restore([replace(ALPHA, host="new")], state, NOW)
    assert client.life.enabled
    assert removed == {}
    assert [record.kind for record in records] == [Kind.ADDED]
    assert restore([], state, NOW) == ([], [], {}, set(), {"alpha"}, {}, set())


def test_removed_client_after_the_loss_of_the_state() -> None:
    """It is back, as the file has it, but gets nothing."""
    state = State({}, {}, frozenset({"alpha"}), "gone")
    (client,), _records, *_rest = restore([ALPHA], state, NOW)
    assert not client.life.enabled


@given(
    st.booleans(), st.booleans(), st.booleans(), st.integers(-2, 3), st.integers(-600, 600),
    st.sampled_from([frozenset(), frozenset({"alpha"}), None]), st.booleans(),
)  # fmt: skip
def test_no_restart_enables_a_disabled_client(  # noqa: PLR0917 - hypothesis gives them
    before: bool, after: bool, enabled: bool, status: int, left: int,  # noqa: FBT001
    witnesses: frozenset[str] | None, lost: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    """Unless the file's ``enabled`` was changed to yes, whatever else was or was not saved."""
    life = DISABLED
    if enabled:
        expires = NOW + timedelta(seconds=left)
        life = replace(ENABLED, expires=expires, last_checker_status=status)
    state = _state(life, configured=replace(ALPHA, enabled=before))
    state = replace(state, disabled=witnesses)
    if lost:
        state = State({}, {}, witnesses, "gone")
    (client,), _records, *_rest = restore([replace(ALPHA, enabled=after)], state, NOW)
    switched_on = after and not before and not lost
    if client.life.enabled and not switched_on:
        assert (lost and witnesses == frozenset()) or enabled
        assert not witnesses
    assert (client.life.expires is not None) == client.life.enabled
    assert client.life.expires is None or client.life.expires > NOW or client.overdue
