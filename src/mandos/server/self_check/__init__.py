# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``mandos --check``: tests whether the server can do its work on this machine, as it is set up.

Every check does the real thing, as the user that the server becomes, and leaves nothing behind.
The server itself does not import this package.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mandos.errors import MandosError
from mandos.server.self_check import (
    bus,
    checkers,
    configuration,
    database,
    gnutls,
    machine,
    network,
    port,
    state,
)
from mandos.server.self_check.findings import Finding, Outcome, failed, not_checked, report
from mandos.server.system.privileges import server_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.client_settings import ClientSettings
    from mandos.server.config.server_conf import ServerSettings

__all__ = ["Finding", "Outcome", "report", "run"]


def run(settings: ServerSettings) -> list[Finding]:
    """Run all checks; takes seconds, and as root needs the right to become the server's user."""
    with _silence():
        return list(_findings(settings))


def _findings(settings: ServerSettings) -> Iterator[Finding]:
    user = server_user()
    clients: list[ClientSettings] = []
    yield from machine.check_user(user)
    yield from _guarded(machine.PYTHON, machine.check_python(user))
    yield from _guarded(gnutls.GNUTLS, gnutls.check(settings.priority))
    yield from _guarded(configuration.MAIN, configuration.check_notices(settings))
    found = configuration.check(settings.configdir, user, clients)
    yield from _guarded(configuration.CLIENTS, found)
    yield from _guarded(state.DIRECTORY, state.check(settings, user, clients))
    yield from _guarded(database.DATABASE, database.check(settings, user, clients))
    yield from _guarded(bus.DBUS, bus.check(settings, user))
    yield from _guarded(network.INTERFACE, network.check(settings))
    yield from _guarded(port.PORT, port.check(settings))
    yield from _guarded(checkers.CHECKERS, checkers.check(clients, user))
    yield from machine.check_descriptors(settings, len(clients))


def _guarded(what: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check; an error that ends the check becomes a finding."""
    try:
        yield from found
    except (MandosError, OSError) as error:
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            yield not_checked(what, str(error))
        else:
            yield failed(what, f"the check stopped with an error: {error}", "")


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the log of the server's modules meanwhile: the findings have its contents."""
    log = logging.getLogger("mandos")
    before, log.propagate = log.propagate, False
    nothing = logging.NullHandler()
    log.addHandler(nothing)
    try:
        yield
    finally:
        log.removeHandler(nothing)
        log.propagate = before
