# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload whose success is known: ``mandos --reload`` asks the server by a Unix socket.

A signal has no answer, ``Type=notify-reload`` needs systemd 253, and D-Bus may be off.  The socket
is in the directory that systemd makes for the service, /run/mandos.  A request is one line; the
answer is an exit status in the first line, and what there is to say in the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import MachineError
from mandos.server.system.service_manager import runtime_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mandos.server.reload import Reloader

log = logging.getLogger(__name__)

_DEFAULT = "/run/mandos"
_NAME = "control"
_REQUEST = b"reload\n"
#: Seconds for a request to come in.
_PATIENCE = 5.0
#: Seconds that a reload may take: less than systemd's own 90, so that the error is ours.
_RELOAD_TIME = 80.0
_ANSWER_LIMIT = 1 << 16
_CREDENTIALS = struct.Struct("3i")  # struct ucred: unix(7)


class Answer(NamedTuple):
    """How a reload went: the exit status, and the lines for a person."""

    status: int
    lines: list[str]


class Control:
    """Answers requests for a reload from root and from the server's own user."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._server: asyncio.Server | None = None

    async def start(self, directory: Path) -> None:
        """Listen; when that is impossible the log says so, and the server goes on without."""
        path = directory / _NAME
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path)
        except OSError as error:
            log.warning("systemctl reload will not work: cannot make %s: %s", path, error.strerror)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _may_ask(writer.get_extra_info("socket")):
                await self._answer(reader, writer)
        except (OSError, TimeoutError, ValueError):
            log.debug("a request for a reload was cut off")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_PATIENCE):
            request = await reader.readline()
        if request != _REQUEST:
            return
        error = await self._reloader.try_to_reload()
        # After an error of the machine all is in force, but not saved.
        status = 0 if error is None or isinstance(error, MachineError) else error.exit_code
        lines = [] if error is None else error.lines()
        writer.write("\n".join([str(status), *lines, ""]).encode()[:_ANSWER_LIMIT])
        await writer.drain()


def _may_ask(peer: socket.socket) -> bool:
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(data)
    return uid in (0, os.geteuid())


def ask(environ: Mapping[str, str]) -> Answer:
    """Have the server reload, and wait for that; raises MachineError when it does not answer."""
    path = (runtime_directory(environ) or Path(_DEFAULT)) / _NAME
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_RELOAD_TIME)
            asking.connect(str(path))
            asking.sendall(_REQUEST)
            while piece := asking.recv(_ANSWER_LIMIT):
                answer += piece
    except OSError as error:
        raise MachineError(
            f"cannot ask the server by {path} to reload: {error.strerror or error}",
            "is it running, and started by systemd? else send it SIGHUP, or: mandos-ctl --reload",
        ) from error
    status, *lines = answer.decode(errors="replace").splitlines() or [""]
    if not status.isdigit():
        raise MachineError("the server did not reload", "see its log: journalctl -u mandos")
    return Answer(int(status), lines)
