# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers' stores on one real database: acts at the same time, wishes, files that differ."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from harness.postgresql import wait
from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError, MachineError
from mandos.server.audit.records import Kind, Record
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state.store import Changes, Kept, Known, Verdict, Wish

psycopg = pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql import schema, statements  # noqa: E402 - optional
from mandos.server.state.postgresql.pulse import Identity, Pulse  # noqa: E402 - optional
from mandos.server.state.postgresql.store import PostgreSQLStore  # noqa: E402 - optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.postgresql import Cluster, Database

MINUTE = timedelta(minutes=1)
TIMEOUT = 5 * MINUTE
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed", host="a", timeout=TIMEOUT)
BETA = ClientSettings(name="beta", key_id="cd" * 32, secret=b"other", timeout=TIMEOUT)


@dataclass
class Server:
    """A store, with the clients as its server knows them in common with the others."""

    store: PostgreSQLStore
    known: dict[str, Known] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The time of the lives."""
        return self.store.now()

    def hear(self, *names: str) -> None:
        """Take over what the database has."""
        for name, one in self.store.changed(names).items():
            self._take(name, one)

    def _take(self, name: str, one: Known | None) -> None:
        if one is None:
            self.known.pop(name, None)
        else:
            self.known[name] = one

    def write(self, **changes: Any) -> set[int]:  # noqa: ANN401 - those of ``Changes``
        """Write changes as the keeper does; returns the places of refused wishes."""
        asked = Changes(**changes)
        for name in asked.settings.keys() & self.known.keys() - asked.lives.keys():
            asked.lives[name] = self.known[name].life
        asked.bases = dict(self.known)
        outcome = self.store.write(asked)
        for name, one in outcome.clients.items():
            self._take(name, one)
        for name in asked.removed - asked.settings.keys():
            self.known.pop(name, None)
        return set(outcome.refused)

    def add(self, *clients: ClientSettings, added: bool = False) -> None:
        """Write new clients as one that its files have, or that an administrator added."""
        now = self.now
        lives = {
            it.name: Life(created=now, enabled=False).turned_on(now, TIMEOUT) for it in clients
        }
        self.write(lives=lives, settings={it.name: Kept(it, it, added) for it in clients})

    def live(self, name: str, change: Callable[[Life], Life]) -> None:
        """Change a client's life."""
        self.write(lives={name: change(self.known[name].life)})

    def disable(self, name: str = "alpha") -> None:
        """Disable a client by an administrator's order."""
        self.live(name, lambda life: life.turned_off(self.now, Why.ADMINISTRATOR))

    def enable(self, name: str = "alpha") -> None:
        """Enable a client."""
        self.live(name, lambda life: life.turned_on(self.now, TIMEOUT))

    def asks(self, settings: ClientSettings = ALPHA) -> bool:
        """Whether a client that asks with this secret gets it."""
        wish = Wish(record(Kind.SECRET_SENT, settings.name, self.now), settings)
        return not self.write(wishes=[wish])


def record(kind: Kind, client: str, at: datetime, **more: str) -> Record:
    """A record about a client."""
    return Record(kind=kind, at=at, client=client, **more)


@pytest.fixture
def opened(postgresql_database: Database) -> Iterator[Callable[[str], Server]]:
    """A function: a store of the server with this name."""
    stores: list[PostgreSQLStore] = []

    def store(name: str) -> Server:
        stores.append(PostgreSQLStore(postgresql_database.uri(), name))
        stores[-1].open()
        return Server(stores[-1])

    yield store
    for one in stores:
        one.close()


@pytest.fixture
def a(opened: Callable[[str], Server]) -> Server:
    """The server a, whose files have alpha."""
    server = opened("a")
    server.add(ALPHA)
    return server


@pytest.fixture
def b(a: Server, opened: Callable[[str], Server]) -> Server:
    """Another server, which knows alpha and has no files."""
    server = opened("b")
    server.hear("alpha")
    assert server.known == a.known
    return server


def is_present(server: Server) -> bool:
    """Whether alpha is to be served, as its server knows."""
    return server.known["alpha"].present


def is_enabled(server: Server, name: str = "alpha") -> bool:
    """Whether a client is enabled in the database."""
    one = server.store.changed([name])[name]
    assert one is not None
    return one.life.enabled


# Acts at the same time


def test_a_disabling_wins_over_a_check_that_another_server_made_meanwhile(
    a: Server, b: Server
) -> None:
    """Neither order enables the client, and the check's date is kept."""
    checked = b.now
    a.disable()
    b.live("alpha", lambda life: life.found_alive(checked, TIMEOUT))
    assert not is_enabled(a)
    assert not b.known["alpha"].life.enabled
    assert b.known["alpha"].life.last_checked_ok == checked
    assert not b.asks()


def test_a_server_that_was_paused_expires_no_client_that_is_alive(a: Server, b: Server) -> None:
    """Its expiry comes after the other one's check, and is neither written nor recorded."""
    a.live("alpha", lambda life: life.found_alive(a.now, TIMEOUT))
    late = b.known["alpha"].life.turned_off(b.now, Why.TIMEOUT)
    told = record(Kind.DISABLED, "alpha", b.now, detail=Why.TIMEOUT)
    b.write(lives={"alpha": late}, records=[told])
    assert is_enabled(a)
    assert b.known["alpha"].life.enabled
    assert [it.record.kind for it in a.store.records("alpha")] == []


def test_an_expiry_that_was_undone_before_it_was_written_is_not_recorded(
    a: Server, b: Server
) -> None:
    """The server had the client expire without the database, and then heard that it is alive."""
    a.live("alpha", lambda life: life.found_alive(a.now, TIMEOUT))
    b.hear("alpha")
    told = record(Kind.DISABLED, "alpha", b.now, detail=Why.TIMEOUT)
    b.write(lives={"alpha": b.known["alpha"].life}, records=[told])
    assert is_enabled(a)
    assert [it.record.kind for it in a.store.records("alpha")] == []


def test_an_expiry_that_an_administrator_undid_is_recorded(a: Server, b: Server) -> None:
    """Both have waited for the database."""
    b.hear("alpha")
    told = [
        record(Kind.DISABLED, "alpha", b.now, detail=Why.TIMEOUT),
        record(Kind.ENABLED, "alpha", b.now, detail=Why.ADMINISTRATOR),
    ]
    b.write(lives={"alpha": b.known["alpha"].life.turned_on(b.now, TIMEOUT)}, records=told)
    kinds = {it.record.kind for it in a.store.records("alpha")}
    assert kinds == {Kind.DISABLED, Kind.ENABLED}


def test_a_client_whose_time_is_over_expires(a: Server, b: Server) -> None:
    """The database's time decides."""
    over = a.now - MINUTE
    a.live("alpha", lambda life: life.until(over))
    b.hear("alpha")
    b.live("alpha", lambda life: life.turned_off(b.now, Why.TIMEOUT))
    assert not is_enabled(a)


def test_both_change_other_settings(a: Server, b: Server) -> None:
    """Each change stays, although neither knew of the other."""
    ours = replace(ALPHA, host="new")
    theirs = replace(ALPHA, approved_by_default=False)
    a.write(settings={"alpha": Kept(ours, ALPHA)})
    b.write(settings={"alpha": Kept(theirs, ALPHA, added=True)})
    a.hear("alpha")
    assert a.known["alpha"].settings == replace(ALPHA, host="new", approved_by_default=False)
    assert a.known == b.known | a.known


def test_two_servers_that_begin_together_agree(opened: Callable[[str], Server]) -> None:
    """The first one's settings are in force, its life too, and an administrator's act stays."""
    one, other = opened("one"), opened("other")
    one.add(ALPHA, BETA)
    one.disable("beta")
    other.add(replace(ALPHA, host="b"), BETA)
    assert other.known["alpha"].settings.host == "a"
    assert not other.known["beta"].life.enabled
    assert not is_enabled(one, "beta")


def test_a_client_is_added_by_one_server_at_a_time(
    opened: Callable[[str], Server], postgresql_database: Database
) -> None:
    """A slow start of one server cannot enable a client that another disables meanwhile."""
    one, other = opened("one"), opened("other")
    with postgresql_database.connect() as slow, slow.transaction():
        slow.execute(statements.LOCK_ADDING)
        adding = Thread(target=other.add, args=(ALPHA,))
        adding.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait(lambda: postgresql_database.sql(waiting) == [(1,)], lambda: "nothing waits")
        slow.execute(
            "INSERT INTO mandos.client (name, settings, secret, origin, key_id)"
            " VALUES ('alpha', '{}', 'x', 'added', '')"
        )
        slow.execute(
            "INSERT INTO mandos.life (name, created, enabled, last_checker_status)"
            " VALUES ('alpha', now(), false, -2)"
        )
    adding.join()
    assert not is_enabled(one)


def test_a_deadlock_is_tried_again(
    b: Server, postgresql: Cluster, postgresql_database: Database
) -> None:
    """The database ends one of two transactions that wait for each other; nothing is lost."""
    b.add(BETA)
    name = postgresql_database.name
    postgresql.sql(f"ALTER DATABASE {name} SET deadlock_timeout = '2s'")
    b.store.close()
    b.store.trouble = MachineError("closed")
    assert not b.store.reopen()
    off = {it: b.known[it].life.turned_off(b.now, Why.ADMINISTRATOR) for it in ("alpha", "beta")}
    lock = "SELECT FROM mandos.life WHERE name = %s FOR UPDATE"
    waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
    ended = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    with postgresql.connect(database=name) as other, other.transaction():
        other.execute("SET LOCAL deadlock_timeout = '1h'")
        other.execute(lock, ("beta",))
        writing = Thread(target=b.write, kwargs={"lives": off})
        writing.start()
        wait(lambda: postgresql.sql(waiting) == [(True,)], lambda: "the store does not wait")
        other.execute(lock, ("alpha",))
    writing.join()
    wait(lambda: postgresql.sql(ended, name) == [(1,)], lambda: "there was no deadlock")
    assert not is_enabled(b)
    assert not is_enabled(b, "beta")


def test_servers_that_write_the_same_clients_in_any_order_lose_nothing(
    a: Server, b: Server
) -> None:
    """Many clients, both servers at once: each check is found afterwards."""
    many = [replace(ALPHA, name=f"c{number:03}", key_id=f"{number:064x}") for number in range(200)]
    a.add(*many)
    b.hear(*(it.name for it in many))

    def check(server: Server, names: list[str]) -> None:
        for start in range(0, len(names), 20):
            some = names[start : start + 20]
            lives = {it: server.known[it].life.asked(a_date) for it in some}
            server.write(
                lives=lives, settings={it: Kept(kept[it], kept[it], added=True) for it in some}
            )

    a_date, kept = a.now, {it.name: it for it in many}
    names = [it.name for it in many]
    threads = [
        Thread(target=check, args=(a, names)),
        Thread(target=check, args=(b, names[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    a.hear(*names)
    assert all(a.known[name].life.last_approval_request == a_date for name in names)


# Wishes


def test_a_wish_is_granted_and_recorded(a: Server, b: Server) -> None:
    """An enabled client gets its secret at each server, and the trail says where."""
    assert b.asks()
    (entry,) = a.store.records("alpha")
    assert (entry.record.kind, entry.record.server) == (Kind.SECRET_SENT, "b")


def test_a_wish_is_refused_after_a_disabling_elsewhere(a: Server, b: Server) -> None:
    """The other server has not even heard of it; after enabling it is granted again."""
    a.disable()
    assert not b.asks()
    assert not b.store.records("alpha")
    a.enable()
    assert b.asks()


def test_a_wish_is_refused_when_the_time_is_over(a: Server, b: Server) -> None:
    """No server has expired the client yet."""
    over = a.now
    a.live("alpha", lambda life: life.until(over))
    assert not b.asks()


def test_a_wish_is_refused_while_a_denial_is_in_force(a: Server, b: Server) -> None:
    """Approving it again grants it; an enabling forgets the denial."""
    a.write(verdicts={"alpha": Verdict(approved=False, until=a.now + MINUTE)})
    assert not b.asks()
    a.write(verdicts={"alpha": Verdict(approved=True, until=a.now + MINUTE)})
    assert b.asks()
    a.write(verdicts={"alpha": Verdict(approved=False, until=a.now + MINUTE)})
    a.disable()
    a.enable()
    assert b.asks()


def test_a_denial_ends(a: Server, b: Server) -> None:
    """By the database's time."""
    a.write(verdicts={"alpha": Verdict(approved=False, until=a.now)})
    assert b.asks()


def test_a_wish_is_refused_when_the_settings_have_changed(a: Server, b: Server) -> None:
    """The secret that the server would send is not the client's any more."""
    new = replace(ALPHA, secret=b"newer")
    a.write(settings={"alpha": Kept(new, new)})
    assert not b.asks()
    b.hear("alpha")
    assert not b.asks(ALPHA)
    assert b.asks(new)


def test_a_wish_is_refused_when_its_key_is_disabled_under_another_name(
    a: Server, b: Server
) -> None:
    """Two servers' files may give one key two names."""
    double = replace(BETA, key_id=ALPHA.key_id)
    b.add(double)
    assert b.asks(double)
    a.disable()
    assert not b.asks(double)
    a.enable()
    assert b.asks(double)


def test_a_wish_is_refused_after_a_removal(a: Server, b: Server) -> None:
    """The client is in a server's files, or was only added."""
    b.add(BETA, added=True)
    a.hear("beta")
    a.write(removed={"alpha", "beta"}, tombstones={"alpha": ALPHA})
    assert not b.asks()
    assert not b.asks(BETA)
    b.hear("alpha", "beta")
    assert b.known == {}


# Removal


def test_a_removed_client_stays_removed_at_every_server_whose_files_have_it(
    a: Server, b: Server, opened: Callable[[str], Server]
) -> None:
    """Also at one that is new and has a copy of the section, and one that has not heard of it."""
    b.add(ALPHA)
    a.write(removed={"alpha"}, tombstones={"alpha": ALPHA})
    b.write(settings={"alpha": Kept(replace(ALPHA, host="late"), ALPHA)})
    assert b.known == {}
    new = opened("new")
    state = new.store.load([ALPHA])
    assert state.removed == {"alpha": ALPHA}
    assert (state.saved, state.known) == ({}, {})
    new.add(ALPHA)
    assert new.known == {}
    assert not new.asks()


def test_a_changed_section_brings_a_removed_client_back(a: Server, b: Server) -> None:
    """As a new client, at all servers."""
    a.disable()
    a.write(removed={"alpha"}, tombstones={"alpha": ALPHA})
    changed = replace(ALPHA, host="new")
    state = a.store.load([changed])
    assert state.removed == {"alpha": ALPHA}
    a.add(changed)
    b.hear("alpha")
    assert b.known["alpha"].settings == changed
    assert b.asks(changed)


def test_a_removal_wins_over_a_change_at_a_server_that_has_not_heard_of_it(
    a: Server, b: Server
) -> None:
    """An administrator's change there does not bring back a client that was only added."""
    a.add(BETA, added=True)
    b.hear("beta")
    a.write(removed={"beta"})
    b.write(
        settings={"beta": Kept(replace(BETA, host="x"), BETA, added=True)},
        lives={"beta": b.known["beta"].life},
    )
    assert "beta" not in b.known
    assert a.store.changed(["beta"]) == {"beta": None}


def test_a_client_that_is_removed_and_added_anew_has_other_versions(a: Server, b: Server) -> None:
    """A server that missed both would take the new client for the old one."""
    a.add(BETA, added=True)
    b.hear("beta")
    old = b.known["beta"]
    a.write(removed={"beta"})
    a.add(replace(BETA, key_id="ef" * 32), added=True)
    assert b.store.outdated({name: (it.version, it.life_version) for name, it in b.known.items()})
    b.hear("beta")
    assert b.known["beta"].version > old.version
    assert b.known["beta"].life_version > old.life_version


# Files


def test_a_section_that_differs_changes_nothing(a: Server, opened: Callable[[str], Server]) -> None:
    """Neither at a start nor at a reload nor at the next start: nothing flaps."""
    other = replace(ALPHA, secret=b"another", key_id="ef" * 32, host="b")
    b = opened("b")
    for _start in range(2):
        state = b.store.load([other])
        assert not state.saved or state.saved["alpha"].configured == other
        b.write(
            settings={"alpha": Kept(state.known["alpha"].settings, other)},
            lives={"alpha": state.known["alpha"].life},
        )
        a.hear("alpha")
        assert a.known["alpha"].settings == ALPHA
        assert a.store.load([ALPHA]).saved["alpha"].configured == ALPHA


def test_a_changed_section_is_applied_once(a: Server, b: Server) -> None:
    """It wins over the older values of all servers, and a later act wins over it."""
    b.write(settings={"alpha": Kept(ALPHA, ALPHA)})
    changed = replace(ALPHA, host="changed")
    a.write(settings={"alpha": Kept(changed, changed)})
    b.write(settings={"alpha": Kept(replace(ALPHA, timeout=MINUTE), ALPHA)})
    assert b.known["alpha"].settings == replace(changed, timeout=MINUTE)
    b.write(settings={"alpha": Kept(replace(changed, host="act", timeout=MINUTE), ALPHA)})
    state = a.store.load([changed])
    assert state.saved["alpha"].settings.host == "act"
    assert state.saved["alpha"].configured == changed


def test_a_section_that_one_server_lacks_is_served_by_it(b: Server) -> None:
    """The client is in the database, and in other files."""
    b.add(ALPHA)
    b.write(settings={"alpha": Kept(ALPHA, ALPHA, absent=b.now)})
    assert is_present(b)
    state = b.store.load([])
    assert state.saved["alpha"].added
    assert state.saved["alpha"].absent is None
    assert b.asks()


def test_a_client_that_is_in_no_file_any_more_is_not_served(a: Server, b: Server) -> None:
    """It is remembered, disabled if it was, and the others hear of it."""
    a.disable()
    b.hear("alpha")
    before = b.known["alpha"]
    a.write(settings={"alpha": Kept(ALPHA, ALPHA, absent=a.now)})
    assert not is_present(a)
    assert b.store.outdated({"alpha": (before.version, before.life_version)}) == {"alpha"}
    b.hear("alpha")
    assert not is_present(b)
    assert a.store.load([]).saved["alpha"].absent is not None
    a.enable()
    assert not b.asks()
    a.disable()
    a.write(settings={"alpha": Kept(ALPHA, ALPHA)})
    assert is_present(a)
    assert not is_enabled(b)
    b.hear("alpha")
    assert is_present(b)


def test_a_section_that_comes_back_changed_is_applied(a: Server) -> None:
    """A change that an administrator made while the section was away is a change."""
    a.write(settings={"alpha": Kept(ALPHA, ALPHA, absent=a.now)})
    life = a.known.pop("alpha").life
    changed = replace(ALPHA, host="back")
    a.write(settings={"alpha": Kept(changed, changed)}, lives={"alpha": life})
    assert a.known["alpha"].settings == changed


def test_an_administrator_adds_a_client_that_was_in_the_files(a: Server, b: Server) -> None:
    """Then it needs no section any more."""
    a.write(settings={"alpha": Kept(ALPHA, ALPHA, absent=a.now)})
    b.hear("alpha")
    b.write(settings={"alpha": Kept(ALPHA, ALPHA, added=True)})
    assert is_present(b)
    assert b.known["alpha"].added
    assert b.asks()


def test_an_added_client_is_served_by_all(a: Server, b: Server) -> None:
    """No file has it."""
    b.add(BETA, added=True)
    a.hear("beta")
    assert a.known["beta"].added
    assert a.store.load([ALPHA]).saved["beta"].added
    assert a.asks(BETA)


# Reading


def test_requests_that_wait_at_another_server_are_known(a: Server, b: Server) -> None:
    """Until they end, or their time is over."""
    b.write(waiting={"alpha": b.now + MINUTE})
    assert a.store.waiting(["b", "c"]) == {"alpha"}
    assert a.store.waiting(["a", "c"]) == set()
    b.write(waiting={"alpha": b.now})
    assert a.store.waiting(["b"]) == set()
    b.write(waiting={"alpha": b.now + MINUTE})
    b.write(waiting={"alpha": None})
    assert a.store.waiting(["b"]) == set()


def test_requests_of_an_earlier_run_wait_no_more(
    a: Server, opened: Callable[[str], Server]
) -> None:
    """A server was killed while they waited; those of its new run do wait."""
    b = opened("b")
    b.write(waiting={"alpha": b.now + MINUTE, "beta": b.now + MINUTE})
    b.write(waiting={})
    assert a.store.waiting(["b"]) == {"alpha", "beta"}
    again = opened("b")
    again.write(waiting={"beta": b.now + MINUTE})
    assert a.store.waiting(["b"]) == {"beta"}


def test_all_servers_read_one_trail(a: Server, b: Server) -> None:
    """Newest first, of one client or all, and below a number; the server's name is in it."""
    a.write(records=[record(Kind.ENABLED, "alpha", a.now)])
    b.write(records=[record(Kind.DISABLED, "beta", b.now)])
    told = [(it.record.server, it.record.client) for it in a.store.records()]
    assert told == [("b", "beta"), ("a", "alpha")]
    newest = a.store.records()[0].number
    assert [it.record.client for it in b.store.records(before=newest)] == ["alpha"]
    assert [it.record.client for it in b.store.records("beta")] == ["beta"]
    assert len(b.store.records(limit=1)) == 1


# Edits by hand


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE mandos.client SET settings = 'not JSON' WHERE name = 'alpha'",
        "UPDATE mandos.client SET settings = '[]' WHERE name = 'alpha'",
        "UPDATE mandos.client SET settings = '{\"timeout\": \"long\"}' WHERE name = 'alpha'",
        "UPDATE mandos.life SET disabled_why = 'nonsense' WHERE name = 'alpha'",
        "DELETE FROM mandos.life WHERE name = 'alpha'",
    ],
)
def test_a_damaged_client_gets_nothing_and_the_others_go_on(
    edit: str,
    a: Server,
    b: Server,
    postgresql_database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One log line says so, and it is served again once its rows are mended."""
    a.add(BETA)
    ((text,),) = postgresql_database.sql("SELECT settings FROM mandos.client WHERE name = 'alpha'")
    postgresql_database.sql(edit)
    assert not a.asks()
    with caplog.at_level(logging.ERROR):
        state = b.store.load([ALPHA, BETA])
        b.hear("alpha")
        b.hear("alpha")
    (line,) = caplog.messages
    assert "'alpha'" in line
    assert state.damaged == {"alpha"}
    assert state.removed == {"alpha": ALPHA}, "it must not begin anew"
    assert set(state.known) == {"beta"}
    assert not b.asks()
    b.add(ALPHA)
    assert "alpha" not in b.known, "its section does not enable it"
    assert not b.asks()
    a.write(
        lives={name: one.life.asked(a.now) for name, one in a.known.items()},
        settings={"alpha": Kept(ALPHA, ALPHA), "beta": Kept(BETA, BETA)},
    )
    assert "alpha" not in a.known
    assert a.asks(BETA)
    postgresql_database.sql("UPDATE mandos.client SET settings = %s WHERE name = 'alpha'", text)
    postgresql_database.sql("UPDATE mandos.life SET disabled_why = NULL WHERE name = 'alpha'")
    if "DELETE" in edit:
        postgresql_database.sql("DELETE FROM mandos.client WHERE name = 'alpha'")
        a.add(ALPHA)
    a.hear("alpha")
    assert a.asks()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE mandos.life SET expires = NULL WHERE name = 'alpha'",
        "UPDATE mandos.life SET expires = 'infinity' WHERE name = 'alpha'",
        "UPDATE mandos.life SET created = '-infinity' WHERE name = 'alpha'",
        "UPDATE mandos.life SET last_checked_ok = '9999-01-01' WHERE name = 'alpha'",
        "UPDATE mandos.life SET created = NULL WHERE name = 'alpha'",
    ],
)
def test_the_database_refuses_impossible_lives(
    edit: str, a: Server, postgresql_database: Database
) -> None:
    """A client that is enabled for ever, and dates that no server can read."""
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)):
        postgresql_database.sql(edit)
    assert a.asks()


def test_an_edit_by_hand_is_heard(a: Server, postgresql_database: Database) -> None:
    """It raises the version, and Pulse has the name; the changes of its own server are no news."""
    pulse = Pulse(postgresql_database.uri(), Identity("a", "boot", "run", "1"), lambda: 0.0)
    never = os.eventfd(0)
    pulse.connect()
    try:
        pulse.disregard(a.store.backend)
        a.disable()
        a.enable()
        before = a.known["alpha"]
        postgresql_database.sql("UPDATE mandos.client SET origin = 'added' WHERE name = 'alpha'")
        while not (news := pulse.wait(600, never)):
            pass
        assert news.clients == {"alpha"}
        versions = {"alpha": (before.version, before.life_version)}
        assert a.store.outdated(versions) == {"alpha"}
        a.hear("alpha")
        assert a.known["alpha"].version > before.version
    finally:
        pulse.close()
        os.close(never)


# Rights


def test_a_role_with_few_rights_writes(
    a: Server, postgresql: Cluster, postgresql_database: Database
) -> None:
    """It may read and write rows, as docs/postgresql.md says, and owns nothing."""
    if not postgresql.sql("SELECT FROM pg_roles WHERE rolname = 'humble'"):
        postgresql.create_role("humble", "small")
    rights = "select, insert, update, delete on all tables in schema mandos"
    postgresql_database.sql("grant usage on schema mandos to humble")
    postgresql_database.sql(f"grant {rights} to humble")
    postgresql_database.sql("revoke insert, update, delete on mandos.property from humble")
    store = PostgreSQLStore(postgresql.uri("humble", "small", postgresql_database.name), "b")
    store.open()
    try:
        b = Server(store)
        b.hear("alpha")
        b.add(BETA)
        b.disable()
        assert not a.asks()
        assert b.asks(BETA)
        b.write(removed={"beta"}, tombstones={"beta": BETA})
    finally:
        store.close()


# The other connection


def test_two_servers_of_one_name_are_told(a: Server, postgresql_database: Database) -> None:
    """The second one does not begin, and its error names the setting; after the first, it may."""
    assert a.known
    first, second = (
        Pulse(postgresql_database.uri(), Identity("a", "boot", run, "1"), lambda: 0.0)
        for run in ("1", "2")
    )
    first.connect()
    with pytest.raises(MachineError, match="another server uses the name a") as caught:
        second.connect()
    assert "server_name" in str(caught.value.hint)
    first.leave()
    second.connect()
    second.close()


class Peers:
    """Servers whose clocks are turned by hand; the database's time runs by itself."""

    def __init__(self, database: Database, *names: str) -> None:
        self.offset = 0.0
        self.pulses = [
            Pulse(database.uri(), Identity(name, "boot", name, "1"), self.elapsed) for name in names
        ]
        self._database = database
        for pulse in self.pulses:
            pulse.connect()

    def elapsed(self) -> float:
        """The database's own time: so both agree, until it jumps."""
        ((seconds,),) = self._database.sql("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(seconds) + self.offset

    def beat(self) -> list[datetime]:
        """A sign of life of each."""
        return [pulse.beat(checks=True).moment for pulse in self.pulses]

    def close(self) -> None:
        """Close all."""
        for pulse in self.pulses:
            pulse.close()


@pytest.fixture
def peers(a: Server, postgresql_database: Database) -> Iterator[Callable[..., Peers]]:
    """A function: servers of these names."""
    assert a.known
    made: list[Peers] = []

    def begin(*names: str) -> Peers:
        made.append(Peers(postgresql_database, *names))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_a_jump_that_most_servers_see_is_none_of_the_clients_time(
    peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """The database's clock goes an hour ahead; the common time goes on as before."""
    three = peers("a", "b", "c")
    before = max(three.beat())
    three.offset -= 3600  # as if the database's time were an hour later by their clocks
    moments = [moment for _turn in range(2) for moment in three.beat()]
    assert max(moments) - before < MINUTE
    ((correction,),) = postgresql_database.sql("SELECT correction FROM mandos.clock")
    assert abs(correction + timedelta(hours=1)) < MINUTE


@pytest.mark.parametrize("jump", [3600, -3600])
def test_servers_that_are_lost_have_no_vote_about_a_jump(
    peers: Callable[..., Peers], postgresql_database: Database, jump: int
) -> None:
    """The only one that is left corrects it, though two others were there ten minutes ago."""
    one, gone = peers("a"), peers("b", "c")
    one.beat()
    gone.beat()
    postgresql_database.sql(
        "UPDATE mandos.server SET beat = beat - interval '10 min' WHERE name <> 'a'"
    )
    one.offset -= jump
    one.beat()
    ((correction,),) = postgresql_database.sql("SELECT correction FROM mandos.clock")
    assert abs(correction + timedelta(seconds=jump)) < MINUTE


def test_one_server_that_sees_a_jump_is_wrong_itself(
    peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """The other two do not see it: the common time does not change."""
    two, one = peers("a", "b"), peers("c")
    two.beat()
    one.beat()
    one.offset -= 3600
    moments = [moment for _turn in range(8) for moment in (*two.beat(), *one.beat())]
    assert postgresql_database.sql("SELECT correction FROM mandos.clock") == [(timedelta(0),)]
    assert abs(moments[-1] - max(two.beat())) < MINUTE


def test_a_server_that_began_with_the_wrong_time_follows_a_correction_at_once(
    peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """It began after the clock was set back, and before the others had corrected that."""
    one = peers("a")
    (before,) = one.beat()
    postgresql_database.sql("UPDATE mandos.clock SET correction = '1 hour'")
    (after,) = one.beat()
    assert after - before > 59 * MINUTE


def test_a_server_begins_when_the_others_have_corrected_the_time(
    a: Server, peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """Their last signs of life are later than a clock that was set back."""
    peers("b").beat()
    right = a.store.settled(pause=_forbidden)
    postgresql_database.sql("UPDATE mandos.server SET beat = beat + interval '1 hour'")
    pauses: list[float] = []

    def correct(seconds: float) -> None:
        pauses.append(seconds)
        postgresql_database.sql("UPDATE mandos.clock SET correction = '1 hour'")

    assert a.store.settled(correct) - right > 59 * MINUTE
    assert len(pauses) == 1


def test_a_server_begins_when_a_proposed_correction_is_decided(
    a: Server, peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """Another server has just seen the clock jump."""
    peers("b").beat()
    postgresql_database.sql("UPDATE mandos.server SET jump = 3600")
    pauses: list[float] = []

    def decide(seconds: float) -> None:
        pauses.append(seconds)
        postgresql_database.sql("UPDATE mandos.server SET jump = 0")

    a.store.settled(decide)
    assert len(pauses) == 1


def test_a_jump_of_the_databases_clock_ends_no_denial(
    a: Server, postgresql_database: Database
) -> None:
    """The server that is asked knows better."""
    a.write(verdicts={"alpha": Verdict(approved=False, until=a.now + TIMEOUT)})
    asked = a.now
    a.live("alpha", lambda life: life.until(a.now + timedelta(days=1)))
    postgresql_database.sql("UPDATE mandos.clock SET correction = '1 hour'")
    wish = Wish(record(Kind.SECRET_SENT, "alpha", asked), ALPHA)
    assert a.write(wishes=[wish]) == {0}
    late = Wish(record(Kind.SECRET_SENT, "alpha", asked + 2 * TIMEOUT), ALPHA)
    assert not a.write(wishes=[late])


def test_a_server_begins_though_another_one_was_ahead(
    a: Server, peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """A server that is gone left a sign of life in the future: it is not waited for long."""
    peers("b").beat()
    postgresql_database.sql("UPDATE mandos.server SET beat = beat + interval '1 hour'")
    pauses: list[float] = []
    moment = a.store.settled(pauses.append)
    assert sum(pauses) <= 6
    assert a.now - moment < MINUTE


def test_a_slow_answer_does_not_set_the_time(
    peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """A server that was paused in the middle of the question goes on by its own clock."""
    one = peers("a")
    (before,) = one.beat()
    hour = 3600.0
    postgresql_database.sql("UPDATE mandos.clock SET correction = '-1 hour'")
    pulse, looks = one.pulses[0], iter((10.0, 10.0, 10.0 + hour))
    began = one.elapsed()
    pulse._elapsed = lambda: began + next(looks, 10.0 + hour)
    (after,) = one.beat()
    assert abs(after - before - timedelta(seconds=10 + hour / 2)) < MINUTE


def _forbidden(_seconds: float) -> None:
    raise AssertionError


def test_the_common_time_is_set_by_hand(
    a: Server, peers: Callable[..., Peers], postgresql_database: Database
) -> None:
    """An administrator's correction is followed like a jump of the database's clock."""
    one = peers("a")
    one.beat()
    postgresql_database.sql("UPDATE mandos.clock SET correction = '1 s'")
    assert a.now - datetime.now(UTC) > timedelta(seconds=0.5)


# Versions

ADDITIVE = "ALTER TABLE mandos.client ADD COLUMN colour text NOT NULL DEFAULT 'red'"
BREAKING = "ALTER TABLE mandos.life RENAME COLUMN enabled TO switched_on"


def later(monkeypatch: pytest.MonkeyPatch, script: str, least: int) -> None:
    """Make the program a later version, with a further step."""
    steps = (*schema.STEPS, schema.Step(script, least))
    monkeypatch.setattr(schema, "STEPS", steps)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(steps))


def test_servers_of_two_versions_work_side_by_side(
    a: Server, opened: Callable[[str], Server], postgresql_database: Database
) -> None:
    """A step that adds a column: the old server goes on, and an old one can start."""
    with pytest.MonkeyPatch.context() as patch:
        later(patch, ADDITIVE, least=1)
        new = opened("new")
    assert postgresql_database.sql("SELECT colour FROM mandos.client") == [("red",)]
    new.hear("alpha")
    new.disable()
    assert not a.asks()
    old = opened("old")
    old.add(BETA)
    old.hear("alpha")
    old.enable()
    assert a.asks()
    new.hear("beta")
    assert new.asks(BETA)


def test_a_breaking_step_is_refused_while_old_servers_live(
    a: Server, opened: Callable[[str], Server], peers: Callable[..., Peers]
) -> None:
    """The error names them; they go on, and once they have left the upgrade is made."""
    old = peers("a")
    old.beat()
    with pytest.MonkeyPatch.context() as patch:
        later(patch, BREAKING, least=2)
        with pytest.raises(AdministratorError, match=r"they run: a$") as caught:
            opened("new")
        assert "systemctl stop mandos" in str(caught.value.hint)
        assert a.asks()
        old.beat()
        old.pulses[0].leave()
        opened("new")


def test_an_old_server_stops_using_a_database_that_it_cannot_use(
    a: Server,
    opened: Callable[[str], Server],
    peers: Callable[..., Peers],
    postgresql_database: Database,
) -> None:
    """One that was suspended meanwhile: it gives nothing, writes nothing, and says why."""
    old = peers("a")
    old.beat()
    postgresql_database.sql("UPDATE mandos.server SET beat = beat - interval '1 hour'")
    with pytest.MonkeyPatch.context() as patch:
        later(patch, BREAKING, least=2)
        opened("new")
    before = postgresql_database.sql("SELECT * FROM mandos.life, mandos.client, mandos.server")
    with pytest.raises(AdministratorError, match="upgraded for a newer version"):
        old.beat()
    with pytest.raises(MachineError, match="upgraded for a newer version"):
        a.asks()
    assert a.store.trouble is not None
    with pytest.raises(MachineError, match="upgraded for a newer version"):
        a.disable()
    assert not a.store.reopen()
    assert "upgrade this server" in str(a.store.trouble.hint)
    with pytest.raises(AdministratorError, match="newer version"):
        opened("old")
    after = postgresql_database.sql("SELECT * FROM mandos.life, mandos.client, mandos.server")
    assert after == before


def test_an_upgrade_waits_for_writes_that_have_begun(
    a: Server, opened: Callable[[str], Server], postgresql_database: Database
) -> None:
    """So that no write begins with the old tables and ends with the new ones."""
    assert a.known
    with pytest.MonkeyPatch.context() as patch, postgresql_database.connect() as writing:
        later(patch, BREAKING, least=2)
        with writing.transaction():
            writing.execute(statements.BEGIN)
            upgrade = Thread(target=opened, args=("new",))
            upgrade.start()
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait(lambda: postgresql_database.sql(waiting) == [(1,)], lambda: "nothing waits")
            writing.execute("UPDATE mandos.life SET enabled = enabled")
        upgrade.join()
    assert postgresql_database.sql("SELECT switched_on FROM mandos.life") == [(True,)]
