# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mandos client: finds servers, fetches the encrypted password, decrypts it and prints it.

``main`` is the program and ``settings`` its command line.  ``root`` and ``root_helper`` do the
little that needs root.  All else happens without rights: ``unprivileged.search`` finds servers,
``unprivileged.attempt`` is a conversation with one, ``unprivileged.servers`` chooses among all.
The client runs once per boot: only cheap imports, no asyncio.
"""
