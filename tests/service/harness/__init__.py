# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real peers for tests: hosts made of namespaces, a private bus with Avahi, and both families.

``process`` starts and watches programs; ``host`` makes machines that share nothing with the real
one; ``bus`` gives such a machine a system bus and Avahi; ``families`` says where the reference's
and our programs are; ``keys`` makes a client's keys and section; ``peers`` starts servers and
clients of either family.  Nothing here imports the product: it is seen as its users see it.
"""
