# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the files that hold keys, with errors that an administrator can act on."""

from __future__ import annotations

import os
import stat

from mandos.errors import AdministratorError

#: No key file comes near this size, in bytes; more is a mistake, such as a device.
LIMIT = 1 << 20

#: Where an initial RAM disk has a client's keys, and where the installed system has them.
BOOT_FOLDER = "/conf/conf.d/mandos"
SYSTEM_FOLDER = "/etc/keys/mandos"

#: The note beside the keys that says for which key ID the password is signed (``section_note``).
SIGNED_SECRET = "signed-secret"  # noqa: S105 - a file's name
_NOTE_LIMIT = 4096

_MAKE_THEM = "mandos-keygen makes all four key files"
_BE_ROOT = "only root can read keys: run this as root"
_OTHER_FOLDER = (
    f"{BOOT_FOLDER} exists in initial RAM disks only; the installed system has its keys in"
    f" {SYSTEM_FOLDER}, and mandos-keygen makes them"
)


def default_folder() -> str:
    """The folder of this machine's keys: an initial RAM disk has one, and a system another."""
    if not os.path.isdir(BOOT_FOLDER) and os.path.isdir(SYSTEM_FOLDER):  # noqa: PTH112 - as below
        return SYSTEM_FOLDER
    return BOOT_FOLDER


def read_key_file(path: str) -> bytes:
    """The contents of a key file.  Raises AdministratorError naming the file and the reason."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is too expensive for early boot
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise AdministratorError(
            f"cannot read the key file {path}: {error.strerror}", _remedy(path, error)
        ) from error
    if not data.strip():
        raise AdministratorError(f"the key file {path} is empty", _MAKE_THEM)
    if len(data) > LIMIT:
        raise AdministratorError(f"{path} is too large for a key file", _MAKE_THEM)
    return data


def signed_secret(key_file: str) -> tuple[str, str]:
    """The path of the note ``signed-secret`` beside a key file, and the key ID that it names.

    The key ID is empty when there is no readable note.
    """
    path = os.path.join(os.path.dirname(key_file), SIGNED_SECRET)  # noqa: PTH118, PTH120 - as above
    return path, read_note(path).get("key_id", "").lower()


def read_note(path: str) -> dict[str, str]:
    """The values in a note beside the keys, by their names; none when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            lines = file.read(_NOTE_LIMIT).splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip() for name, _equals, value in pairs}


def _remedy(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return _BE_ROOT
    folder = os.path.dirname(path)  # noqa: PTH120 - as above
    if folder == BOOT_FOLDER and not os.path.isdir(folder):  # noqa: PTH112 - likewise
        return _OTHER_FOLDER
    return _MAKE_THEM


def exposure(path: str) -> str | None:
    """A warning when a file that holds a secret key can be read by other users."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - likewise
    except OSError:
        return None
    if not mode & stat.S_IROTH:
        return None
    return f"everyone on this machine can read the secret key {path}; run: chmod o-rwx {path}"
