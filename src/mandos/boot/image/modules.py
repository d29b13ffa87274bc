# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the modules and libraries that the programs of an image load; no list is kept by hand.

The programs' imports are followed through our own package, those inside functions included, since
a missing module must not show up only at boot.  Imports from outside our package are then really
imported, in a process of its own, by the interpreter that the image will hold; every module and
library that this loads is needed.  Byte code is made here too: without docstrings, without source,
the same bytes each time.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OURS = "mandos"
#: Imports inside functions that no image needs: programs with output to collect are not run at
#: boot.
_NEVER_REACHED = {("mandos.process", "subprocess")}
_PROBE = Path(__file__).with_name("probe.py")
_PROBE_TIME = 120.0
#: PEP 552: byte code that names its source by a hash and is never compared with it.
_UNCHECKED = (1).to_bytes(4, "little")
_WITHOUT_DOCSTRINGS = 2


class Loaded(NamedTuple):
    """Files of modules, and libraries under the names by which the dynamic loader finds them."""

    modules: list[Path]
    libraries: list[Path]


def load(programs: Iterable[Path]) -> Loaded:
    """The files that these programs load.  Raises MachineError when one of their imports fails."""
    names = sorted(closure(programs))
    folders = ":".join(dict.fromkeys(str(_folder_of(name)) for name in (_OURS, "openpgp")))
    command = [sys.executable, "-IS", str(_PROBE), folders, *names]
    output = process.run(command, env={"LC_ALL": "C.UTF-8"}, timeout=_PROBE_TIME).require_success()
    pairs = [line.split("\t", 1) for line in output.decode().splitlines()]
    return Loaded(
        [Path(path) for kind, path in pairs if kind == "module"],
        [Path(path) for kind, path in pairs if kind == "library"],
    )


def byte_code(source: Path) -> bytes:
    """The file ``NAME.pyc`` that stands for a source file."""
    text = source.read_bytes()
    code = compile(text, str(source), "exec", dont_inherit=True, optimize=_WITHOUT_DOCSTRINGS)
    # Reading it back first makes the bytes independent of which objects happen to be shared.
    body = marshal.dumps(marshal.loads(marshal.dumps(code)))  # noqa: S302 - our own bytes
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(text)
    return header + body


def closure(programs: Iterable[Path]) -> set[str]:
    """Every module that the programs and our package import, directly or indirectly."""
    found: set[str] = set()
    waiting = [name for program in programs for name in _imports("", program)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.partition(".")[0] == _OURS:
            waiting += _imports(name, Path(_spec_file(name)))
    return found


def _imports(importer: str, source: Path) -> Iterator[str]:
    for node in _executed(ast.parse(source.read_bytes(), str(source))):
        for name in _named(node):
            if (importer, name) not in _NEVER_REACHED:
                yield name


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and _is_for_type_checkers(child.test)):
            yield child
            yield from _executed(child)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if _is_module(name):
                yield name


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # the part before the last dot is no package
        return False


def _spec_file(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MachineError(
            f"the module {name} is missing", "the installation is damaged; install it again"
        )
    return spec.origin


def _folder_of(package: str) -> Path:
    """The folder on the search path that holds a package."""
    return Path(_spec_file(package)).parent.parent
