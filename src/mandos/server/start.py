# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the server: everything that needs root, in its order, before the event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mandos.errors import MachineError, MandosError
from mandos.server import daemon
from mandos.server.config.clients_conf import read_clients
from mandos.server.life.absence import Absence
from mandos.server.life.registry import Registry
from mandos.server.requests.sockets import open_socket
from mandos.server.sharing.beginning import begin
from mandos.server.state.boot_id import LastBoot
from mandos.server.state.moving import refuse_moved
from mandos.server.state.opening import claim_state, load_shared, prepare_shared
from mandos.server.state.restore import restore
from mandos.server.system import privileges
from mandos.server.system.background import Background
from mandos.server.system.machine_clock import common_clock, elapsed, machine_clock
from mandos.server.system.service_manager import ServiceManager

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mandos.server.config.clients_conf import Reading
    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.life.clock import Clock
    from mandos.server.state.store import StateStore

log = logging.getLogger(__name__)

#: Files of the server are its user's alone.
_UMASK = 0o077
#: Names of skipped clients that one line of the log may have, and characters of each.
_NAMES_SHOWN, _NAME_SHOWN = 100, 80


def start(settings: ServerSettings, complain: Callable[[MandosError], int]) -> None:
    """Serve in the foreground, or in the background with a PID file; returns when told to end.

    ``complain`` prints an error where the server was started, and returns the exit status.
    """
    if settings.foreground:
        _serve(settings, _nothing)
        return
    pid_file = privileges.PidFile()
    background = Background()

    def ready() -> None:
        pid_file.write()
        background.ready()

    try:
        _serve(settings, ready)
    except MandosError as error:
        background.failed(complain(error))


def _serve(settings: ServerSettings, ready: Callable[[], None]) -> None:
    """Do everything that needs root, give it up, and run the event loop."""
    os.umask(_UMASK)
    gc.disable()  # all objects that are made until the clients are there stay
    manager = ServiceManager.from_environment(os.environ)
    if manager.passed_sockets and settings.socket is None:
        settings = replace(settings, socket=manager.passed_sockets[0])
    configured = _sound_clients(settings)
    privileges.allow_many_descriptors()
    user = privileges.server_user()
    privileges.make_state_directory(settings.statedir, user)
    listening = open_socket(settings)
    open_store = claim_state(settings.statedir, settings.audit_records, user.uid)
    if settings.state:
        load_shared()
    else:
        refuse_moved(settings.statedir)
    daemon.load(settings)
    privileges.give_up_root()
    store = open_store()
    try:
        parts = _parts(settings, configured, store, listening, manager)
        asyncio.run(daemon.run(settings, parts, lambda: _begin(ready)))
    finally:
        store.close()


def _sound_clients(settings: ServerSettings) -> Reading:
    """Return the clients of the files, without those that mistakes concern; logs the mistakes."""
    reading = read_clients(settings.configdir)
    for problem in reading.problems:
        log.error("%s", problem)
    if reading.problems:
        names = ", ".join(f"{name:.{_NAME_SHOWN}}" for name in reading.skipped[:_NAMES_SHOWN])
        log.error(
            "skipped because of mistakes in the configuration: %s; mend them, then reload"
            " (systemctl reload mandos); what is known of these clients is kept",
            names or "clients that cannot be read",
        )
    elif not reading.clients:
        log.warning(
            "there are no clients in %s: run mandos-keygen --password on a client, and copy its"
            " output into clients.conf",
            settings.configdir,
        )
    return reading


def _begin(ready: Callable[[], None]) -> None:
    """Turn garbage collection on, except for the objects that exist now, which stay."""
    gc.freeze()
    gc.enable()
    ready()


def _parts(
    settings: ServerSettings,
    configured: Reading,
    store: StateStore,
    listening: socket.socket,
    manager: ServiceManager,
) -> daemon.Parts:
    boot, wanted = LastBoot(settings.statedir), store
    mistakes = len(configured.problems)
    if settings.state:
        shared = prepare_shared(
            *(settings.statedir, settings.state, settings.server_name, settings.audit_records),
            elapsed,
        )
        beginning = begin(shared, store, configured.clients, elapsed())
        state, wanted = beginning.state, shared.store
        members = daemon.SharedParts(shared, store, beginning)
        clock: Clock = common_clock(beginning.moment)
    else:
        if not settings.restore:
            _forget(store)
        state, members, clock = store.load(configured.clients), None, machine_clock()
    state = replace(state, rebooted=boot.is_another)
    restored = restore(configured.clients, state, clock.now())
    for name in restored.removed.keys() - state.damaged:
        log.info("client %s was removed: it comes back when its section is changed", name)
    absence = Absence(restored.absent, restored.listed)
    registry = Registry(restored.clients, restored.removed, absence)
    return daemon.Parts(
        *(registry, clock, wanted, restored, listening, manager, boot, mistakes), members
    )


def _forget(store: StateStore) -> None:
    """Forget the saved state; when that fails, log it: the state then stays in force."""
    try:
        store.forget()
    except MachineError as error:
        log.error("cannot forget the saved state, which stays: %s", error)  # noqa: TRY400 - expected


def _nothing() -> None:
    """Default for ``ready``, in the foreground: no process waits."""
