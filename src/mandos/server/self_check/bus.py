# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the system bus lets the server have its name, and that Avahi will announce it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypedDict

from dbus_fast import BusType, DBusFastError, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from mandos.server.self_check.as_user import as_user
from mandos.server.self_check.findings import failed, not_checked, ok, warning
from mandos.server.self_check.network import check_multicast
from mandos.server.self_check.processes import title, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.system.privileges import ServerUser

NAME = "se.recompile.Mandos"
AVAHI = "org.freedesktop.Avahi"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_DO_NOT_QUEUE = 4
_RUNNING = 2  # AVAHI_SERVER_RUNNING, avahi-common/defs.h
_SECONDS = 5.0
DBUS, _ZEROCONF = "D-Bus", "Zeroconf"
_POLICY = (
    "put Mandos's bus policy into /usr/share/dbus-1/system.d/mandos.conf, then"
    " run: systemctl reload dbus"
)


class Facts(TypedDict):
    """The answer of the bus; a problem is empty when there was none."""

    problem: str
    owner: int | None
    owner_uid: int | None
    name_problem: str
    avahi_state: int | None
    avahi_problem: str


def check(settings: ServerSettings, user: ServerUser) -> Iterator[Finding]:
    """Ask the bus for the name, and for Avahi's state, as the server's user."""
    if not settings.use_dbus and not settings.zeroconf:
        return
    facts: Facts = as_user(user, lambda: asyncio.run(_ask(own_name=settings.use_dbus)))
    if settings.use_dbus:
        yield about_name(facts, user)
    if settings.zeroconf:
        yield about_avahi(facts, settings)


def about_name(facts: Facts, user: ServerUser) -> Finding:
    """Report whether the server can be administered over the bus."""
    if facts["problem"]:
        mend = "install and start dbus, or set use_dbus = no in mandos.conf"
        return warning(DBUS, f"cannot connect to the system bus: {facts['problem']}", mend)
    if facts["owner"] is not None:
        return _owned(facts["owner"], facts["owner_uid"], user)
    if not facts["name_problem"]:
        return ok(DBUS, f"the user {user.name} may own the name {NAME}")
    said = f"the user {user.name} may not own the name {NAME}: {facts['name_problem']}"
    if os.geteuid() != 0:
        return not_checked(DBUS, said)
    return failed(DBUS, said, _POLICY)


def _owned(process: int, uid: int | None, user: ServerUser) -> Finding:
    if uid == user.uid or os.geteuid() != 0:
        return ok(DBUS, f"a server owns the name {NAME}: {title(process)}")
    owner = "an unknown user" if uid is None else f"the user {user_name(uid)}"
    said = f"{title(process)} of {owner} owns the name {NAME}, so that {user.name} cannot"
    return warning(DBUS, said, "stop it before you start this server")


def about_avahi(facts: Facts, settings: ServerSettings) -> Finding:
    """Report whether Avahi or the server itself does the announcing, and whether that works."""
    if facts["avahi_problem"]:
        said = f"Avahi runs, but does not answer: {facts['avahi_problem']}"
        return warning(_ZEROCONF, said, "see: systemctl status avahi-daemon")
    if facts["avahi_state"] is None:
        return check_multicast(settings, "Avahi is not on the system bus")
    if facts["avahi_state"] != _RUNNING:
        said = f"Avahi runs, but is not ready (state {facts['avahi_state']})"
        return warning(_ZEROCONF, said, "see: systemctl status avahi-daemon")
    return ok(_ZEROCONF, "Avahi announces the server")


async def _ask(*, own_name: bool) -> Facts:
    facts = Facts(
        problem="", owner=None, owner_uid=None, name_problem="", avahi_state=None, avahi_problem=""
    )
    try:
        async with asyncio.timeout(_SECONDS):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except TimeoutError:
        facts["problem"] = f"no answer within {_SECONDS:g} s"
    except (OSError, EOFError, DBusFastError) as error:
        facts["problem"] = getattr(error, "strerror", None) or str(error)
    else:
        await _ask_about_avahi(bus, facts)
        if own_name:
            await _ask_for_name(bus, facts)
    return facts


async def _ask_for_name(bus: MessageBus, facts: Facts) -> None:
    """Ask for the owner of the name; when there is none, own the name for a moment."""
    owner, problem = await _call(bus, "GetConnectionUnixProcessID", "s", NAME)
    if not problem:
        facts["owner"] = owner
        facts["owner_uid"], _problem = await _call(bus, "GetConnectionUnixUser", "s", NAME)
        return
    _answer, facts["name_problem"] = await _call(bus, "RequestName", "su", NAME, _DO_NOT_QUEUE)
    if not facts["name_problem"]:
        await _call(bus, "ReleaseName", "s", NAME)


async def _ask_about_avahi(bus: MessageBus, facts: Facts) -> None:
    """Ask Avahi for its state, without starting it."""
    there, _problem = await _call(bus, "NameHasOwner", "s", AVAHI)
    if there:
        state = Message(AVAHI, "/", f"{AVAHI}.Server", "GetState", flags=MessageFlag.NO_AUTOSTART)
        facts["avahi_state"], facts["avahi_problem"] = await _send(bus, state)


async def _call(bus: MessageBus, member: str, signature: str, *body: object) -> tuple[Any, str]:
    """Call a method of the bus itself; returns its answer and an error, one of them empty."""
    call = Message(_BUS, _BUS_PATH, _BUS, member, signature=signature, body=list(body))
    return await _send(bus, call)


async def _send(bus: MessageBus, message: Message) -> tuple[Any, str]:
    try:
        async with asyncio.timeout(_SECONDS):
            reply = await bus.call(message)
    except TimeoutError:
        return None, f"no answer within {_SECONDS:g} s"
    first = reply.body[0] if reply.body else None
    if reply.message_type != MessageType.ERROR:
        return first, ""
    return None, " ".join(str(first or reply.error_name).split())
