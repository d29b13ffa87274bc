# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots this machine's own kernel and initial RAM disk in a throw-away virtual machine."""
