# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-check: says before a reboot whether this machine will come back by itself."""
