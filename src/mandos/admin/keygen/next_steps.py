# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next steps of an administrator after keys were made, as commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Commands that rebuild the images of every kernel, by the program that has to be there.
_IMAGES = {
    "update-initramfs": "update-initramfs -u -k all",
    "dracut": "dracut --force --regenerate-all",
}
_SEAL = "mandos-keygen --password"


def seal_command(directory: Path, default: Path) -> str:
    """The command that prints the client's section."""
    return _SEAL if directory == default else f"{_SEAL} --dir {directory}"


def after_first_keys(seal: str) -> list[str]:
    """Where to go on with keys that no server knows."""
    return [
        f"next: {seal} prints this client's section for clients.conf on the server",
        f"then put the keys into the initial RAM disk: {_image_command()}",
    ]


def with_keys_that_exist(seal: str) -> list[str]:
    """Where to go on with keys of another origin, such as the package."""
    return [
        f"next: {seal} prints this client's section for clients.conf on the server",
        "--force would replace the keys; sections that servers have would be worthless then",
    ]


def after_new_keys(seal: str) -> list[str]:
    """The steps after which a machine with replaced keys boots by itself again."""
    return [
        "the keys were replaced: after three steps this machine boots by itself again",
        f"1. {seal} prints a new section, with another key_id and secret",
        "2. on each server put it in the old one's place, then run: systemctl reload mandos",
        f"3. make the initial RAM disks anew: {_image_command()}",
    ]


def _image_command() -> str:
    found = [command for program, command in _IMAGES.items() if shutil.which(program)]
    return " or ".join(found or _IMAGES.values())
