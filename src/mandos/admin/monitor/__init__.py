# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-monitor: shows the server's clients live on a terminal, with a key for every action.

``model``, ``row``, ``view``, ``messages``, ``columns`` and ``detail_lines`` know no
screen and get the time as a parameter.  ``session`` keeps the connection, ``acts`` are the calls.
``app`` wires them to the widgets, of which each other file has one.
"""
