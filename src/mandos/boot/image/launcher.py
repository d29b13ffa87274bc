# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start script of an early-boot program: used by packages, in an initrd, and by benchmarks.

A script of pip's costs more than the program behind it: ``site`` and its ``.pth`` files, a regular
expression, and an interpreter that tidies up before the last exit.  This one does without.
"""

from __future__ import annotations

from mandos.errors import AdministratorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: -I: nothing from the environment, the user or the current directory; -S: no site-packages.
_OPTIONS = "-IS"
#: The longest first line that the kernel takes, execve(2).
_FIRST_LINE_LIMIT = 255

_SCRIPT = """\
#!{python} {options}
# Starts {module}.
import sys

sys.dont_write_bytecode = True  # early boot leaves nothing behind
sys.path[:0] = {folders!r}

from os import _exit

from {module} import main

status = main()
for stream in sys.stdout, sys.stderr:
    if stream is not None:
        stream.flush()
_exit(status)
"""


def launcher(module: str, folders: Sequence[str], python: str = "/usr/bin/python3") -> str:
    """The text of an executable script that runs ``module.main()`` and exits with its result.

    ``folders`` hold our package and the OpenPGP extension; they come before the standard library,
    and nothing else is searched.  All paths are absolute.  ``sys.argv`` is the program's own.
    Raises AdministratorError for a path that a script cannot have.
    """
    for path in (python, *folders):
        if not path.startswith("/"):
            raise AdministratorError(f"{path!r} is not an absolute path")
    if any(blank in python for blank in " \t\n") or len(python) > _FIRST_LINE_LIMIT - 6:
        raise AdministratorError(
            f"a script cannot name the interpreter {python!r}",
            "give it a short path without blanks",
        )
    return _SCRIPT.format(python=python, options=_OPTIONS, module=module, folders=list(folders))
