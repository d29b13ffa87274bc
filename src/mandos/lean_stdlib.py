# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``signal`` and ``socket`` without their enumerations, for early boot.

The standard library's modules wrap the interpreter's built-in parts into enumerations: 7 ms of
the 20 that the client's start once took, at every boot.  Here are the built-in parts themselves:
the same functions, numbers instead of enumerations, sockets that are no context managers and
have no ``accept``, ``makefile`` or ``sendfile``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    import _signal as signal
    import _socket as socket

__all__ = ["signal", "socket"]
