# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's configuration: reads mandos.conf, clients.conf and clients.d."""
