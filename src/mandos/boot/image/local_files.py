# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the administrator's keys, configuration, plugins, helpers and network hooks to an image.

Only root can read the keys and the configuration, in the tree while it grows and in the
image: the client reads them before it gives root's rights up.  Network hooks say themselves which
files and kernel modules they need: manual page mandos-client(8mandos), "NETWORK HOOKS".
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mandos import process, section_note
from mandos.boot.image import signed_note
from mandos.boot.runner import settings
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.boot.image.tree import Tree
    from mandos.program import Say

CONFIGURATION = Path("/conf/conf.d/mandos")
PROGRAMS = Path("/lib/mandos")
_HOOKS = PROGRAMS / "network-hooks.d"
_HOOK_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HOOK_TIME = 60.0
_LDD_TIME = 20.0
_ELF = b"\x7fELF"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def warn(text: str) -> None:
    """Report a warning on standard error."""
    sys.stderr.write(f"mandos-image: warning: {text}\n")


def hint(text: str) -> None:
    """Report how to solve the problem of the last warning."""
    sys.stderr.write(f"mandos-image: hint: {text}\n")


def copy_keys(tree: Tree, keys: Path, config: Path) -> None:
    """Copy the keys and plugin-runner.conf, for root alone.

    The note signed-secret comes too if it is about these keys.
    """
    file = config / "plugin-runner.conf"
    without = {section_note.NAME}
    if not signed_note.is_valid(keys):
        without.add(section_note.SIGNED)
    sources = [source for source in _files(keys) if source.name not in without]
    tree.private_folder(CONFIGURATION)
    for source in [*sources, *([file] if file.is_file() else [])]:
        tree.put_private(source, CONFIGURATION / source.name)


def copy_program(tree: Tree, source: Path, path: Path) -> None:
    """Copy an executable with its mode, and the libraries that it is linked with."""
    tree.put(source, path, source.stat().st_mode & 0o7777)
    _copy_libraries(tree, source)


def executables(folder: Path) -> list[Path]:
    """The programs in a folder, sorted by name."""
    return [path for path in _files(folder) if os.access(path, os.X_OK)]


def is_python(program: Path) -> bool:
    """Whether a program's first line names Python."""
    with program.open("rb") as file:
        first = file.readline(256)
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    return any(Path(word).name.startswith("python3") for word in words[:2])


def copy_network_hooks(tree: Tree, folder: Path, device: str) -> list[str]:
    """Copy the network hooks and the files they name; returns the kernel modules they name."""
    modules: list[str] = []
    for hook in _files(folder):
        if not _HOOK_NAME.fullmatch(hook.name):
            warn(f"{hook}: skipped: a network hook's name has only A-Z a-z 0-9 _ . -; rename it")
            continue
        tree.put(hook, _HOOKS / hook.name, hook.stat().st_mode & 0o7777)
        if os.access(hook, os.X_OK):
            for file in _ask(hook, "files", device):
                _copy_named(tree, Path(file), hook)
            modules += _ask(hook, "modules", device)
    return modules


def _copy_named(tree: Tree, file: Path, hook: Path) -> None:
    if not file.is_absolute() or not file.is_file():
        warn(f"{hook} needs {file}, which is no file of this machine: it is not in the image")
        return
    tree.copy(file)
    _copy_libraries(tree, file)


def _ask(hook: Path, mode: str, device: str) -> list[str]:
    """The lines that a network hook prints in this mode; if it fails, none and a warning."""
    env = {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "MANDOSNETHOOKDIR": str(hook.parent),
        "DEVICE": device,
        "MODE": mode,
        "VERBOSITY": "0",
    }
    try:
        output = process.run([str(hook), mode], env=env, timeout=_HOOK_TIME).require_success()
    except MachineError as error:
        warn("; ".join(error.lines()))
        return []
    return [line.strip() for line in os.fsdecode(output).splitlines() if line.strip()]


def _copy_libraries(tree: Tree, program: Path) -> None:
    """Copy the libraries of a compiled program, as ldd(1) finds them."""
    with program.open("rb") as file:
        if file.read(len(_ELF)) != _ELF:
            return
    listed = process.run(["ldd", str(program)], timeout=_LDD_TIME).stdout.decode()
    for path in _LIBRARY.findall(listed):
        tree.copy(Path(path))


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_file())


def runner_settings(file: Path, say: Say) -> settings.RunnerSettings:
    """The settings in a plugin-runner.conf, which may be missing; ``say`` gets its mistakes."""
    options = [f"--config-file={file}"] if file.is_file() else []
    return settings.read_settings(settings.COMMAND_LINE.parse(options), say)
