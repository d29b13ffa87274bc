# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the initial RAM disk beside the client, and what has to be in there.

The programs that hold a password prompt and the client together (plugin-runner, password-agent),
the plugins, and the list of files that an image needs.  As for the client: only cheap imports.
"""
