# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of clients as a store keeps them: the secret by itself, the others as JSON.

Durations are whole microseconds.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter

from mandos.client_settings import DURATIONS, SETTINGS, ClientSettings, ValueKind

_DURATIONS = frozenset(setting.name for setting in SETTINGS if setting.kind in DURATIONS)
_IN_JSON = sorted(
    (setting for setting in SETTINGS if setting.kind is not ValueKind.SECRET),
    key=lambda setting: not setting.own,
)
_NAMES = tuple(setting.name for setting in _IN_JSON)
_KNOWN = frozenset(_NAMES)
_values_in_json = attrgetter(*_NAMES)
#: The first of these are each client's own; most clients have the others in common.
_OWN = sum(setting.own for setting in _IN_JSON)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_MICROSECOND = timedelta(microseconds=1)


def text_of(settings: ClientSettings) -> str:
    """Return all settings but name and secret, as JSON."""
    values = _values_in_json(settings)
    own = _encode(dict(zip(_NAMES, values[:_OWN], strict=False)))
    return f"{own[:-1]},{_text_of_common(values[_OWN:])[1:]}"


@lru_cache(maxsize=1024)
def _text_of_common(values: tuple[object, ...]) -> str:
    named = dict(zip(_NAMES[_OWN:], values, strict=True))
    numbers = {
        name: value // _MICROSECOND for name, value in named.items() if isinstance(value, timedelta)
    }
    return _encode(named | numbers)


def settings_of(
    name: str, text: str, secret: bytes, known: ClientSettings | None
) -> ClientSettings:
    """Read saved settings; ``known`` itself when they are equal to it.

    A setting that is missing has its default.  A setting that only a later version knows is
    ignored.  It stays in the database until the client's settings are written again.  Damaged text
    causes an exception of any kind.
    """
    if known is not None and secret == known.secret and text == text_of(known):
        return known
    values = {key: value for key, value in json.loads(text).items() if key in _KNOWN}
    values.update({key: timedelta(microseconds=values[key]) for key in _DURATIONS & values.keys()})
    settings = ClientSettings(name=name, secret=secret, **values)
    return known if settings == known else settings
