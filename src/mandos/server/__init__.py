# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: keeps the clients' encrypted passwords, and decides about requests for them.

A request comes in through ``requests/listener.py`` and ``requests/connection.py``.  Then
``requests/judge.py`` asks ``life/registry.py`` for the client with that key, and the client
(``life/client.py``), a pure object, decides.  Its events (``life/events.py``) tell the other parts
all that they need.  ``config`` reads the administrator's files, and ``daemon.py`` wires everything.
Must not import ``mandos.client`` or ``mandos.admin``.
"""
