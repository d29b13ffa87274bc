# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for a reload by the server's socket: the answer says how it went."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mandos.errors import AdministratorError, MachineError, MandosError
from mandos.server import control
from mandos.server.control import Control, ask
from mandos.server.main import main

#: Asks as another user; ends with the number of bytes that came as an answer.
STRANGER = """
import contextlib, os, socket, sys
os.setuid(65534)
asking, answer = socket.socket(socket.AF_UNIX), b""
asking.connect("control")
with contextlib.suppress(BrokenPipeError, ConnectionResetError):
    asking.sendall(b"reload\\n")
    answer = asking.recv(9)
sys.exit(len(answer))
"""


class Reloader:
    """Says that a reload went like this."""

    def __init__(self, error: MandosError | None) -> None:
        self.error = error
        self.times = 0

    async def try_to_reload(self) -> MandosError | None:
        """How it went."""
        self.times += 1
        return self.error


@asynccontextmanager
async def served(folder: Path, error: MandosError | None = None) -> AsyncIterator[Reloader]:
    """A server's socket in a directory."""
    reloader = Reloader(error)
    one = Control(reloader)  # type: ignore[arg-type]  # of the reloader it uses only this
    await one.start(folder)
    try:
        yield reloader
    finally:
        await one.stop()


def _environment(folder: Path) -> dict[str, str]:
    return {"RUNTIME_DIRECTORY": f"{folder}:/elsewhere"}


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (None, 0, []),
        (AdministratorError("line 2", "mend it"), 78, ["line 2", "hint: mend it"]),
        (MachineError("in force, but not saved"), 0, ["in force, but not saved"]),
    ],
)
async def test_answer(
    tmp_path: Path, error: MandosError | None, status: int, lines: list[str]
) -> None:
    """The exit status and the lines are those of the reload; what is in force is a success."""
    async with served(tmp_path, error) as reloader:
        answer = await asyncio.to_thread(ask, _environment(tmp_path))
        assert answer == (status, lines)
        assert reloader.times == 1


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    """A directory where a server was killed."""
    (tmp_path / "control").touch()
    return tmp_path


async def test_socket_that_was_left_behind_is_replaced(left_behind: Path) -> None:
    """A server that was killed could not remove it."""
    tmp_path = left_behind
    async with served(tmp_path):
        assert (await asyncio.to_thread(ask, _environment(tmp_path))).status == 0


async def test_other_words_and_other_users_get_nothing(tmp_path: Path) -> None:
    """Only root and the server's user may ask, and only for this."""
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - for the test
    async with served(tmp_path) as reloader:
        os.chmod(tmp_path / "control", 0o666)  # noqa: PTH101, S103 - for the test
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control")
        writer.write(b"restart\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        if os.geteuid() == 0:
            command = [sys.executable, "-c", STRANGER]
            done = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, check=False)
            assert done.returncode == 0
        assert reloader.times == 0


def test_no_server_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what else to do; a broken mandos.conf is no reason not to ask."""
    with pytest.raises(MachineError, match="No such file"):
        ask(_environment(tmp_path))
    monkeypatch.setattr(control, "_DEFAULT", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    (tmp_path / "mandos.conf").write_text("rubbish", encoding="ascii")
    assert main(["--reload", "--configdir", str(tmp_path)]) == os.EX_UNAVAILABLE
    assert "mandos-ctl --reload" in capsys.readouterr().err
