# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves clients' connections, step by step: accept, handshake, judgement, secret."""
