# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends an answer to the asker's socket: one datagram of a plus sign and the password."""

from __future__ import annotations

import errno

from mandos.errors import PeerError
from mandos.lean_stdlib import socket

#: The first byte of an answer; a minus sign would mean that a person refuses to give one.
_HERE_IT_IS = b"+"


class DeliveryError(PeerError):
    """The answer did not arrive; ``hopeless`` when trying again cannot help."""

    def __init__(self, error: OSError) -> None:
        full = isinstance(error, BlockingIOError)
        super().__init__("its socket is full" if full else str(error.strerror))
        self.hopeless = error.errno == errno.EMSGSIZE


def deliver(path: bytes, password: memoryview) -> None:
    """Send an answer without waiting.  Raises DeliveryError when the socket is full or gone."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sender.setblocking(False)  # noqa: FBT003 - the name says it
        sender.sendmsg([_HERE_IT_IS, password], [], 0, path)
    except OSError as error:
        raise DeliveryError(error) from error
    finally:
        sender.close()
