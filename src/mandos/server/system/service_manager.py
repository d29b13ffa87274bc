# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to the service manager that started us, if one did: sd_notify(3), sd_listen_fds(3).

We send it our status by datagram, take its sockets, and send it a sign of life from time to time
(sd_watchdog_enabled(3)).  Without a manager everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_VARIABLES = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
    "RUNTIME_DIRECTORY",
)  # fmt: skip
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_DIGITS = 19  # as many fit into 64 bits
#: Bytes of a status text; the manager reads 4096 of a message.
_STATUS_LIMIT = 1024
#: Seconds that a message may wait for a busy manager; then it is dropped.
_PATIENCE = 0.5
_ONE_SOCKET = "name one ListenStream= in the socket unit, and no other Listen...="


class ServiceManager:
    """The service manager that started us, if any; built once, from the environment.

    ``watchdog_interval`` is the seconds between two calls of ``watchdog``: half the time after
    which the manager takes us for dead; None when it does not watch.  ``passed_sockets`` are the
    descriptors of the listening sockets that it opened for us, none or one.
    ``runtime_directory`` is the directory that it made for us, if it did.
    """

    def __init__(
        self,
        address: bytes | None = None,
        watchdog_interval: float | None = None,
        passed_sockets: tuple[int, ...] = (),
        runtime_directory: Path | None = None,
    ) -> None:
        self.watchdog_interval: Final = watchdog_interval
        self.passed_sockets: Final = passed_sockets
        self.runtime_directory: Final = runtime_directory
        self._address = address
        self._socket = None if address is None else _datagram_socket()

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Take the manager's variables out of the environment, where checkers must not find them.

        Raises AdministratorError when it passed us something other than one listening socket.
        """
        told = {name: environ.pop(name, "") for name in _VARIABLES}
        return cls(
            _address(told["NOTIFY_SOCKET"]),
            _watchdog_interval(told["WATCHDOG_USEC"], told["WATCHDOG_PID"]),
            _passed_sockets(told["LISTEN_PID"], told["LISTEN_FDS"]),
            runtime_directory(told),
        )

    def ready(self, status: str) -> None:
        """Report that we serve, at start and again after a reload."""
        self._tell("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Send our status for ``systemctl status``: one line, cut to 1024 bytes."""
        self._tell(_status(text))

    def reloading(self) -> None:
        """Report that we read the configuration again; ``ready`` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that we are about to end."""
        self._tell("STOPPING=1")

    def watchdog(self) -> None:
        """Send a sign of life."""
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later reports are dropped."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _tell(self, *assignments: str) -> None:
        """Send these as one message; a manager that does not receive it is no error."""
        if self._socket is None or self._address is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(assignments).encode(), self._address)


def runtime_directory(environ: Mapping[str, str]) -> Path | None:
    """Return the directory that systemd has made for us: systemd.exec(5), RuntimeDirectory=."""
    name = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(name) if name.startswith("/") else None


def _datagram_socket() -> socket.socket:
    sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sending.settimeout(_PATIENCE)
    return sending


def _address(name: str) -> bytes | None:
    """Return the address of a path, or of an abstract name after an at sign; None for others."""
    if not name.startswith(("/", "@")):
        return None
    address = os.fsencode(name)
    return b"\0" + address[1:] if name.startswith("@") else address


def _status(text: str) -> str:
    line = " ".join(text.split()).encode(errors="replace")[:_STATUS_LIMIT]
    return "STATUS=" + line.decode(errors="ignore")


def _number(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if plain else None


def _watchdog_interval(microseconds: str, pid: str) -> float | None:
    if pid and _number(pid) != os.getpid():
        return None
    return (_number(microseconds) or 0) / 2e6 or None


def _passed_sockets(pid: str, count: str) -> tuple[int, ...]:
    if _number(pid) != os.getpid():
        return ()
    passed = _number(count)
    if passed is None or passed > 1:
        raise AdministratorError(
            f"the service manager passed {count} sockets, not one", _ONE_SOCKET
        )
    if not passed:
        return ()
    _check_listening(_FIRST_DESCRIPTOR)
    os.set_inheritable(_FIRST_DESCRIPTOR, False)  # noqa: FBT003 - its only parameter
    return (_FIRST_DESCRIPTOR,)


def _check_listening(descriptor: int) -> None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as passed:
            listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            internet = passed.family in (socket.AF_INET, socket.AF_INET6)
            stream = passed.type == socket.SOCK_STREAM
    except OSError as error:
        raise AdministratorError(
            f"the service manager passed no open socket: {error.strerror}", _ONE_SOCKET
        ) from error
    if not (listens and internet and stream):
        raise AdministratorError(
            "the service manager passed a socket that is no listening TCP socket", _ONE_SOCKET
        )
