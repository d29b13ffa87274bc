# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-client: prints the password and exits with 0, or keeps trying for ever.

It exits otherwise only when its own keys or options are unusable, or when a signal ends it.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys

from mandos.client.fetch import Fetcher
from mandos.client.search import DirectSearch, ZeroconfSearch
from mandos.client.settings import COMMAND_LINE, ClientSettings
from mandos.errors import AdministratorError, MandosError
from mandos.interfaces import interface_index
from mandos.keyfiles import exposure, read_key_file
from mandos.openpgp import opening
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.gnutls import TLSError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import TypeVar

    from mandos.client.search import Search

    _Result = TypeVar("_Result")

_EX_TEMPFAIL = 75
_STDOUT = 1


class _Ended(BaseException):
    """A signal asks the program to end; not an Exception, so that nothing holds it up."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-client; returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        given = COMMAND_LINE.parse(sys.argv[1:] if arguments is None else arguments)
        answer = COMMAND_LINE.answer(given)
        if answer is not None:
            print(answer)  # noqa: T201 - help is for standard output
            return 0
        return _write_all(_fetch(ClientSettings(given)))
    except MandosError as error:
        for line in error.lines():
            _say(line)
        return error.exit_code
    except _Ended as end:
        _say(f"ended by {signal.Signals(end.number).name}")
        return 128 + end.number


def _fetch(settings: ClientSettings) -> bytes:
    tls = (Priority(settings.priority), _credentials(settings))
    secret_key = read_key_file(settings.seckey)
    _warn(settings)
    debug = _say if settings.debug else _keep_quiet

    def open_sealed(sealed: bytes) -> bytes:
        return opening.open_secret(sealed, secret_key)

    with selectors.DefaultSelector() as selector:
        search: Search = (
            DirectSearch(settings.connect)
            if settings.connect
            else ZeroconfSearch(settings.interfaces, selector, debug)
        )
        fetcher = Fetcher(search, selector, tls, open_sealed, (_say, debug), retry=settings.retry)
        try:
            fetcher.start()
            # Loading the library takes a while, and the network is busy anyway.
            _naming(settings.seckey, opening.read_secret_key, secret_key)
            return fetcher.run()
        finally:
            fetcher.close()


def _credentials(settings: ClientSettings) -> Credentials:
    public = read_key_file(settings.tls_pubkey)
    private = read_key_file(settings.tls_privkey)
    _check_pair(settings, public, private)
    credentials = Credentials()
    credentials.load_raw_key(public, private)
    try:
        if settings.dh_params:
            credentials.use_dh_parameters(read_key_file(settings.dh_params))
        elif settings.dh_bits:
            credentials.use_dh_bits(settings.dh_bits)
    except TLSError as error:
        raise AdministratorError(f"bad Diffie-Hellman parameters: {error}") from error
    return credentials


def _check_pair(settings: ClientSettings, public: bytes, private: bytes) -> None:
    """A pair that does not match fails in every handshake: better to say it at once."""
    shown = _naming(settings.tls_pubkey, keys.key_id_of_public_pem, public)
    proved = _naming(settings.tls_privkey, keys.key_id_of_private_pem, private)
    if shown != proved:
        raise AdministratorError(
            f"{settings.tls_pubkey} is not the public key of {settings.tls_privkey}",
            "mandos-keygen --force makes a new pair; the server then needs the new key_id",
        )


def _naming(path: str, function: Callable[[bytes], _Result], data: bytes) -> _Result:
    try:
        return function(data)
    except AdministratorError as error:
        raise AdministratorError(f"{path}: {error}", error.hint) from error


def _warn(settings: ClientSettings) -> None:
    warnings = [exposure(path) for path in (settings.tls_privkey, settings.seckey)]
    warnings += [
        f"the network interface {name} does not exist; waiting for it"
        for name in settings.interfaces
        if not interface_index(name)
    ]
    for warning in filter(None, warnings):
        _say(f"warning: {warning}")


def _write_all(password: bytes) -> int:
    """Print the password whole; exit status 0 promises that."""
    rest = memoryview(password)
    try:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except OSError as error:
        _say(f"cannot write the password: {error.strerror}")
        return _EX_TEMPFAIL
    return 0


def _end(number: int, _frame: FrameType | None) -> None:
    raise _Ended(number)


def _say(message: str) -> None:
    sys.stderr.write(f"mandos-client: {message}\n")
    sys.stderr.flush()


def _keep_quiet(_message: str) -> None:
    pass
