# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What survives a restart: the database, the list of disabled clients, and their restoration."""
