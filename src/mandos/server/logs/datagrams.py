# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends log lines to a daemon of this machine, as datagrams to a Unix socket.

The daemon may be stopped, restarted or stuck, and none of that may stop the server.  Lines that
cannot be sent are dropped and counted.  The number is logged when lines get through again.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import logging
import os
import socket
from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Seconds that a line may wait for a full queue; the next ones do not wait while it stays full.
PATIENCE = 0.05

#: Not connected yet, or the listener is gone.
_NOBODY = (errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Outlet:
    """Sends datagrams to one socket, whose listener may come and go.

    One descriptor is held from the beginning, so that logging works when none is left; and it is
    connected at once, since a server that has given up root may have no right to do so.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            self._socket.connect(self._path)

    def send(self, datagram: bytes) -> bool:
        """Send it, or return False; it goes in a sealed memfd when it is too large by itself."""
        try:
            self._send([datagram], [])
        except OSError as error:
            return error.errno == errno.EMSGSIZE and self._send_large(datagram)
        return True

    def close(self) -> None:
        """Free the descriptor."""
        self._socket.close()

    def _send(self, data: list[bytes], control: list[tuple[int, int, array.array[int]]]) -> None:
        """Send to the present listener.  Raises OSError, TimeoutError while the queue is full."""
        try:
            try:
                self._socket.sendmsg(data, control)
            except OSError as error:
                if error.errno not in _NOBODY:
                    raise
                self._socket.connect(self._path)
                self._socket.sendmsg(data, control)
        except (TimeoutError, BlockingIOError):
            self._socket.settimeout(0)
            raise
        if not self._socket.gettimeout():
            self._socket.settimeout(PATIENCE)

    def _send_large(self, datagram: bytes) -> bool:
        with contextlib.suppress(OSError):
            memory = os.memfd_create("log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                with open(memory, "wb", closefd=False) as file:
                    file.write(datagram)
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
                rights = array.array("i", [memory])
                self._send([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            finally:
                os.close(memory)
            return True
        return False


class OutletHandler(logging.Handler):
    """Sends every log line through an outlet and reports how many were lost."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._outlet = Outlet(path)
        self._lost = 0

    @abstractmethod
    def datagrams(self, line: logging.LogRecord) -> Iterable[bytes]:
        """A line in the daemon's format, at once or in pieces."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; the logging module reports a defect in it."""
        try:
            datagrams = list(self.datagrams(record))
        except Exception:  # noqa: BLE001 - handleError shows it
            self.handleError(record)
            return
        if self._lost and self._sent(self.datagrams(_loss(self._lost))):
            self._lost = 0
        if not self._sent(datagrams):
            self._lost += 1

    def _sent(self, datagrams: Iterable[bytes]) -> bool:
        return all(self._outlet.send(datagram) for datagram in datagrams)

    def close(self) -> None:
        """Free the descriptor."""
        self._outlet.close()
        super().close()


def _loss(number: int) -> logging.LogRecord:
    text = "%d lines of the log could not be written and are lost"
    where = (__name__, logging.WARNING, __file__, 0)
    return logging.LogRecord(*where, text, (number,), None)
