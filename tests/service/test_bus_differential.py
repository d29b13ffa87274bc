# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same acts on the reference's server and on ours: what is answered, and every signal.

``harness/bus_differences.py`` is the whole list of permitted differences; anything else fails, and
so does an entry of the list that nothing needs any more.  ``docs/original.md`` tells it to users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.bus_acts import CLIENT, MANDOS, Recorded, Stage, another, play
from harness.bus_differences import DIFFERENCES, Difference
from harness.families import Family, ours, reference
from harness.keys import Credentials

#: The reference may have to play more than once (harness/bus_acts.py).
pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

#: Clients that nobody is behind; none is checked by itself while a test runs.
PLAIN = """
[DEFAULT]
interval = P2W
timeout = P4W

[beta.x-y]
key_id = {beta}
fingerprint = {finger}
secret = aGVsbG8=
host = beta.example.org
checker = exit 3

[gamma]
key_id = {gamma}
fingerprint = {finger}
secret = aGVsbG8=
enabled = no
checker = true
"""
WEEK = 7 * 24 * 3600 * 1000  # milliseconds; the reference cannot count beyond seven weeks
BETA, GAMMA = "/clients/beta_x_y", "/clients/gamma"
#: Clients that ask for their secrets, and their settings.
ASKING = {
    "plain": "",
    "permitted": "approval_delay = PT1H",
    "denied": "approval_delay = PT1H",
    "waits": "approval_delay = PT1S\napproved_by_default = yes",
    "waits_in_vain": "approval_delay = PT1S\napproved_by_default = no",
    "pair": "approval_delay = PT1H",
    "early": "approval_delay = PT1H\napproval_duration = PT1H",
    "pending": "approval_delay = PT3S",
    "removed": "checker = sleep 1000",
    "disabled": "enabled = no",
}

Act = Callable[[Stage], Awaitable[Any]]
ACTS: dict[str, Act] = {}


def act(function: Act) -> Act:
    """Add an act, under its name."""
    ACTS[function.__name__] = function
    return function


def setting(name: str, path: str, prop: str, signature: str, value: object) -> None:
    """Add an act that sets a property."""

    async def do(stage: Stage) -> object:
        return await stage.set(path, prop, signature, value), await stage.get(path, prop)

    ACTS[name] = do


def calling(name: str, path: str, interface: str | None, member: str, *rest: object) -> None:
    """Add an act that calls a method: its signature, then its arguments."""
    signature, *body = rest or ("",)

    async def do(stage: Stage) -> object:
        return await stage.call(path, interface, member, str(signature), *body)

    ACTS[name] = do


# The server's start


@act
async def start(stage: Stage) -> None:
    """Every client is told."""
    stage.server.start()
    await stage.peer.named()
    for path in (BETA, GAMMA, *(f"/clients/{name}" for name in ASKING)):
        await stage.heard("ClientAdded", path)


calling("get_all_clients", "/", MANDOS, "GetAllClients")
calling("get_all_clients_with_properties", "/", MANDOS, "GetAllClientsWithProperties")
calling("get_managed_objects", "/", MANAGER, "GetManagedObjects")
calling("get_all", BETA, PROPERTIES, "GetAll", "s", CLIENT)
calling("get_all_of_no_interface", BETA, PROPERTIES, "GetAll", "s", "")
calling("get_all_without_an_interface", BETA, None, "GetAll", "s", CLIENT)
for _path in ("/", "/clients", BETA):
    calling(f"introspect {_path}", _path, INTROSPECTABLE, "Introspect")
calling("ping", "/", "org.freedesktop.DBus.Peer", "Ping")
calling("machine_id", "/", "org.freedesktop.DBus.Peer", "GetMachineId")

# Enabled or not

setting("enable_the_enabled", BETA, "Enabled", "b", value=True)
setting("disable", BETA, "Enabled", "b", value=False)
setting("disable_the_disabled", BETA, "Enabled", "b", value=False)
calling("all_of_the_disabled", BETA, PROPERTIES, "GetAll", "s", CLIENT)
setting("enable", BETA, "Enabled", "b", value=True)
calling("method_disable", BETA, CLIENT, "Disable")
calling("method_disable_again", BETA, CLIENT, "Disable")
calling("method_enable", BETA, CLIENT, "Enable")
calling("method_enable_again", BETA, CLIENT, "Enable")
calling("method_checked_ok", BETA, CLIENT, "CheckedOK")
calling("method_without_an_interface", BETA, None, "CheckedOK")
calling("approve_nobody", BETA, CLIENT, "Approve", *("b", True))
calling("deny_nobody", BETA, CLIENT, "Approve", *("b", False))

# A restart


async def leave(stage: Stage) -> None:
    """The server ends."""
    stage.server.process.terminate()
    await stage.peer.until(lambda: not stage.peer.owner, "that the server left")


calling("before_the_restart", BETA, PROPERTIES, "GetAll", "s", CLIENT)


@act
async def restart(stage: Stage) -> None:
    """The server ends and starts."""
    await leave(stage)
    await start(stage)


calling("after_the_restart", BETA, PROPERTIES, "GetAll", "s", CLIENT)
calling("the_disabled_after_the_restart", GAMMA, PROPERTIES, "GetAll", "s", CLIENT)

# Settings

setting("host", BETA, "Host", "s", "x")
setting("host_again", BETA, "Host", "s", "x")
setting("host_odd", BETA, "Host", "s", "$(x) 'y' ü \u2028")
setting("host_none", BETA, "Host", "s", "")
setting("checker", BETA, "Checker", "s", "sleep 1000")
setting("timeout_longer", BETA, "Timeout", "t", 6 * WEEK)
setting("timeout_shorter", BETA, "Timeout", "t", 4 * WEEK)
setting("extended_timeout", BETA, "ExtendedTimeout", "t", 1)
setting("interval", BETA, "Interval", "t", 3 * WEEK)
setting("checker_stops_after_the_interval", BETA, "CheckerRunning", "b", value=False)
setting("interval_of_the_disabled", GAMMA, "Interval", "t", 3 * WEEK)
setting("timeout_of_the_disabled", GAMMA, "Timeout", "t", 6 * WEEK)
setting("approval_delay", BETA, "ApprovalDelay", "t", 3)
setting("approval_delay_int32", BETA, "ApprovalDelay", "i", 4)
setting("approval_delay_byte", BETA, "ApprovalDelay", "y", 0)
setting("approval_duration", BETA, "ApprovalDuration", "t", 5)
setting("approved_by_default_off", BETA, "ApprovedByDefault", "b", value=False)
setting("approved_by_default_on", BETA, "ApprovedByDefault", "b", value=True)
setting("last_checked_ok", BETA, "LastCheckedOK", "s", "")
setting("last_checked_ok_again", BETA, "LastCheckedOK", "s", "whatever it says")
setting("last_checked_ok_of_the_disabled", GAMMA, "LastCheckedOK", "s", "")
setting("secret", BETA, "Secret", "ay", b"sealed")

# Checkers


@act
async def checker_starts(stage: Stage) -> object:
    """By the property."""
    answer = await stage.set(BETA, "CheckerRunning", "b", value=True)
    await stage.heard("CheckerStarted", "sleep 1000")
    return answer


setting("checker_starts_again", BETA, "CheckerRunning", "b", value=True)
calling("method_start_checker_again", BETA, CLIENT, "StartChecker")
setting("checker_stops", BETA, "CheckerRunning", "b", value=False)
setting("checker_stops_again", BETA, "CheckerRunning", "b", value=False)


@act
async def method_start_checker(stage: Stage) -> object:
    """By the method."""
    answer = await stage.call(BETA, CLIENT, "StartChecker")
    await stage.heard("CheckerStarted", "sleep 1000")
    return answer


calling("checked_ok_while_it_runs", BETA, CLIENT, "CheckedOK")
calling("method_stop_checker", BETA, CLIENT, "StopChecker")
calling("method_stop_checker_again", BETA, CLIENT, "StopChecker")
ACTS["method_start_checker_once_more"] = method_start_checker
setting("disable_while_it_runs", BETA, "Enabled", "b", value=False)
setting("enable_after_that", BETA, "Enabled", "b", value=True)


def checking(name: str, path: str, command: str) -> None:
    """Add acts that let a checker run to its end."""
    setting(f"{name}_command", path, "Checker", "s", command)

    async def do(stage: Stage) -> object:
        answer = await stage.call(path, CLIENT, "StartChecker")
        await stage.heard("CheckerCompleted", path=path)
        # The reference takes its dates after this signal: they are there when it answers.
        await stage.get(path, "LastCheckedOK")
        return answer

    ACTS[name] = do


checking("checker_fails", BETA, "exit 3")
checking("checker_fails_again", BETA, "true; exit 3")
checking("checker_fails_otherwise", BETA, "exit 255")
checking("checker_succeeds", BETA, "exit 0")
checking("checker_succeeds_again", BETA, "true")
checking("checker_dies", BETA, "kill -9 $$")
checking("checker_succeeds_after_that", BETA, "exit 0; true")
checking("checker_of_the_disabled", GAMMA, "exit 4")
checking("checker_of_the_disabled_succeeds", GAMMA, "exit 0")


@act
async def expires(stage: Stage) -> object:
    """The timeout ends."""
    answer = await stage.set(BETA, "Timeout", "t", 1)
    await stage.changed(BETA, "Enabled", value=False)
    return answer


# Requests


@act
async def asks(stage: Stage) -> object:
    """A client gets its secret."""
    await stage.ask("plain")
    await stage.heard("GotSecret", path="/clients/plain")
    return await stage.served("plain")


@act
async def is_disabled(stage: Stage) -> None:
    """A disabled client asks."""
    await stage.ask("disabled")
    await stage.heard("Rejected", path="/clients/disabled")


@act
async def needs_approval(stage: Stage) -> None:
    """A client waits."""
    await stage.ask("permitted")
    await stage.heard("NeedApproval", path="/clients/permitted")


@act
async def is_approved(stage: Stage) -> object:
    """It gets its secret."""
    return await stage.give_verdict("permitted", approved=True), await stage.served("permitted")


@act
async def needs_approval_too(stage: Stage) -> None:
    """Another one waits."""
    await stage.ask("denied")
    await stage.heard("NeedApproval", path="/clients/denied")


@act
async def is_denied(stage: Stage) -> object:
    """It gets nothing."""
    return await stage.give_verdict("denied", approved=False)


@act
async def waits_for_the_default(stage: Stage) -> object:
    """Nobody decides, and the default permits."""
    await stage.ask("waits")
    await stage.heard("GotSecret", path="/clients/waits")
    await stage.changed("/clients/waits", "ApprovalPending", value=False)
    return await stage.served("waits")


@act
async def waits_in_vain(stage: Stage) -> None:
    """Nobody decides, and the default denies."""
    await stage.ask("waits_in_vain")
    await stage.heard("Rejected", path="/clients/waits_in_vain")
    await stage.changed("/clients/waits_in_vain", "ApprovalPending", value=False)


@act
async def is_approved_early(stage: Stage) -> object:
    """A client is approved before it asks."""
    await stage.call("/clients/early", CLIENT, "Approve", *("b", True))
    await stage.ask("early")
    await stage.heard("GotSecret", path="/clients/early")
    return await stage.served("early")


@act
async def two_wait(stage: Stage) -> None:
    """Two requests of one client."""
    await stage.ask("pair")
    await stage.heard("NeedApproval", path="/clients/pair")


@act
async def the_second_comes(stage: Stage) -> None:
    """The second of them."""
    await stage.ask("pair", number=2)
    await stage.heard("NeedApproval", path="/clients/pair")


@act
async def both_are_approved(stage: Stage) -> object:
    """Both get their secret."""
    answer = await stage.give_verdict("pair", approved=True)
    return answer, await stage.served("pair"), await stage.served("pair", number=2)


@act
async def is_disabled_while_it_waits(stage: Stage) -> object:
    """A client waits, and is disabled."""
    await stage.ask("pending")
    await stage.heard("NeedApproval", path="/clients/pending")
    answer = await stage.set("/clients/pending", "Enabled", "b", value=False)
    await stage.changed("/clients/pending", "ApprovalPending", value=False)
    return answer


@act
async def is_removed_while_checked(stage: Stage) -> object:
    """A client is removed whose checker runs."""
    await stage.call("/clients/removed", CLIENT, "StartChecker")
    await stage.heard("CheckerStarted", path="/clients/removed")
    return await stage.call("/", MANDOS, "RemoveClient", "o", "/clients/removed")


@act
async def asks_though_removed(stage: Stage) -> None:
    """Nobody knows it."""
    await stage.ask("removed")
    await stage.heard("ClientNotFound")


# Mistakes

WRONG: tuple[tuple[str, str, str, tuple[tuple[str, object], ...]], ...] = (
    ("duration", BETA, "ApprovalDuration",
     (("x", -5), ("d", 5.0), ("s", "5"), ("b", True), ("as", []), ("t", 1 << 63))),
    ("boolean", GAMMA, "ApprovedByDefault", (("i", 1), ("s", ""), ("d", 0.0))),
    ("text", GAMMA, "Host", (("i", 1), ("ay", b"x"), ("o", "/x"), ("as", ["x"]))),
    ("secret", GAMMA, "Secret", (("s", "x"), ("as", ["x"]), ("ai", [1]), ("ay", b""))),
)  # fmt: skip
for _what, _path, _name, _values in WRONG:
    for _value in _values:
        setting(f"error: {_what} {_value}", _path, _name, *_value)
setting("error: interval 0", GAMMA, "Interval", "t", 0)
for _text in ("%", "%(nope)s", "%(host)", "%d"):
    setting(f"error: checker {_text}", GAMMA, "Checker", "s", _text)
for _name in ("Name", "Expires", "KeyID", "ObjectPath", "Nope"):
    setting(f"error: set {_name}", GAMMA, _name, "s", "x")
calling("error: get Nope", GAMMA, PROPERTIES, "Get", "ss", CLIENT, "Nope")
calling("error: get Secret", GAMMA, PROPERTIES, "Get", "ss", CLIENT, "Secret")
calling("error: get of x.y", GAMMA, PROPERTIES, "Get", "ss", "x.y", "Name")
calling("error: get of no interface", GAMMA, PROPERTIES, "Get", "ss", "", "Name")
calling("error: get with one argument", GAMMA, PROPERTIES, "Get", "s", "Name")
calling("error: get all of x.y", GAMMA, PROPERTIES, "GetAll", "s", "x.y")
calling("error: get all of the server's", GAMMA, PROPERTIES, "GetAll", "s", MANDOS)
calling("error: properties of the root", "/", PROPERTIES, "GetAll", "s", MANDOS)
calling("error: unknown method", GAMMA, CLIENT, "Nope")
calling("error: unknown interface", GAMMA, "x.y", "Enable")
calling("error: too many arguments", GAMMA, CLIENT, "Enable", "s", "x")
calling("error: too few arguments", GAMMA, CLIENT, "Approve")
calling("error: other arguments", GAMMA, CLIENT, "Approve", "i", 1)
calling("error: unknown method of the server", "/", MANDOS, "Nope")
calling("error: a client's method at the root", "/", CLIENT, "Enable")
calling("error: unknown object", "/clients/nope", CLIENT, "Enable")
calling("error: unknown path", "/nothing", MANDOS, "GetAllClients")
calling("error: the clients' path", "/clients", MANDOS, "GetAllClients")
calling("error: introspect an unknown path", "/nothing", INTROSPECTABLE, "Introspect")
calling("error: remove an unknown client", "/", MANDOS, "RemoveClient", "o", "/clients/nope")
calling("error: remove by text", "/", MANDOS, "RemoveClient", "s", GAMMA)
calling("error: remove without an argument", "/", MANDOS, "RemoveClient")


# The end


@act
async def end(stage: Stage) -> None:
    """The server ends; the reference, after all that has been done to it, only by force."""
    if stage.server.family.name == "reference":
        stage.server.process.end()
    else:
        stage.server.process.terminate()
    await stage.peer.until(lambda: not stage.peer.owner, "that the server left")


@pytest.fixture(scope="module")
def both(
    _possible: None, keys_of: Callable[[Family], Credentials]
) -> tuple[dict[str, Recorded], dict[str, Recorded]]:
    """What came of all acts, with the reference's server and with ours."""
    keys = {name: another(keys_of(ours()), name) for name in ASKING}
    clients = PLAIN.format(beta="1" * 64, gamma="2" * 64, finger="A" * 40)
    for name, settings in ASKING.items():
        checker = "" if "checker" in settings else "checker = true\n"
        clients += f"{keys[name].section}\n{settings}\n{checker}"

    def run(family: Family) -> dict[str, Recorded]:
        return asyncio.run(play(family, clients, keys, ACTS))

    with ThreadPoolExecutor(2) as pool:
        theirs, own = pool.map(run, (reference(), ours()))
    return theirs, own


def unexplained(
    both: tuple[dict[str, Recorded], dict[str, Recorded]], but: Difference | None = None
) -> dict[str, tuple[list[str], list[str]]]:
    """The acts that differ by more than the list says, or than the list without one entry says."""
    rest: dict[str, tuple[list[str], list[str]]] = {}
    for name in ACTS:
        theirs, own = (deepcopy(side[name]) for side in both)
        try:
            for entry in DIFFERENCES:
                if entry is not but:
                    theirs, own = entry.without(name, theirs, own)
        except AssertionError:
            rest[name] = ([], [])
            continue
        if theirs != own:
            rest[name] = (told(theirs), told(own))
    return rest


def told(recorded: Recorded) -> list[str]:
    """An answer and the signals, a line for each."""
    return [str(recorded.answer), *map(str, recorded.signals)]


def test_differs_only_where_it_is_meant_to(
    both: tuple[dict[str, Recorded], dict[str, Recorded]],
) -> None:
    """Whatever one does to them, both servers answer the same and tell the same, in its order."""
    assert unexplained(both) == {}


@pytest.mark.parametrize("entry", DIFFERENCES, ids=[one.what for one in DIFFERENCES])
def test_every_difference_is_one(
    both: tuple[dict[str, Recorded], dict[str, Recorded]], entry: Difference
) -> None:
    """Without any entry of the list the servers differ; and the manual tells of each."""
    assert unexplained(both, but=entry)
    page = (Path(__file__).parents[2] / "docs" / "original.md").read_text(encoding="utf-8")
    assert entry.what in " ".join(page.split())
