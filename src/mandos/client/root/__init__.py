# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The half of the client that keeps root's privileges; it reads nothing from the network."""
