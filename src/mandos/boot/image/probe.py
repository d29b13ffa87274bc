# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports the given modules in a process of its own, and prints the files that this loaded.

``modules.py`` starts it with the interpreter that the image will hold: the first argument is
the folders to search, the others are modules.  It prints lines of two fields, separated by a tab:
``module`` and its file, or ``library`` and its path as the dynamic loader found it, which is the
name that has to exist in the image.  This program must load no module that only it needs.
"""

from __future__ import annotations

import ctypes
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class _Loaded(ctypes.Structure):
    """The first two fields of struct dl_phdr_info, dl_iterate_phdr(3)."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def _libraries() -> list[str]:
    names: list[str] = []

    def note(loaded: ctypes._Pointer[_Loaded], _size: int, _data: object) -> int:
        names.append((loaded.contents.name or b"").decode())
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Loaded), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(note), None)
    return [name for name in names if name.startswith("/")]


def _module_files() -> Iterator[str]:
    """The files of all loaded modules; built-in and frozen ones are in the interpreter."""
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.has_location and spec.origin not in {"frozen", "built-in"}:
            yield spec.origin


def main() -> None:
    """Import and report."""
    sys.path[:0] = sys.argv[1].split(":")
    for name in sys.argv[2:]:
        __import__(name)
    modules = sorted(set(_module_files()))
    lines = [f"module\t{file}" for file in modules]
    lines += [f"library\t{path}" for path in _libraries() if path not in modules]
    print("\n".join(lines))  # noqa: T201 - printing is its purpose


if __name__ == "__main__":
    main()
