# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-ctl: manual page mandos-ctl(8).

``command_line`` reads and checks the options, ``main`` carries them out.  ``table`` makes the
output for scripts and keeps the reference's form; ``screen``, ``explain``, ``log`` and ``watch``
make the output for people.
"""
