# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: keeps the sealed secrets and judges who may have one.

A request comes in through ``listener`` and ``connection``; ``vault`` asks the ``registry`` for the
``client`` of that key, and the client, a pure object that takes ``now``, decides.  Its ``events``
are all that others need to know.  ``settings`` and ``clients_conf`` read what administrators wrote,
and ``daemon`` wires everything.  Must not import ``client`` or ``admin``.
"""
