# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mandos client: finds servers, fetches the sealed password, opens it and prints it.

``settings`` is the command line, ``attempt`` one conversation with one server, ``fetch`` the loop
that holds them all, ``main`` the program.  Runs once per boot: only cheap imports, no asyncio.
"""
