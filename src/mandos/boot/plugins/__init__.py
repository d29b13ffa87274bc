# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugins: small programs that ask for the password in one way each.

A plugin prints the password and exits with 0, or exits with anything else.  It ends cleanly on
SIGTERM, since another plugin may be first: docs/plugins.md.
"""
