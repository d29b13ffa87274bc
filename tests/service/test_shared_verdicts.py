# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approvals and denials that two servers were given: the database keeps the one that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from harness.postgresql import Database
from mandos.server.audit.records import Kind, Record
from mandos.server.config.clients_conf import parse_client
from mandos.server.life.life import Life
from mandos.server.state.store import Changes, Kept, Known, Verdict, Wish

PostgreSQLStore = pytest.importorskip(
    "mandos.server.state.postgresql.store", exc_type=ImportError
).PostgreSQLStore

pytestmark = pytest.mark.peer
SETTINGS = parse_client(f"[alpha]\nkey_id = {'0' * 64}\nsecret = c2VjcmV0\n")
HOUR = timedelta(hours=1)


class Site:
    """Two servers' stores of one database, and the client alpha, which is enabled."""

    def __init__(self, stack: ExitStack, database: Database) -> None:
        self.here, self.there = (
            PostgreSQLStore(database.uri(), name) for name in ("here", "there")
        )
        for store in (self.here, self.there):
            store.open()
            stack.callback(store.close)
        self.now = self.here.now()
        life = Life(created=self.now, enabled=False).turned_on(self.now, HOUR)
        self.here.write(
            Changes(lives={"alpha": life}, settings={"alpha": Kept(SETTINGS, SETTINGS)})
        )

    @property
    def alpha(self) -> Known:
        """The client as all servers know it."""
        return self.here.changed({"alpha"})["alpha"]  # type: ignore[no-any-return]

    def say(self, store: object, *, approved: bool, alone: bool = False) -> None:
        """Give a verdict at a server; ``alone``: it could not be written at first."""
        verdict = Verdict(approved, self.now + HOUR)
        names = {"alpha"} if alone else set()
        store.write(  # type: ignore[attr-defined]  # a store
            Changes(verdicts={"alpha": verdict}, bases={"alpha": self.alpha}, alone=names)
        )

    def gives(self) -> bool:
        """Whether the database grants the client its secret now."""
        record = Record(kind=Kind.SECRET_SENT, at=self.now, client="alpha")
        changes = Changes(wishes=[Wish(record, SETTINGS)], bases={"alpha": self.alpha})
        return not self.here.write(changes).refused


@pytest.fixture
def site(postgresql_database: Database) -> Iterator[Site]:
    """Two servers that share an empty database."""
    with ExitStack() as stack:
        yield Site(stack, postgresql_database)


def test_the_later_verdict_counts(site: Site) -> None:
    """An approval lifts a denial of another server, and the other way round."""
    assert site.gives()
    site.say(site.here, approved=False)
    assert not site.gives()
    site.say(site.there, approved=True)
    assert site.gives()
    site.say(site.here, approved=False)
    assert not site.gives()


def test_an_approval_without_the_database_lifts_no_denial(site: Site) -> None:
    """It may be older, although it is written later; a denial is safe and counts."""
    site.say(site.there, approved=False)
    site.say(site.here, approved=True, alone=True)
    assert not site.gives()
    site.say(site.there, approved=True)
    site.say(site.here, approved=False, alone=True)
    assert not site.gives()


def test_an_approval_without_the_database_counts_otherwise(site: Site) -> None:
    """Nobody has denied the client."""
    site.say(site.here, approved=True, alone=True)
    assert site.alpha.verdict == Verdict(True, site.now + HOUR)  # noqa: FBT003
    assert site.gives()
