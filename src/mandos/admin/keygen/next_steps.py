# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an administrator has to do after keys were made, as commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: What makes images anew, for every kernel, by the program that has to be there.
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
    """Where to go on with keys that somebody else may have made, such as the package."""
    return [
        f"next: {seal} prints this client's section for clients.conf on the server",
        "--force would replace the keys; sections that servers have would be worthless then",
    ]


def after_new_keys(seal: str) -> list[str]:
    """What keeps a machine from booting by itself, whose keys were replaced."""
    return [
        "the keys were replaced: after three steps this machine boots by itself again",
        f"1. {seal} prints a new section, with another key_id and secret",
        "2. on each server put it in the old one's place, then run: systemctl reload mandos",
        f"3. make the initial RAM disks anew: {_image_command()}",
    ]


def _image_command() -> str:
    found = [command for program, command in _IMAGES.items() if shutil.which(program)]
    return " or ".join(found or _IMAGES.values())
