# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-client: prints the password and exits with 0, or keeps trying for ever.

It exits otherwise only when its own keys or options are unusable, or when a signal ends it.  Every
start pays for the imports of this module.
"""

from __future__ import annotations

import os

from mandos.client import root_helper
from mandos.client.notices import notice
from mandos.client.privileges import everybody_can_import, give_up_root, has_root
from mandos.client.selection import Selection
from mandos.client.settings import COMMAND_LINE, ClientOptions
from mandos.client.unprivileged.run import Run
from mandos.errors import MandosError
from mandos.keyfiles import exposure, read_key_file, signed_secret
from mandos.program import (
    ENDING_SIGNALS,
    Ended,
    OutputError,
    ignore_signals,
    keep_quiet,
    parsed_options,
    print_password,
    raise_on_signals,
    speaker,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_EX_TEMPFAIL = 75
_STDERR = 2
_say = speaker(COMMAND_LINE.program)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-client; returns the exit status."""
    try:
        raise_on_signals()
        given = parsed_options(COMMAND_LINE, arguments)
        return 0 if given is None else _with_network(ClientOptions(given))
    except MandosError as error:
        _say_why(error)
        return error.exit_code
    except MemoryError:
        _say("out of memory")
        return _EX_TEMPFAIL  # the program that started us starts us again
    except Ended as end:
        _say(f"ended by {ENDING_SIGNALS[end.number]}")
        return 128 + end.number


def _with_network(settings: ClientOptions) -> int:
    """Bring the network up, fetch and write the password, and take the network down."""
    files = {path: read_key_file(path) for path in settings.key_files}
    signed = signed_secret(settings.seckey)
    _warn(settings)
    reports = (_say, _say if settings.debug else keep_quiet)
    if has_root() and not everybody_can_import():
        from mandos.client import preload  # noqa: PLC0415 - hardly anybody needs it

        preload.load()

    selection = Selection(settings.interfaces, direct=bool(settings.connect))
    network = root_helper.begin(settings, selection, reports)
    try:
        with Run(settings, files, selection, network, reports, signed) as run:
            give_up_root()
            password = run.fetch()
            return _write_all(password)
    finally:
        ignore_signals()
        if network:
            network.finish()


def _warn(settings: ClientOptions) -> None:
    for path in (settings.tls_privkey, settings.seckey):
        warning = exposure(path)
        if warning:
            _say(f"warning: {warning}")


def _write_all(password: bytes) -> int:
    """Print the whole password, which exit status 0 promises."""
    try:
        return print_password(password)
    except OutputError as error:
        _say(str(error))
        return _EX_TEMPFAIL


def _say_why(error: MandosError) -> None:
    """Report why we cannot work at all: on a terminal, or as a notice to our starter."""
    if os.isatty(_STDERR):
        for line in error.lines():
            _say(line)
    else:
        _say(notice(" - ".join(error.lines())))
