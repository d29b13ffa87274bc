# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-image: puts everything that an initial RAM disk image needs into its tree.

The hooks of initramfs-tools and dracut call it with the tree that they build; it prints the kernel
modules that the network hooks need, one a line, for them to add, and warns of a set-up that cannot
work at boot.  It runs on a whole system, never at boot, so imports may be expensive.  Nothing is
copied before everything has been found: a failure leaves the tree as it was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mandos.boot.image import local_files, setup_check
from mandos.boot.image import modules as image_modules
from mandos.boot.image.local_files import PROGRAMS
from mandos.boot.image.setup_check import GENERATORS, Setup
from mandos.boot.image.tree import Tree
from mandos.errors import AdministratorError, MandosError, UsageError
from mandos.key_source import KeyFolder
from mandos.options import CommandLine, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.boot.image.modules import Loaded
    from mandos.options import ParsedOptions

#: The interpreters that the first lines of programs name.
_PYTHON = Path("/usr/bin/python3")
#: Where a plugin may find programs and names, from this package or from any other.
_FOR_PLUGINS = (Path("/bin"), Path("/sbin"), Path("/usr/sbin"), Path("/etc"))
_BUILDER = "mandos-image"

COMMAND_LINE = CommandLine(
    _BUILDER,
    "Puts the Mandos client into the tree of an initial RAM disk image.",
    (
        Option("into", "", "DIR", "directory tree of the image"),
        Option("programs", "", "DIR", "boot programs (directory of this program)"),
        Option("keys", "", "DIR", "the client's keys (/etc/keys/mandos)"),
        Option("config", "", "DIR", "plugin-runner.conf, plugins, hooks (/etc/mandos)"),
        Option("device", "", "NAME[,NAME...]", "the network interfaces, for network hooks"),
        Option("generator", "", "NAME", f"the generator: {', '.join(GENERATORS)}"),
    ),
)


class Places:
    """Where things come from; valid once built."""

    def __init__(self, given: ParsedOptions) -> None:
        self.tree = Path(given.text("into", ""))
        if "into" not in given or not self.tree.is_dir():
            raise UsageError(
                "--into takes the existing folder that is to become the image,"
                f" not {str(self.tree)!r}"
            )
        self.programs = Path(given.text("programs", str(Path(sys.argv[0]).resolve().parent)))
        self.keys = Path(given.text("keys", "/etc/keys/mandos"))
        self.config = Path(given.text("config", "/etc/mandos"))
        self.device = given.text("device", "")
        self.generator = given.text("generator", "")
        if self.generator not in ("", *GENERATORS):
            raise UsageError(f"--generator takes {', '.join(GENERATORS)}, not {self.generator!r}")
        missing = KeyFolder(self.keys).missing()
        if missing:
            raise AdministratorError(
                f"{self.keys / missing[0]} is missing", "mandos-keygen makes the client's keys"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-image; returns the exit status."""
    try:
        given = COMMAND_LINE.parse(sys.argv[1:] if arguments is None else arguments)
        answer = COMMAND_LINE.answer(given)
        if answer is None:
            places = Places(given)
            answer = "\n".join(build(places))
            _report_problems(places)
        if answer:
            print(answer)  # noqa: T201 - printing is its purpose
    except MandosError as error:
        for line in error.lines():
            sys.stderr.write(f"{_BUILDER}: {line}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"{_BUILDER}: {error}\n")
        return 1
    return 0


def _report_problems(places: Places) -> None:
    """Warn of a set-up that cannot work at boot; the image is good for the console all the same."""
    setup = Setup(places.generator, places.tree, places.keys, places.config, places.device)
    try:
        found = setup_check.problems(setup)
    except OSError as error:  # a file that cannot be looked at is no reason to have no client
        found = []
        local_files.warn(f"the set-up could not be checked: {error}")
    for problem in found:
        local_files.warn(problem.text)
        local_files.hint(problem.hint)


def build(places: Places) -> list[str]:
    """Fill the tree; returns the kernel modules that it needs besides."""
    programs = _programs(places)
    scripts = [source for source in programs.values() if local_files.is_python(source)]
    loaded = image_modules.load(scripts)
    tree = Tree(places.tree)
    _copy_python(tree, loaded)
    for folder in _FOR_PLUGINS:
        tree.open(folder)
    local_files.copy_keys(tree, places.keys, places.config)
    for path, source in programs.items():
        local_files.copy_program(tree, source, path)
    return local_files.copy_network_hooks(tree, places.config / "network-hooks.d", places.device)


def _programs(places: Places) -> dict[Path, Path]:
    """Every program of the image and its source; the administrator's replace ours."""
    chosen: dict[Path, Path] = {}
    for folder in ("plugins.d", "plugin-helpers", "."):
        sources = [places.config / folder, places.programs / folder]
        for source in sources if folder != "." else sources[1:]:
            for program in local_files.executables(source):
                chosen.setdefault(PROGRAMS / folder / program.name, program)
    chosen.pop(PROGRAMS / _BUILDER, None)
    return chosen


def _copy_python(tree: Tree, loaded: Loaded) -> None:
    """The interpreter, libraries and modules; without a landmark it finds no library."""
    interpreter = Path(sys.executable).resolve()
    tree.copy(interpreter)
    tree.link(_PYTHON, interpreter)
    for library in loaded.libraries:
        tree.copy(_for_any_processor(library))
    for file in {*loaded.modules, Path(os.__file__)}:
        if file.suffix == ".py":
            tree.write(file.with_suffix(".pyc"), image_modules.byte_code(file))
        else:
            tree.copy(file)


def _for_any_processor(library: Path) -> Path:
    """The variant in the folder itself, not the one in glibc-hwcaps for this very processor."""
    parts = library.parts
    if "glibc-hwcaps" not in parts:
        return library
    plain = Path(*parts[: parts.index("glibc-hwcaps")], library.name)
    return plain if plain.exists() else library
