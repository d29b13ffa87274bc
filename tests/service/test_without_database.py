# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose shared database is unreachable: its limits, and the merge afterwards."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.patience import Patience
from harness.peers import PORT, fetch, start_client
from harness.postgresql import Cluster, why_no_postgresql
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.host import Link
    from harness.keys import Credentials
    from harness.postgresql import Database
    from harness.process import Process

pytestmark = pytest.mark.peer

_NUMBERS = iter(range(1000))
_ANOTHER_BOOT = "00000000-0000-4000-8000-000000000000"

_CHANGE_BOOT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as notes:
    assert notes.execute("UPDATE contact SET boot = ?", sys.argv[2:]).rowcount == 1
"""


class Site:
    """A server with its files, and the database that it shares with nobody at the moment."""

    def __init__(self, link: Link, cluster: Cluster, keys: Credentials) -> None:
        self.link, self.cluster, self.keys = link, cluster, keys
        self.database: Database = cluster.database()
        self._stack = ExitStack()
        self._folder = f"/run/without-database-{next(_NUMBERS)}"
        self.seen = len(link.server.syslog.lines)
        for name in ("etc", "state"):
            link.server.path(f"{self._folder}/{name}").mkdir(mode=0o755, parents=True)
        shutil.chown(link.server.path(f"{self._folder}/state"), "_mandos", "_mandos")

    def close(self) -> None:
        """End the server, and drop the database."""
        self._stack.close()
        shutil.rmtree(self.link.server.path(self._folder))
        if not self.cluster.running:
            self.cluster.start()
        self.database.drop()

    def write(self, **options: str) -> None:
        """Write the client's section with these options."""
        path = self.link.server.path(f"{self._folder}/etc/clients.conf")
        path.touch(0o640)
        shutil.chown(path, group="_mandos")
        lines = [f"{name} = {value}" for name, value in options.items()]
        path.write_text("\n".join(["[DEFAULT]", "checker = true", *lines, "", self.keys.section]))

    def start(self, **options: str) -> Process:
        """Start the server, and return when it serves."""
        process = self.launch(**options)
        self.wait_for(rf"serving \d+ clients on port {PORT}")
        return process

    def launch(self, **options: str) -> Process:
        """Start the server."""
        path = self.link.server.path(f"{self._folder}/etc/mandos.conf")
        path.touch(0o640)
        shutil.chown(path, group="_mandos")
        settings = {"server_name": "only", "state": self.database.uri(), **options}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        path.write_text("\n".join(["[DEFAULT]", *lines, ""]))
        if not self.link.server.path(f"{self._folder}/etc/clients.conf").exists():
            self.write()
        command = (
            *(ours().server, "--foreground", "--no-dbus", "--no-zeroconf", "--port", str(PORT)),
            *("--debuglevel", "DEBUG"),
            *("--configdir", f"{self._folder}/etc", "--statedir", f"{self._folder}/state"),
        )
        return self._stack.enter_context(self.link.server.start(*command))

    def wait_for(self, pattern: str) -> None:
        """Wait for a line of the log after those already waited for."""
        self.seen = self.link.server.syslog.wait_for(pattern, after=self.seen)

    @property
    def address(self) -> str:
        """What a client of the same link gives to --connect."""
        return f"{self.link.server.link_local()}:{PORT}"

    def served(self) -> bool:
        """Whether the client gets its secret, in the end."""
        got = fetch(self.link.client, ours(), self.keys, connect=self.address)
        return got == self.keys.password

    def refused(self, why: str) -> None:
        """The client asks and is refused for this reason."""
        with start_client(self.link.client, ours(), self.keys, connect=self.address):
            self.wait_for(f"refused .* client alpha: {why}")

    def lose(self) -> None:
        """Stop the database, and wait until the server has noticed."""
        self.cluster.stop("immediate")
        self.wait_for("the database is unreachable")

    def find(self) -> None:
        """Start the database again, and wait until the server uses it."""
        self.cluster.start()
        self.wait_for("the database and all servers are there")

    def note_another_boot(self) -> None:
        """Make the last contact with the database one of another boot of the machine."""
        path = f"{self._folder}/state/without-database.db"
        self.link.server.run("/usr/bin/python3", "-c", _CHANGE_BOOT, path, _ANOTHER_BOOT)

    def eventually(self, query: str, expected: list[tuple[object, ...]]) -> None:
        """The database answers this, sooner or later."""
        patience = Patience(PATIENCE)
        while (found := self.database.sql(query)) != expected:
            assert not patience.is_over(), f"{query}: {found}, expected {expected}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Callable[[Link], Cluster]]:
    """One cluster for all tests here; it runs on the server's machine."""
    if reason := why_no_postgresql():
        pytest.skip(reason)
    with ExitStack() as stack:
        made: list[Cluster] = []

        def on(link: Link) -> Cluster:
            if not made:
                made.append(stack.enter_context(Cluster(host=link.server, fsync=False)))
            return made[0]

        yield on


@pytest.fixture
def site(bare_link: Link, cluster: Callable[[Link], Cluster], keys: Credentials) -> Iterator[Site]:
    """A site whose database runs."""
    site = Site(bare_link, cluster(bare_link), keys)
    yield site
    site.close()


STATES = "SELECT enabled, disabled_why FROM mandos.life"
SENT = "SELECT server, sum(times)::int FROM mandos.audit WHERE kind = 'secret-sent' GROUP BY server"


def test_without_a_limit_the_server_gives_nothing(site: Site) -> None:
    """The default: no secret without a decision of the database."""
    site.start()
    assert site.served()
    site.lose()
    site.refused("database unreachable")
    site.find()
    assert site.served()
    site.eventually(SENT, [("only", 2)])


def test_within_the_limit_the_copy_is_served_from(site: Site) -> None:
    """Each secret that was sent meanwhile is in the audit trail afterwards."""
    site.start(without_database="PT1H")
    assert site.served()
    site.lose()
    assert site.served()
    assert site.served()
    site.find()
    site.eventually(SENT, [("only", 3)])
    site.eventually(STATES, [(True, None)])


def test_database_that_hangs(site: Site) -> None:
    """Its processes are stopped, and the kernel of its machine still takes every packet.

    When they go on, they may finish the decision that the server has given up: then there are two
    records of one secret.
    """
    server = site.start(without_database="PT1H")
    assert site.served()
    site.cluster.pause()
    try:
        site.wait_for("the database is unreachable")
        assert site.served()
        assert server.terminate() == 0
    finally:
        site.cluster.resume()
    site.start(without_database="PT1H")
    site.eventually(
        "SELECT sum(times) >= 2 FROM mandos.audit WHERE kind = 'secret-sent'", [(True,)]
    )


def test_records_survive_a_crash_of_the_server(site: Site) -> None:
    """It is killed while the database is away, and both come back later."""
    server = site.start(without_database="PT1H")
    site.lose()
    assert site.served()
    server.signal(signal.SIGKILL)
    server.wait()
    server = site.start(without_database="PT1H")
    assert site.served()
    site.cluster.start()
    site.eventually(SENT, [("only", 2)])
    assert server.terminate() == 0


def test_restart_within_the_limit(site: Site) -> None:
    """The time since the last contact counts, not that since the server's start."""
    server = site.start(without_database="PT1H")
    site.wait_for("the clients are checked by")
    server.terminate()
    site.cluster.stop()
    site.start(without_database="PT1H")
    assert site.served()


def test_cold_start_of_a_whole_site(site: Site) -> None:
    """The database's own disk is one that Mandos unlocks: its machine asks first.

    ``without_database`` counts within one boot of the machine, so it permits nothing here.
    """
    server = site.start()
    site.wait_for("the clients are checked by")
    assert server.terminate() == 0
    site.cluster.stop()
    site.note_another_boot()
    server = site.start(without_database="PT1H")
    site.refused("database unreachable")
    assert server.terminate() == 0
    site.start(without_database_at_boot="P30D")  # this machine may run for long
    assert site.served()
    site.cluster.start()
    site.eventually(SENT, [("only", 1)])


def test_server_that_never_saw_the_database_gives_nothing(site: Site) -> None:
    """It cannot know which clients are disabled on others."""
    site.cluster.stop()
    site.start(without_database="PT1H", without_database_at_boot="PT1H")
    site.refused("database unreachable")
    site.find()
    assert site.served()


def test_wrong_password_at_the_first_start(site: Site) -> None:
    """A mistake in the setting is told at once, and the password is not."""
    server = site.launch(state=site.database.uri().replace("open", "shut"))
    assert server.wait() == 78  # EX_CONFIG
    assert "password" in server.log
    assert "sesame" not in server.log
    assert "sesame" not in "\n".join(site.link.server.syslog.lines)


def test_disabled_without_the_database(site: Site) -> None:
    """It holds here at once, over a crash, and for all when the database is back."""
    server = site.start(without_database="PT1H")
    assert site.served()
    site.lose()
    site.write(enabled="no")
    server.signal(signal.SIGHUP)
    site.refused("disabled")
    server.signal(signal.SIGKILL)
    server.wait()
    site.start(without_database="PT1H")
    site.refused("disabled")
    site.cluster.start()
    site.eventually(STATES, [(False, "configuration")])


def test_older_copy_undoes_no_enabling(site: Site) -> None:
    """While this server was down, the client was enabled on another one."""
    site.write(enabled="no")
    server = site.start(without_database="PT1H")
    site.refused("disabled")
    server.terminate()
    site.database.sql(
        "UPDATE mandos.life SET enabled = true, last_enabled = now(), disabled_at = NULL,"
        " disabled_why = NULL, expires = now() + interval '1 hour'"
    )
    site.start(without_database="PT1H")
    assert site.served()
    site.lose()
    assert site.served()


def test_disabled_elsewhere_while_this_server_was_cut_off(site: Site) -> None:
    """The other side disabled the client, this one served it within its limit: disabled wins."""
    server = site.start(without_database="PT1H")
    assert site.served()
    server.signal(signal.SIGSTOP)
    site.database.sql(
        "UPDATE mandos.life SET enabled = false, expires = NULL, disabled_at = now(),"
        " disabled_why = 'administrator'"
    )
    server.signal(signal.SIGCONT)
    site.refused("disabled")
    site.eventually(STATES, [(False, "administrator")])


def test_restored_backup_enables_no_client(site: Site) -> None:
    """What a running server knows is written to a database that has lost it."""
    server = site.start(without_database="PT1H")
    assert site.served()
    old = site.database.sql("SELECT version, expires FROM mandos.life")
    site.database.sql(
        "UPDATE mandos.life SET enabled = false, expires = NULL, disabled_at = now(),"
        " disabled_why = 'administrator'"
    )
    site.refused("disabled")
    site.lose()
    server.signal(signal.SIGSTOP)
    site.cluster.start()
    site.database.sql("ALTER TABLE mandos.life DISABLE TRIGGER USER")
    site.database.sql(
        "UPDATE mandos.life SET enabled = true, disabled_at = NULL, disabled_why = NULL,"
        " version = %s, expires = %s",
        *old[0],
    )
    site.database.sql("ALTER TABLE mandos.life ENABLE TRIGGER USER")
    server.signal(signal.SIGCONT)
    site.wait_for("the database has an older state of client alpha")
    site.eventually(STATES, [(False, "administrator")])
    site.refused("disabled")
