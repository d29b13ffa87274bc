# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-keygen --rotate: replaces a client's keys in steps that keep the next boot possible."""
