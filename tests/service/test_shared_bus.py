# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real servers share a PostgreSQL: calls, properties and signals are the same on both buses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dbus_fast import Variant

from harness.families import ours
from harness.peers import start_client
from harness.postgresql import why_no_postgresql
from harness.shared import CLIENT, CLIENT1, sharing

if TYPE_CHECKING:
    from harness.keys import Credentials
    from harness.postgresql import Database

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql())),
]
ALPHA = "/clients/alpha"
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
