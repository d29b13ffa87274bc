# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-ctl: manual page mandos-ctl(8).

``command_line`` reads and judges the options, ``main`` does what they say.  What scripts read is
made in ``table`` and keeps the reference's form; what people read is made in ``screen``,
``explain``, ``log`` and ``watch``.
"""
