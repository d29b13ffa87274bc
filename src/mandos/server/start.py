# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the server: everything that needs root, in its order, before the event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mandos.errors import MandosError
from mandos.server import daemon, privileges
from mandos.server.background import Background
from mandos.server.boot_id import LastBoot
from mandos.server.clients_conf import load_clients
from mandos.server.clock import Clock
from mandos.server.registry import Registry
from mandos.server.service_manager import ServiceManager
from mandos.server.sockets import open_socket
from mandos.server.state import restore
from mandos.server.store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mandos.server.clients_conf import ClientSettings
    from mandos.server.settings import ServerSettings

log = logging.getLogger(__name__)

#: Files of the server are its user's alone.
_UMASK = 0o077


def start(settings: ServerSettings, complain: Callable[[MandosError], int]) -> None:
    """Serve in the foreground, or in the background with a PID file; returns when told to end.

    ``complain`` shows an error to whoever started the server, and returns the exit status.
    """
    if settings.foreground:
        _serve(settings, _nobody)
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
    """Everything that needs root happens here, before the event loop starts."""
    os.umask(_UMASK)
    gc.disable()  # whatever is made from now on, until all clients are there, stays
    manager = ServiceManager.from_environment(os.environ)
    if manager.passed_sockets and settings.socket is None:
        settings = replace(settings, socket=manager.passed_sockets[0])
    configured = load_clients(settings.configdir)
    if not configured:
        log.warning("there are no clients in %s", settings.configdir)
    privileges.allow_many_descriptors()
    privileges.make_state_directory(settings.statedir, privileges.server_user())
    listening = open_socket(settings)
    daemon.load(settings)
    privileges.give_up_root()
    store = Store(settings.statedir, settings.audit_records)
    try:
        parts = _parts(settings, configured, store, listening, manager)
        asyncio.run(daemon.run(settings, parts, lambda: _begin(ready)))
    finally:
        store.close()


def _begin(ready: Callable[[], None]) -> None:
    """From now on garbage is looked for, but not among what has come to stay."""
    gc.freeze()
    gc.enable()
    ready()


def _parts(
    settings: ServerSettings,
    configured: list[ClientSettings],
    store: Store,
    listening: socket.socket,
    manager: ServiceManager,
) -> daemon.Parts:
    clock = Clock()
    if not settings.restore:
        store.forget()
    boot = LastBoot(settings.statedir)
    state = replace(store.load(configured), rebooted=boot.is_another)
    begin = restore(configured, state, clock.now())
    for name in begin.removed:
        log.info("client %s was removed: it comes back when its section is changed", name)
    registry = Registry(begin.clients, begin.removed)
    return daemon.Parts(registry, clock, store, begin, listening, manager, boot)


def _nobody() -> None:
    """Who waits for a server in the foreground."""
