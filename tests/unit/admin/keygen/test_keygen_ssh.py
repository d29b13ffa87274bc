# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker that compares SSH host keys: what is printed, and what it does when it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mandos import process
from mandos.admin.keygen import ssh
from mandos.errors import MachineError
from mandos.process import Completed

SCAN = """\
# localhost:22 SSH-2.0-OpenSSH_9.2p1
localhost ssh-rsa AAAArsa
# localhost:22 SSH-2.0-OpenSSH_9.2p1
localhost ssh-ed25519 AAAAed
localhost ecdsa-sha2-nistp256 AAAAecdsa
"""


def _program(path: Path, output: str) -> None:
    """A stand-in for ssh-keyscan that first shows how it was called."""
    path.write_text(f"#!/bin/sh\necho \"$@\" >{path}.called\ncat <<'END'\n{output}END\n")
    path.chmod(0o755)


def _at_run_time(checker: str, host: str) -> str:
    """What the shell gets after both expansions, the server's start and the checker's."""
    return checker % () % {"host": host}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("# host:22 SSH\nhost.example ssh-ed25519 AAAAed\n", 0),
        ("host.example ssh-ed25519 AAAAother\n", 1),
        ("host.example ssh-rsa AAAAed\n", 1),
        ("", 1),
    ],
    ids=["the same key", "another key", "another type", "no answer"],
)
def test_only_the_same_key_is_alive(tmp_path: Path, answer: str, status: int) -> None:
    """The checker asks for the best key type, under the host's name, and compares the key."""
    checker = ssh.checker(SCAN)
    assert checker is not None
    _program(tmp_path / "ssh-keyscan", answer)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = _at_run_time(checker, "host.example")
    assert process.run(["/bin/sh", "-c", command], env=env, timeout=30).status == status
    called = (tmp_path / "ssh-keyscan.called").read_text()
    assert called == "-t ed25519 host.example\n"


@pytest.mark.parametrize("scan", ["", "# only a comment\n", "rubbish\n", "a ssh-dss AAAA\n"])
def test_no_known_key_gives_no_checker(scan: str) -> None:
    """Then the server's default checker stays."""
    assert ssh.checker(scan) is None


def test_this_host_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """All key types of localhost are asked for; a machine without ssh-keyscan has no checker."""
    calls: list[list[str]] = []

    def run(command: list[str], *, timeout: float) -> Completed:
        calls.append(command)
        assert timeout < 60
        return Completed(command, 0, SCAN.encode(), b"")

    def missing(command: list[str], *, timeout: float) -> Completed:
        raise MachineError(f"cannot run {command[0]} in {timeout}")

    monkeypatch.setattr(process, "run", run)
    assert ssh.checker_for_this_host() == ssh.checker(SCAN)
    assert calls == [["ssh-keyscan", "-t", "ed25519,ecdsa,rsa", "localhost"]]
    monkeypatch.setattr(process, "run", missing)
    assert ssh.checker_for_this_host() is None
