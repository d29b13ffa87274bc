# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets clients find servers on the local link: multicast DNS and DNS service discovery.

The client's half (messages, browse, sockets, finder) runs in early boot: standard library only,
and its cheap part.  The server's half (announce, announce_avahi, announce_embedded) speaks D-Bus to
Avahi, or lets the zeroconf library announce.  docs/discovery.md has the figures.
"""
