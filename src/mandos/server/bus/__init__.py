# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's D-Bus interface, whose objects and names ``bus_names.py`` declares.

A call comes in through ``service``.  ``calls`` finds its target among ``objects``.  ``properties``
reads and writes a client's properties.  ``signals`` reports events.  No module outside depends on
this package: the server works the same without a bus.
"""
