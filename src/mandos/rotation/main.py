# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-keygen.  Manual page: mandos-keygen(8)."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

from mandos import process
from mandos.admin.keygen import main as keygen
from mandos.admin.keygen.files import KeyDirectory
from mandos.admin.keygen.making import Interrupted
from mandos.errors import AdministratorError, MachineError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.rotation.rotation import Rotation, Step


def main(argv: Sequence[str] | None = None) -> int:
    """Run mandos-keygen; returns the exit status."""
    return keygen.main(argv, _rotate, _refuse_in_rotation)


def _refuse_in_rotation(keys: Path) -> None:
    """Raise AdministratorError if these keys are rotated, a damaged state included."""
    # As below.
    from mandos.rotation import state  # noqa: PLC0415
    from mandos.rotation.rotation import state_file  # noqa: PLC0415

    file = state_file(keys.resolve())
    try:
        now = state.read(file)
    except OSError as error:
        raise AdministratorError(f"cannot read {file}: {error.strerror}") from error
    if now is not None:
        way = "" if now.phase is state.Phase.ENDING else " --abandon"
        raise AdministratorError(
            "a rotation is not over: --force would replace keys that it needs",
            f"run mandos-keygen --rotate{way} first",
        )


def _rotate(options: argparse.Namespace) -> int:
    """The work of --rotate; returns the exit status.  Raises MandosError."""
    # Other runs of mandos-keygen do without the check and its imports.
    from mandos.rotation.machine import Machine  # noqa: PLC0415
    from mandos.rotation.rotation import Rotation  # noqa: PLC0415

    if os.geteuid() != 0:
        raise MachineError("only root can read the keys and the images", "run it as root")
    # A core file would have the disk's password.  Programs that this one starts inherit the limit.
    process.forbid_tracing()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    machine = Machine(_tick, count_as_boot=options.count_as_boot)
    rotation = Rotation(options.dir.resolve(), machine, _say)
    try:
        step = rotation.show() if options.status else _run(rotation, options)
    except OSError as error:
        where = error.filename or rotation.folder
        raise AdministratorError(
            f"cannot change {where}: {error.strerror}", "the next run goes on from here"
        ) from error
    except Interrupted:
        _say("interrupted; mandos-keygen --rotate --status shows the next step")
        raise
    sys.stdout.write(step.section)
    sys.stdout.flush()
    for line in step.lines:
        _say(line)
    return step.status


def _run(rotation: Rotation, options: argparse.Namespace) -> Step:
    """Begin, go on or go back; the folder of the rotation goes when it is empty."""
    from mandos.admin.keygen.ssh import checker_for_this_host  # noqa: PLC0415
    from mandos.rotation.rotation import Wishes  # noqa: PLC0415

    is_given = options.password or options.passfile is not None
    with KeyDirectory(rotation.folder).locked():
        try:
            if options.abandon:
                return rotation.abandon()
            return rotation.go_on(Wishes(
                keygen.client_name(options),
                lambda: keygen.new_files(options, (KeyDirectory.OPENPGP, KeyDirectory.TLS)),
                (lambda: None) if options.no_ssh else checker_for_this_host,
                now=options.now,
                password=(lambda: keygen.given_password(options)) if is_given else None,
            ))  # fmt: skip
        finally:
            rotation.tidy()


def _tick() -> None:
    """A sign of life on a terminal, each second."""
    if sys.stderr.isatty():
        sys.stderr.write(".")
        sys.stderr.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"mandos-keygen: {line}\n")
    sys.stderr.flush()
