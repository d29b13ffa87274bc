# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the server can listen on its port; if not, names the program that does so already."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from mandos.errors import MachineError
from mandos.server.requests.sockets import open_socket
from mandos.server.self_check.findings import failed, not_checked, ok, warning
from mandos.server.self_check.processes import is_mandos, listeners, title, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.self_check.processes import Listener

PORT = "port"
_SERVICE_MANAGER = 1
_OWN_USERS = ("_mandos", "mandos")


def check(settings: ServerSettings) -> Iterator[Finding]:
    """Listen for a moment, as the server will; like the server, this needs root for low ports."""
    if settings.socket is not None:
        yield _inherited(settings.socket)
        return
    where = f"port {settings.port}" if settings.port else "a free port"
    try:
        open_socket(settings).close()
    except MachineError as error:
        yield from _refused(settings, error)
    else:
        yield ok(PORT, f"the server can listen on {settings.address or 'any address'}, {where}")


def _inherited(descriptor: int) -> Finding:
    what = f"--socket {descriptor}"
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            kind, family = sock.type, sock.family
    except OSError as error:
        mend = "name a descriptor that the program inherits, such as 3"
        return failed(PORT, f"{what} is not an open socket: {error.strerror}", mend)
    if kind != socket.SOCK_STREAM or family not in (socket.AF_INET, socket.AF_INET6):
        return failed(PORT, f"{what} is not a TCP socket", "bind it to a TCP port")
    return ok(PORT, f"{what} is a TCP socket")


def _refused(settings: ServerSettings, error: MachineError) -> Iterator[Finding]:
    cause = error.__cause__
    reason = cause.errno if isinstance(cause, OSError) else None
    found = listeners(settings.port) if reason == errno.EADDRINUSE else []
    if reason == errno.EACCES and os.geteuid() != 0:
        yield not_checked(PORT, f"only root may listen on port {settings.port}")
    elif not found:
        yield failed(PORT, str(error), error.hint or "")
    for listener in found:
        yield _held(settings.port, listener)


def _held(port: int, listener: Listener) -> Finding:
    if listener.process is None:
        user = user_name(listener.uid)
        said = f"port {port} is in use by a program of the user {user}; only root can see its name"
        if user in _OWN_USERS:
            return warning(PORT, said, "do nothing if that is the server")
        return failed(PORT, said, "stop that program, or choose another port")
    said = f"port {port} is in use by {title(listener.process)}"
    if is_mandos(listener.process):
        return warning(PORT, f"{said}, a Mandos server", "stop it before you start another")
    if listener.process == _SERVICE_MANAGER:
        mend = "see: systemctl list-sockets; do nothing if a socket unit for mandos has the port"
        return warning(PORT, said, mend)
    return failed(PORT, said, "stop that program, or choose another port")
