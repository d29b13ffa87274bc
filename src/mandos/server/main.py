# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos: manual page mandos(8)."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.discovery import announce
from mandos.errors import MandosError
from mandos.server import daemon, logs, privileges
from mandos.server.client import Client
from mandos.server.clients_conf import load_clients
from mandos.server.registry import Registry
from mandos.server.settings import load
from mandos.server.sockets import open_socket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.server.settings import ServerSettings

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    try:
        settings = load(sys.argv[1:] if arguments is None else arguments)
        logs.set_up(settings.log_level, foreground=settings.foreground)
        for notice in settings.notices:
            log.info(notice)
        _serve(settings)
    except MandosError as error:
        for line in error.lines():
            print(f"mandos: {line}", file=sys.stderr)  # noqa: T201 - it is for a person
        return error.exit_code
    return 0


def _serve(settings: ServerSettings) -> None:
    """Everything that needs root happens here, before the event loop starts."""
    now = datetime.now(UTC)
    clients = load_clients(settings.configdir / "clients.conf")
    registry = Registry(Client(client, now, watched=False) for client in clients)
    log.warning("this version does not check its clients: one that vanishes is not disabled")
    if not clients:
        log.warning("there are no clients in %s", settings.configdir / "clients.conf")
    privileges.allow_many_descriptors()
    listening = open_socket(settings)
    if not settings.foreground:
        pid_file = privileges.PidFile()
        privileges.go_to_background()
        pid_file.write()
    if settings.zeroconf:
        announce.load()
    privileges.give_up_root()
    asyncio.run(daemon.run(settings, registry, listening))
