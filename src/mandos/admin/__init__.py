# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs for administrators.

They see the server through its D-Bus interface and its files only, never through its modules.
"""
