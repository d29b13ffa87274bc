# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program import-original-state: the original's disabled clients stay disabled.

The package mandos-server runs it when it takes the place of the original, before its own server
starts.  It reads two files of the state directory: the state that the original saved when it
stopped (a pickle), and the output of the original's ``mandos-ctl --dump-json``, which an
administrator may have put there.  Their disabled clients go to the list of disabled clients.  When
it cannot find out which clients were disabled, every client begins disabled.

A pickle can run code.  This one cannot: it may name only dates and bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pickle
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mandos.errors import AdministratorError, MachineError, MandosError
from mandos.server.config.files import is_there, read_file
from mandos.server.config.inifile import read_ini
from mandos.server.config.server_conf import load
from mandos.server.state import disabled_list
from mandos.server.state.obstacles import DATABASE, WITNESS
from mandos.server.system import privileges

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from mandos.server.config.server_conf import ServerSettings

PICKLE = "clients.pickle"
DUMP = "original-clients.json"
#: The file with the digest of the imported files, which are imported only once.
IMPORTED = "original-imported"
#: Bytes; the original saves about 3 kB for a client.
_LIMIT = 64 << 20


def _encoded(text: str, encoding: str) -> bytes:
    """Return bytes from their form in pickles of protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding!r}")
    return text.encode("latin-1")


_HARMLESS = {
    ("datetime", "datetime"): datetime,
    ("datetime", "timedelta"): timedelta,
    ("_codecs", "encode"): _encoded,
}


class _PlainData(pickle.Unpickler):
    """Reads a pickle of plain data, dates and durations."""

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401
        """Return one of the few functions that a pickle may name."""
        try:
            return _HARMLESS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}") from None


def pickled(data: bytes) -> set[str]:
    """Return the disabled clients of the original's saved state.  Raises ValueError."""
    try:
        state = _PlainData(io.BytesIO(data)).load()
    except Exception as error:  # any class: damaged data can do anything but run code
        raise ValueError(f"it is not a state of the original: {error}") from error
    if not isinstance(state, tuple) or len(state) != 2:
        raise ValueError("it is not a state of the original: no clients and settings")
    return _disabled(state[0], "enabled")


def dumped(data: bytes) -> set[str]:
    """Return the disabled clients in the output of ``mandos-ctl --dump-json``.

    Raises ValueError.
    """
    try:
        clients = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not output of mandos-ctl --dump-json: {error}") from error
    return _disabled(clients, "Enabled")


def _disabled(clients: object, key: str) -> set[str]:
    if not isinstance(clients, dict):
        raise ValueError("it has no table of clients")  # noqa: TRY004 - wrong data, not a defect
    for name, client in clients.items():
        if not isinstance(name, str) or not name.isprintable() or not name:
            raise ValueError(f"{name!r} is no name of a client")
        if not isinstance(client, dict) or not isinstance(client.get(key), bool):
            raise ValueError(f"it does not say whether {name} is enabled")  # noqa: TRY004 - as above
    return {name for name, client in clients.items() if not client[key]}


_READERS = {PICKLE: pickled, DUMP: dumped}


def import_state(settings: ServerSettings, *, failed: bool = False) -> list[str]:
    """Have the original's disabled clients begin disabled; returns the lines of a report.

    ``failed``: the original's service has failed, so it may not have saved its state.  Raises
    OSError.
    """
    folder = settings.statedir
    found = {name: _contents(folder / name) for name in _READERS if is_there(folder / name)}
    digest = _digest(found)
    if not (found or failed) or (not failed and _was_imported(folder, digest)):
        return []
    if not settings.restore:
        lines = ["mandos.conf has restore = no: every client begins as its section says"]
    else:
        lines = _imported(settings, found, failed=failed)
    (folder / IMPORTED).write_text(f"{digest}\n", encoding="utf-8")
    return lines


def _imported(
    settings: ServerSettings, found: Mapping[str, bytes | None], *, failed: bool
) -> list[str]:
    try:
        before = _before(settings.statedir)
        disabled = _from_files(found, failed=failed)
    except ValueError as error:
        return _unknown(settings, str(error)) if _has_clients(settings.configdir) else []
    return _known(settings.statedir, disabled, before)


def _contents(path: Path) -> bytes | None:
    """Return the contents of a file; None when it cannot be read."""
    try:
        return read_file(path, _LIMIT).data
    except AdministratorError:
        return None


def _from_files(found: Mapping[str, bytes | None], *, failed: bool) -> set[str]:
    """Return the disabled clients of all files.  Raises ValueError when some may be missing."""
    disabled: set[str] = set()
    for name, data in found.items():
        if data is None:
            raise ValueError(f"{name} cannot be read")
        try:
            disabled |= _READERS[name](data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if failed and DUMP not in found:
        raise ValueError("the original's service has failed, so it may not have saved its state")
    return disabled


def _digest(found: Mapping[str, bytes | None]) -> str:
    whole = b"".join(hashlib.sha256(found.get(name) or b"").digest() for name in _READERS)
    return hashlib.sha256(whole).hexdigest()


def _was_imported(folder: Path, digest: str) -> bool:
    try:
        return (folder / IMPORTED).read_text(encoding="utf-8").strip() == digest
    except (OSError, ValueError):
        return False


def _before(folder: Path) -> frozenset[str]:
    """Return the clients that our own server disabled before, when it was in use here already."""
    try:
        return disabled_list.read(folder / WITNESS)
    except FileNotFoundError:
        return frozenset()
    except disabled_list.WitnessError as error:
        raise ValueError(str(error)) from error


def _known(folder: Path, disabled: Collection[str], before: Collection[str]) -> list[str]:
    disabled_list.write(folder / WITNESS, {*disabled, *before})
    if not disabled:
        return ["imported from the original: it had disabled no client"]
    names = ", ".join(sorted(disabled))
    return [f"imported from the original: disabled clients, which stay disabled: {names}"]


def _unknown(settings: ServerSettings, reason: str) -> list[str]:
    """Make every client begin disabled; our own server's older state is kept under another name."""
    folder = settings.statedir
    disabled_list.write_unknown(folder / WITNESS)
    for ending in ("", "-wal", "-shm"):
        path = folder / f"{DATABASE}{ending}"
        if is_there(path):
            path.rename(folder / f"before-import-{path.name}")
    return [
        f"cannot find out which clients the original had disabled: {reason}",
        "so that none of them gets its password by this change, EVERY CLIENT IS DISABLED NOW",
        "hint: enable those that may have their passwords: mandos-ctl --enable NAME...",
    ]


def _has_clients(configdir: Path) -> bool:
    try:
        return bool(read_ini(configdir / "clients.conf").sections)
    except AdministratorError:
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Import the original's state; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="import-original-state",
        description="Keeps the clients disabled that the original's server had disabled.",
    )
    parser.add_argument("--configdir", help="directory of mandos.conf (/etc/mandos)")
    parser.add_argument("--statedir", help="directory of the state (default: from mandos.conf)")
    parser.add_argument("--failed", action="store_true", help="the original's service has failed")
    given = vars(parser.parse_args(arguments))
    failed = given.pop("failed")
    try:
        settings = load([f"--{name}={value}" for name, value in given.items() if value])
        user = privileges.server_user()
        privileges.make_state_directory(settings.statedir, user)
        _become(user)
        lines, status = import_state(settings, failed=failed), 0
    except MandosError as error:
        lines, status = error.lines(), error.exit_code
    except OSError as error:
        lines, status = [f"cannot import the original's state: {error}"], MachineError.exit_code
    for line in lines:
        print(f"import-original-state: {line}", file=sys.stderr)  # noqa: T201 - for a person
    return status


def _become(user: privileges.ServerUser) -> None:
    """Give up root for the server's user, since that user can write to the state directory."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
