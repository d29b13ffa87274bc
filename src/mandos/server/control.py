# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload with an answer: ``mandos --reload`` asks the server through a Unix socket.

A signal has no answer, ``Type=notify-reload`` needs systemd 253, and D-Bus may be off.  The socket
is in the directory that systemd makes for the service, /run/mandos.  A request is one line.  The
answer has an exit status in its first line, and messages for people in the others.
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
    """The result of a reload: the exit status, and the lines for a person."""

    status: int
    lines: list[str]


class Control:
    """Answers requests for a reload from root and from the server's own user."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._server: asyncio.Server | None = None

    async def start(self, directory: Path) -> None:
        """Listen; if that fails, the server logs it and goes on without this socket."""
        path = directory / _NAME
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path)
        except OSError as error:
            log.warning(
                "cannot make %s: %s: systemctl reload will not work, send SIGHUP instead",
                *(path, error.strerror),
            )

    async def stop(self) -> None:
        """Stop listening."""
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
    """Ask the server to reload, and wait for its answer; raises MachineError without an answer."""
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
            f"cannot ask the server through {path} to reload: {error.strerror or error}",
            "is it running, and started by systemd? else send it SIGHUP, or: mandos-ctl --reload",
        ) from error
    status, *lines = answer.decode(errors="replace").splitlines() or [""]
    if not status.isdigit():
        raise MachineError(
            f"the server gave no answer to the reload request at {path}",
            "run this as root, or see the server's log: journalctl -u mandos",
        )
    return Answer(int(status), lines)
