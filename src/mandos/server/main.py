# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos: manual page mandos(8)."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from mandos.errors import MandosError
from mandos.server.config.server_conf import load
from mandos.server.logs import setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.server.config.server_conf import ServerSettings

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    try:
        settings = load(sys.argv[1:] if arguments is None else arguments)
        if settings.check:
            return _check(settings)
        if settings.reload:
            return _reload()
        if settings.move_state:
            return _move(settings)
        setup.set_up(settings.log_level, foreground=settings.foreground)
        for notice in settings.notices:
            log.warning(notice)
        from mandos.server.start import start  # noqa: PLC0415 - --check works without GnuTLS

        start(settings, _failed)
    except MandosError as error:
        return _failed(error)
    return 0


def _failed(error: MandosError) -> int:
    for line in error.lines():
        print(f"mandos: {line}", file=sys.stderr)  # noqa: T201 - it is for a person
    return error.exit_code


def _reload() -> int:
    from mandos.server import control  # noqa: PLC0415 - for this alone

    answer = control.ask(os.environ)
    for line in answer.lines:
        print(f"mandos: {line}", file=sys.stderr)  # noqa: T201 - it is for a person
    return answer.status


def _move(settings: ServerSettings) -> int:
    from mandos.server.move import move  # noqa: PLC0415 - for this alone

    for line in move(settings):
        print(line)  # noqa: T201 - it is for a person
    return 0


def _check(settings: ServerSettings) -> int:
    from mandos.server import self_check  # noqa: PLC0415 - the serving server does not need it

    text, status = self_check.report(self_check.run(settings), terminal=sys.stdout.isatty())
    print(text.rstrip("\n"))  # noqa: T201 - it is for a person
    return status
