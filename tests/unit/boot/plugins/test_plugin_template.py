# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin template for administrators, and what the plugin page promises about it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mandos import passwords
from mandos.boot.runner import race
from mandos.boot.runner.settings import COMMAND_LINE, RunnerSettings

ROOT = Path(__file__).parents[4]
TEMPLATE = ROOT / "examples/plugin-template"
RUNNER = [
    sys.executable,
    "-I",
    "-c",
    "import sys, mandos.boot.runner.main as r; sys.exit(r.main())",
]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _plugin(*options: str) -> subprocess.Popen[bytes]:
    return _start(["/bin/sh", str(TEMPLATE), *options])


def test_a_key_file_that_is_there_is_printed(tmp_path: Path) -> None:
    """Exactly, whatever bytes it has."""
    key = tmp_path / "key"
    key.write_bytes(b"pass\0word\n\xff")
    with _plugin(f"--file={key}") as plugin:
        assert plugin.communicate(timeout=30) == (b"pass\0word\n\xff", b"")
        assert plugin.returncode == 0


def test_a_key_file_is_waited_for(tmp_path: Path) -> None:
    """It may come later, as a device does."""
    key = tmp_path / "key"
    with _plugin(f"--file={key}", "--debug") as plugin:
        assert plugin.stderr is not None
        assert plugin.stderr.readline() == f"waiting for {key}\n".encode()
        key.write_bytes(b"secret")
        assert plugin.communicate(timeout=30) == (b"secret", b"")


def test_it_ends_when_it_is_told(tmp_path: Path) -> None:
    """Without a success, at once, and with nothing left behind."""
    with _plugin(f"--file={tmp_path}/never", "--debug") as plugin:
        assert plugin.stderr is not None
        plugin.stderr.readline()
        plugin.send_signal(signal.SIGTERM)
        assert plugin.communicate(timeout=30) == (b"", b"stopped\n")
        assert plugin.returncode == 1


@pytest.mark.parametrize(("options", "status"), [([], 69), (["--nonsense"], 64)])
def test_wrong_options_are_no_success(options: list[str], status: int) -> None:
    """Without its file there is nothing to do; other options are refused."""
    with _plugin(*options) as plugin:
        assert plugin.communicate(timeout=30)[0] == b""
        assert plugin.returncode == status


def test_it_runs_under_plugin_runner(tmp_path: Path) -> None:
    """As the page shows it, with its options and its name before what it says."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "plugins.d"
    folder.mkdir(mode=0o755)
    plugin = folder / "usb-key"
    plugin.write_bytes(TEMPLATE.read_bytes())
    plugin.chmod(0o755)
    key = tmp_path / "key"
    key.write_bytes(b"secret")
    options = (f"--plugin-dir={folder}", "--config-file=/dev/null",
               f"--options-for=usb-key:--file={key},--debug",
               f"--userid={folder.stat().st_uid}", f"--groupid={folder.stat().st_gid}")  # fmt: skip
    with _start([*RUNNER, *options]) as runner:
        said = f"usb-key: waiting for {key}\n".encode()
        assert runner.communicate(timeout=30) == (b"secret", said)
        assert runner.returncode == 0


def test_the_page_and_the_sample_are_true() -> None:
    """The figures that the plugin page names, and every option of the sample configuration."""
    page = " ".join((ROOT / "docs/plugins.md").read_text("utf-8").split())
    pace = race.Pace()
    assert (pace.pause, pace.grace, passwords.LIMIT) == (1.0, 10.0, 2048)
    assert "started again after one second" in page
    assert "After ten seconds it is killed" in page
    assert "More than 2048 bytes" in page
    sample = (ROOT / "conf/plugin-runner.conf").read_text("utf-8")
    options = [line[1:] for line in sample.splitlines() if line.startswith("#--")]
    assert len(options) == 7
    said: list[str] = []
    RunnerSettings(COMMAND_LINE.parse(options), said.append)
    assert said == []
    assert [line for line in sample.splitlines() if line and not line.startswith("#")] == []
