# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server on D-Bus: ``bus_names.py`` says what there is, this room does it.

A call comes in through ``service``; ``calls`` finds what it is for among ``objects``, whose
properties ``properties`` reads and writes; ``signals`` tells what happens.  Nothing outside knows
of it: the server works the same without a bus.
"""
