# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The early-boot programs on a host as an initial RAM disk has them: launchers and a copied tree.

Debian's own Python starts them, as in an image; the unprivileged user has to be able to read all.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.families import reference

if TYPE_CHECKING:
    from harness.host import Host

SOURCE = Path(__file__).parents[3] / "src" / "mandos"
PLACE = "/run/boot"
LAUNCHER = """#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, "{place}/python")
from {module} import main
sys.exit(main({arguments}))
"""
#: Our plugins; those with a set-user-ID bit are started with root's rights.
PLUGINS = {
    "mandos-client": ("mandos.client.main", 0o4755),
    "password-prompt": ("mandos.boot.plugins.password_prompt", 0o755),
    "askpass-fifo": ("mandos.boot.plugins.askpass_fifo", 0o4755),
    "plymouth": ("mandos.boot.plugins.plymouth", 0o4755),
}


@dataclass(frozen=True)
class BootPrograms:
    """Where the programs are on a host, and folders of plugins made of them."""

    host: Host

    @property
    def runner(self) -> str:
        """Our plugin-runner."""
        return f"{PLACE}/plugin-runner"

    def plugin(self, folder: str, name: str, arguments: str = "") -> str:
        """Put one of our plugins into a folder; ``arguments`` are those of its function main."""
        module, mode = PLUGINS[name]
        path = f"{self.folder(folder)}/{name}"
        text = LAUNCHER.format(place=PLACE, module=module, arguments=arguments)
        self._write(path, text, mode)
        return path

    def script(self, folder: str, name: str, text: str, mode: int = 0o755) -> None:
        """Put a script of the test's own into a folder."""
        self._write(f"{self.folder(folder)}/{name}", text, mode)

    def copy(self, folder: str, program: str) -> None:
        """Put a program of this machine into a folder, with its set-user-ID bit."""
        there = self.host.path(f"{self.folder(folder)}/{Path(program).name}")
        shutil.copyfile(program, there)
        there.chmod(Path(program).stat().st_mode & 0o7777)

    def folder(self, name: str) -> str:
        """A folder of plugins, made when it is not there yet."""
        path = f"{PLACE}/{name}"
        self.host.path(path).mkdir(exist_ok=True)
        return path

    def _write(self, path: str, text: str, mode: int) -> None:
        there = self.host.path(path)
        there.write_text(text, encoding="utf-8")
        there.chmod(mode)


def reference_plugin(name: str) -> str:
    """The reference's program of this name beside its mandos-client."""
    return str(Path(reference().client).with_name(name))


def reference_runner() -> str:
    """The reference's plugin-runner."""
    return str(Path(reference().client).parents[1] / "plugin-runner")


def install_boot_programs(host: Host) -> BootPrograms:
    """Install our early-boot programs on a host, once."""
    programs = BootPrograms(host)
    if not host.path(PLACE).exists():
        host.path(PLACE).mkdir()
        python = host.path(f"{PLACE}/python")
        python.mkdir()
        shutil.copytree(SOURCE, python / "mandos", ignore=shutil.ignore_patterns("__pycache__"))
        _copy_extension(python)
        text = LAUNCHER.format(place=PLACE, module="mandos.boot.runner.main", arguments="")
        programs._write(programs.runner, text, 0o755)
        _open_to_all(python)
    return programs


def _copy_extension(python: Path) -> None:
    """The OpenPGP extension, which mandos-client needs."""
    found = importlib.util.find_spec("openpgp")
    assert found is not None
    assert found.origin is not None
    origin = Path(found.origin)
    if origin.name.startswith("__init__"):
        shutil.copytree(origin.parent, python / origin.parent.name)
    else:
        shutil.copy2(origin, python)


def _open_to_all(tree: Path) -> None:
    for folder, _folders, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o644)
