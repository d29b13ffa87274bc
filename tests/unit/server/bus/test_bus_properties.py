# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declarations of a client's properties agree with the signals that the server sends."""

from __future__ import annotations

from mandos.bus_names import CLIENT_PROPERTIES, EMITS
from mandos.client_settings import BY_PROPERTY
from mandos.server.bus import signals


def test_every_change_that_is_promised_is_signalled() -> None:
    """A property that declares signals is changed by an event, or is a setting."""
    promised = {name for name, (_, one) in CLIENT_PROPERTIES.items() if one.emits == EMITS}
    assert promised <= {*signals._REMEMBERED, *signals._REASON, *BY_PROPERTY}
