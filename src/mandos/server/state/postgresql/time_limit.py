# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a connection whose server does not answer.

The database's own limits do not help when its processes are stopped or its disk hangs: the kernel
of its machine still acknowledges every packet.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection


@contextmanager
def time_limit(connection: Connection[Any], seconds: float) -> Iterator[None]:
    """Shut the connection's socket when the block takes longer, so that it fails.

    The block then raises psycopg.OperationalError.
    """
    timer = Timer(seconds, _shut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(connection: Connection[Any]) -> None:
    with suppress(Exception), socket.fromfd(connection.fileno(), 0, 0) as shared:
        shared.shutdown(socket.SHUT_RDWR)
