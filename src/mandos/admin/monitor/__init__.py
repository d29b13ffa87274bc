# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-monitor: the server's clients live on a terminal, and a key for every action.

``model``, ``row``, ``view``, ``messages``, ``columns``, ``facts`` and ``words`` know no screen and
take ``now``; ``session`` keeps the connection, ``acts`` are the calls; ``app`` wires them to the
widgets, one in each other file.
"""
