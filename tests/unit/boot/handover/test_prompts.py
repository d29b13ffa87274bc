# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are prompts: real ones, that run a program of the prompt's name."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mandos.boot.handover import prompts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOKS, SIGHTINGS = 2000, 20

DISK = {"CRYPTTAB_NAME": "cryptroot", "PATH": "/usr/bin:/bin"}


@pytest.fixture
def askpass(tmp_path: Path) -> str:
    """A shell in the place of the prompt."""
    place = tmp_path / "cryptsetup" / "askpass"
    place.parent.mkdir()
    shutil.copy(shutil.which("sh") or "/bin/sh", place)
    return str(place)


@contextmanager
def running(*command: str, environment: dict[str, str]) -> Iterator[int]:
    """A process that says that it runs, and ends with its input."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"runs\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


def found(askpass: str) -> list[tuple[int, str]]:
    """The prompts, but those of other tests that run at the same time."""
    ours = []
    for prompt in prompts.waiting():
        try:
            if os.readlink(f"/proc/{prompt.process}/exe") == askpass:  # noqa: PTH115 - as it is
                ours.append((prompt.process, prompt.disk))
        except OSError:
            continue
    return ours


def test_disk_is_named_by_the_environment(askpass: str) -> None:
    """As cryptsetup-initramfs does it."""
    with running(askpass, "-c", "echo runs; read end", environment=DISK) as process:
        assert found(askpass) == [(process, "cryptroot")]
    assert found(askpass) == []


def test_text_of_the_prompt_stands_for_a_disk_without_a_name(askpass: str) -> None:
    """Another script's question: its words tell one disk from the next."""
    command = (askpass, "-c", "echo runs; read end", "Passphrase for x:")
    with running(*command, environment={"PATH": "/bin"}) as process:
        assert found(askpass) == [(process, "\0".join((*command, "")))]


def test_process_without_an_environment_is_no_prompt_yet(askpass: str) -> None:
    """The kernel shows a program like this while it is being started."""
    with running(askpass, "-c", "echo runs; read end", environment={}):
        assert found(askpass) == []


def test_child_of_a_prompt_is_none(askpass: str) -> None:
    """It would get the password a second time, into the same FIFO."""
    command = "exec 3<&0; (read child <&3 & echo runs; wait); read end"
    with running(askpass, "-c", command, environment=DISK) as process:
        assert found(askpass) == [(process, "cryptroot")]


def test_prompt_that_is_being_started_has_its_disk_or_is_none(askpass: str) -> None:
    """However often one looks while programs start, no disk has another name.

    Most prompts end at once; some live longer than a look at all processes takes.
    """
    short = f'i=0; while [ $i -lt 60 ]; do {askpass} -c "read end <&3"; i=$((i+1)); done'
    again = f'while :; do {short}; {askpass} -c "sleep 0.1; :"; done'
    seen: list[str] = []
    with subprocess.Popen(
        ("sh", "-c", f"exec 3</dev/null; {again}"), stdout=subprocess.DEVNULL, env=DISK
    ) as starting:
        try:
            looks = 0
            while looks < LOOKS or len(seen) < SIGHTINGS:
                seen.extend(disk for _process, disk in found(askpass))
                looks += 1
        finally:
            starting.kill()
    assert set(seen) == {"cryptroot"}
