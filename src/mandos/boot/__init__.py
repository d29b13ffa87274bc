# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the initial RAM disk beside the client, and the list of files it needs.

The programs that hold a password prompt and the client together (plugin-runner, password-agent),
the plugins, and the list of files that an image needs.  As in the client, all imports are cheap.
"""
