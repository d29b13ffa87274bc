# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real servers share a PostgreSQL: calls, properties and signals are the same on both buses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from dbus_fast import Variant

from harness.families import ours
from harness.peers import start_client
from harness.postgresql import Cluster, why_no_postgresql
from harness.shared import CLIENT, CLIENT1, sharing

if TYPE_CHECKING:
    from harness.keys import Credentials
    from harness.postgresql import Database
    from harness.shared import Member

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql())),
]
ALPHA = "/clients/alpha"
#: Triggers, which notify the servers of changes, do not run then.
QUIETLY = "SET session_replication_role = replica;"
ENABLING = """
UPDATE mandos.life SET enabled = true, last_enabled = mandos.now(), disabled_at = NULL,
    expires = mandos.now() + '1 hour', disabled_why = NULL, version = version + 1
"""
DISABLING = """
UPDATE mandos.life SET enabled = false, expires = NULL, disabled_at = mandos.now(),
    disabled_why = 'administrator', version = version + 1
"""
PATIENT = "[DEFAULT]\ntimeout = P3W\ninterval = P1W\nchecker = true\n\n"


async def test_acts_are_heard_everywhere(postgresql_database: Database, keys: Credentials) -> None:
    """Properties, records and log lines of the other server tell of an act, and of its user."""
    async with sharing(postgresql_database, PATIENT + keys.section, "first", "second") as (a, b):
        await a.peer.call(ALPHA, CLIENT, "Disable")
        await b.changed("Enabled", value=False, path=ALPHA)
        await b.changed("DisabledReason", value="administrator", path=ALPHA)
        record = await b.recorded(kind="disabled", client="alpha", server="first")
        assert record["by"] == "root"
        b.server.wait_for(r"client alpha is disabled: administrator \(by root on server first\)")
        (own,) = await a.peer.call("/", None, "GetRecords", "sut", "alpha", 1, 0)
        assert own["kind"] == "disabled"
        assert own["server"] == "first"
        assert (await a.recorded(kind="disabled"))["server"] == "first"
        a.server.wait_for(r"client alpha is disabled: administrator \(by root\)")
        await b.peer.call(ALPHA, CLIENT, "Enable")
        assert await b.get("Enabled", ALPHA, CLIENT)
        await a.changed("Enabled", value=True, path=ALPHA)
        await a.recorded(kind="enabled", server="second", by="root")


async def test_acts_do_not_trust_the_own_copy(
    postgresql_database: Database, keys: Credentials
) -> None:
    """A client was enabled, or disabled, elsewhere, and no news has come in: an act counts."""
    database = postgresql_database
    async with sharing(database, PATIENT + keys.section, "first", "second") as (a, _b):
        await a.peer.call(ALPHA, CLIENT, "Disable")
        database.sql(QUIETLY + ENABLING)
        assert not await a.get("Enabled", ALPHA, CLIENT)
        await a.peer.call(ALPHA, CLIENT, "Disable")
        assert database.sql("SELECT enabled FROM mandos.life") == [(False,)]
        await a.peer.call(ALPHA, CLIENT, "Enable")
        database.sql(QUIETLY + DISABLING)
        assert await a.get("Enabled", ALPHA, CLIENT)
        await a.peer.call(ALPHA, CLIENT, "Enable")
        assert database.sql("SELECT enabled FROM mandos.life") == [(True,)]


async def test_settings_and_clients_are_the_same(
    postgresql_database: Database, keys: Credentials
) -> None:
    """A setting that is changed, a client that is added or removed: the other server signals it."""
    async with sharing(postgresql_database, PATIENT + keys.section, "first", "second") as (a, b):
        await a.peer.call(
            *(ALPHA, None, "Set", "ssv", CLIENT, "Timeout", Variant("t", 60_000)),
        )
        await b.changed("Timeout", 60_000, ALPHA)
        section = "[beta]\nkey_id = " + "b" * 64 + "\nsecret = aGVsbG8=\n"
        assert await b.peer.call("/", None, "AddClient", "s", section) == "/clients/beta"
        await a.peer.heard("ClientAdded", "/clients/beta")
        await a.recorded(kind="added", client="beta", server="second", by="root")
        await a.peer.call("/", None, "RemoveClient", "o", "/clients/beta")
        await b.peer.heard("ClientRemoved", "/clients/beta", "beta")


async def test_a_request_is_approved_at_another_server(
    postgresql_database: Database, keys: Credentials
) -> None:
    """It waits at one server; both say so, and a verdict at the other one lets it through."""
    section = f"{keys.section}\napproval_delay = PT1H\napproved_by_default = no\n"
    async with sharing(postgresql_database, PATIENT + section, "first", "second") as (a, b):
        with start_client(b.host, ours(), keys, connect=a.server.address) as client:
            await b.peer.heard("NeedApproval", path=ALPHA)
            await a.peer.heard("NeedApproval", path=ALPHA)
            await b.is_known("ApprovalPending", value=True, path=ALPHA, interface=CLIENT)
            assert await a.get("ApprovalPending", ALPHA, CLIENT)
            before = len(b.peer.signals)
            await b.peer.call(ALPHA, CLIENT, "Approve", "b", True)  # noqa: FBT003 - the call's
            assert client.wait() == 0, client.report("the client failed")
            assert client.stdout == keys.password
        await b.changed("ApprovalPending", value=False, path=ALPHA, after=before)
        await a.recorded(kind="approved", server="second", by="root")
        await b.recorded(kind="secret-sent", client="alpha", server="first")
        a.server.wait_for(r"client alpha is approved \(by root on server second\)")
        assert not [one for one in b.peer.signals if one.member == "GotSecret"]
        await b.changed("LastSecretSent", await a.get("LastSecretSent", ALPHA, CLIENT1), ALPHA)


async def test_a_request_at_a_killed_server_waits_no_more(
    postgresql_database: Database, keys: Credentials
) -> None:
    """Neither while that server is missing, nor when it is back."""
    section = f"{keys.section}\napproval_delay = PT1H\n"
    async with sharing(postgresql_database, PATIENT + section, "first", "second") as (a, b):
        with start_client(b.host, ours(), keys, connect=a.server.address) as client:
            await b.changed("ApprovalPending", value=True, path=ALPHA)
            a.server.kill()
            client.end()
        await b.changed("ApprovalPending", value=False, path=ALPHA)
        a.server.start(*a.options)
        await b.peer.until(lambda: _alive(b, "first"), "of first again")
        assert not await b.get("ApprovalPending", ALPHA, CLIENT)
        assert not postgresql_database.sql("SELECT client FROM mandos.waiting")


@pytest.mark.parametrize("act", ["deny", "remove", "disable"])
async def test_a_waiting_request_is_refused_from_another_server(
    postgresql_database: Database, keys: Credentials, act: str
) -> None:
    """A denial, a removal and a disabling at one server end a request that waits at another."""
    section = f"{keys.section}\napproval_delay = PT1H\napproved_by_default = yes\n"
    async with sharing(postgresql_database, PATIENT + section, "first", "second") as (a, b):
        with start_client(b.host, ours(), keys, connect=a.server.address) as client:
            await a.peer.heard("NeedApproval", path=ALPHA)
            await b.peer.heard("NeedApproval", path=ALPHA)
            if act == "deny":
                await b.peer.call(ALPHA, CLIENT, "Approve", "b", False)  # noqa: FBT003 - the call's
            elif act == "remove":
                await b.peer.call("/", None, "RemoveClient", "o", ALPHA)
            else:
                await b.peer.call(ALPHA, CLIENT, "Disable")
            await a.peer.heard("Rejected", "Denied" if act == "deny" else "Disabled", path=ALPHA)
            a.server.wait_for(r"refused .*: client alpha: ")
            assert client.running, client.report("the client has ended")
        assert not client.stdout
        assert not [one for one in b.peer.signals if one.member == "Rejected"]


async def test_every_server_knows_the_others(
    postgresql_database: Database, keys: Credentials
) -> None:
    """And which one checks a client; one that is killed is missing, one that ends is not."""
    clients = PATIENT + keys.section
    async with sharing(postgresql_database, clients, "first", "second") as (a, b):
        assert (await a.get("ServerName"), await b.get("ServerName")) == ("first", "second")
        assert await a.get("DatabaseState") == "connected"
        first, second = await a.get("Servers")
        assert (first["name"], first["alive"], first["checks"]) == ("first", True, True)
        assert (second["name"], second["alive"], second["checks"]) == ("second", True, True)
        assert second["started"] < second["seen"]
        watching = await a.get("WatchedBy", ALPHA, CLIENT1)
        assert watching in {"first", "second"}
        assert await b.get("WatchedBy", ALPHA, CLIENT1) == watching
        assert _ctl(a, "--servers").startswith("Server ")
        (lost, stays) = (a, b) if watching == "first" else (b, a)
        before = len(stays.peer.signals)
        lost.server.kill()
        await stays.changed("WatchedBy", stays.name, ALPHA, after=before)
        assert _ctl(stays, "--servers", status=1).endswith(f"server is missing: {lost.name}\n")
        listed = _ctl(stays, stderr=f"mandos-ctl: warning: server is missing: {lost.name}\n")
        assert "alpha" in listed
        shown = json.loads(_ctl(stays, "--servers", "--json", status=1))
        assert {one["name"]: one["alive"] for one in shown["servers"]}[lost.name] is False
        lost.server.start(*lost.options)
        await lost.peer.named()
        await stays.peer.until(lambda: _alive(stays, lost.name), f"of {lost.name} again")
        lost.server.process.signal(signal.SIGTERM)
        assert lost.server.process.wait() == 0
        await stays.peer.until(lambda: _listed(stays) == [stays.name], f"of the end of {lost.name}")
        assert _ctl(stays, "--servers").endswith("all servers are there\n")


@pytest.mark.parametrize(
    ("within", "use"), [("PT0S", "no secret is given"), ("PT1H", "local copy in use")]
)
async def test_an_unreachable_database_is_told(keys: Credentials, within: str, use: str) -> None:
    """As a property, by its signal, by mandos-ctl; and its return."""
    with Cluster() as cluster:
        clients = PATIENT + keys.section
        names, options = ("first", "second"), ("--without-database", within)
        async with sharing(cluster.database(), clients, *names, options=options) as (a, _b):
            cluster.stop("immediate")
            await a.peer.until(
                lambda: _state(a).startswith("unreachable since "), "of the unreachable database"
            )
            assert _state(a).endswith(f" UTC, {use}")
            assert await a.get("DatabaseState") == _state(a)
            assert _state(a) in _ctl(a, "--servers", status=1)
            before = len(a.peer.signals)
            cluster.start()
            await a.changed("DatabaseState", "connected", after=before)


def _told(member: Member, name: str) -> Any:  # noqa: ANN401 - by its type on the bus
    """The value of a property of the server that was signalled last."""
    for one in reversed(member.peer.signals):
        if one.member == "PropertiesChanged" and name in one.values[1]:
            return one.values[1][name]
    return []


def _state(member: Member) -> str:
    return str(_told(member, "DatabaseState"))


def _listed(member: Member) -> list[str]:
    return [one["name"] for one in _told(member, "Servers")]


def _alive(member: Member, name: str) -> bool:
    return any(one["name"] == name and one["alive"] for one in _told(member, "Servers"))


def _ctl(member: Member, *words: str, status: int = 0, stderr: str = "") -> str:
    """Run mandos-ctl on the server's host; return what it prints."""
    bus = f"unix:path={member.host.path('/run/dbus/system_bus_socket')}"
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [ours().ctl, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (status, stderr), done
    return done.stdout
