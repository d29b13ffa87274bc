# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GnuPG's home directory, which holds an unprotected key, outlives none of the processes involved.

Each of them is killed by SIGKILL in turn, while the real gpg-agent and, in some cases, the real gpg
are at work.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.patience import Patience
from mandos.openpgp.kinds import primary_kind, subkey_kind
from mandos.openpgp.sealing import UserID, generate_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")

#: Imports a secret key, which an agent then holds; says so, and goes on as its arguments say.
WORK = """
import sys
from mandos.openpgp.gnupg import Home
with Home() as home:
    home.run(["--import"], open(sys.argv[1], "rb").read(), 600.0)
    print("ready", flush=True)
    if len(sys.argv) > 2:
        home.run(["--decrypt", sys.argv[2]], b"", 600.0)
    sys.stdin.read()
"""


class Work(NamedTuple):
    """A process that uses GnuPG, and the place of its home directory."""

    process: subprocess.Popen[bytes]
    place: Path

    @property
    def home(self) -> Path:
        """The home directory."""
        (home,) = self.place.glob("mandos-gnupg-*")
        return home

    def kill(self, whom: str) -> None:
        """End one of the processes, without a chance for it to do anything."""
        if whom == "group":
            os.killpg(self.process.pid, signal.SIGKILL)
        elif whom == "worker":
            self.process.kill()
        elif whom == "cleaner":
            (cleaner,) = [child for child in _children(self.process.pid) if _is_python(child)]
            os.kill(cleaner, signal.SIGKILL)
        else:
            (program,) = [pid for pid, name in _users(self.home) if name == whom]
            os.kill(program, signal.SIGKILL)

    def end(self) -> None:
        """Let it end by itself, if it still can; see that nothing is left, in a while."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(120)
        patience = Patience(120)
        while (left := [*self.place.iterdir(), *_users(self.place)]) and not patience.is_over():
            time.sleep(0.01)
        assert left == []

    def _left(self) -> list[object]:
        return [*self.place.iterdir(), *_users(self.place)]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_python(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").samefile(sys.executable)


def _users(folder: Path) -> list[tuple[int, str]]:
    """Processes that have the folder in their arguments: their numbers and programs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            arguments = (process / "cmdline").read_bytes().decode().split("\0")
            if any(str(folder) in one for one in arguments[1:]):
                found.append((int(process.name), Path(arguments[0]).name))
    return found


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A secret key."""
    pair = generate_keys(UserID("client"), primary_kind("ecc", 0), subkey_kind("ecc", 0))
    path = tmp_path_factory.mktemp("key") / "seckey.txt"
    path.write_bytes(pair.secret)
    return path


@contextlib.contextmanager
def _working(*arguments: str | Path) -> Iterator[Work]:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "TMPDIR": place},
        )  # fmt: skip
        with process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield Work(process, Path(place))


@pytest.mark.parametrize("whom", ["worker", "cleaner", "gpg-agent", "group"])
def test_nothing_outlives_any_process_that_is_killed(key: Path, whom: str) -> None:
    """Neither the key's file nor the agent."""
    with _working(key) as work:
        assert [*work.home.glob("private-keys-v1.d/*.key")]
        assert "gpg-agent" in [name for _pid, name in _users(work.home)]
        work.kill(whom)
        work.end()


@pytest.mark.parametrize("whom", ["worker", "cleaner", "gpg", "gpg-agent", "group"])
def test_nothing_outlives_gpg_at_work(key: Path, whom: str, tmp_path: Path) -> None:
    """While gpg waits for a message that never comes, or comes when all else is over."""
    message = tmp_path / "message"
    os.mkfifo(message)
    with _working(key, message) as work:
        patience = Patience(120)
        while "gpg" not in [name for _pid, name in _users(message)]:
            assert not patience.is_over()
            time.sleep(0.01)
        work.kill(whom)
        if whom in ("cleaner", "gpg-agent"):
            message.write_bytes(b"")
        work.end()


def test_nothing_outlives_an_interruption(key: Path) -> None:
    """Ctrl-C reaches all processes of the terminal."""
    with _working(key) as work:
        os.killpg(work.process.pid, signal.SIGINT)
        work.end()
