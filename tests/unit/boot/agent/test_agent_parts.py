# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password agent's smaller parts: passwords kept, clients run, answers sent, settings."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path

import pytest

from mandos.boot.agent import agent_check
from mandos.boot.agent import fetch as fetching
from mandos.boot.agent.delivery import DeliveryError, deliver
from mandos.boot.agent.fetch import ClientProcess, FetchError
from mandos.boot.agent.settings import COMMAND_LINE, AgentSettings
from mandos.boot.agent.vault import Buffer, Vault
from mandos.errors import AdministratorError, MachineError, UsageError
from mandos.passwords import LIMIT, LONGER_KEYS

PATIENCE = 30.0
#: Who may run a test: nobody has to change to be oneself.
ME = (os.getuid(), os.getgid())


def _buffer(content: bytes) -> Buffer:
    buffer = Buffer()
    with buffer.room as room:
        room[: len(content)] = content
    buffer.size = len(content)
    return buffer


def test_equal_passwords_have_one_number() -> None:
    """Also an empty one; the newest is the current one, even when it is an old one again."""
    vault = Vault()
    assert vault.current is None
    currents: list[int | None] = []
    for content in (b"a", b"", b"ab", b"a", b"ab"):
        vault.add(_buffer(content))
        currents.append(vault.current)
    assert currents == [0, 1, 2, 0, 2]
    with vault.content(2) as kept:
        assert bytes(kept) == b"ab"
    vault.wipe()
    assert vault.current is None


def test_a_vault_says_whether_a_password_is_new() -> None:
    """That is how a corrected password is recognised."""
    vault = Vault()
    assert [vault.add(_buffer(content)) for content in (b"a", b"a", b"b")] == [True, False, True]
    vault.wipe()


NUL = "the password has a NUL byte, where systemd splits it"
TOO_LONG = "the password has more than the 2048 bytes that systemd takes"


def _locked() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))


def test_a_password_is_locked_in_memory() -> None:
    """As long as it is kept, and it is no longer there afterwards."""
    before = _locked()
    buffer = _buffer(b"secret")
    assert _locked() - before >= LIMIT >> 10
    buffer.wipe()
    assert _locked() == before


def _shell(script: str, **environment: str) -> ClientProcess:
    return ClientProcess(["/bin/sh", "-c", script], {**os.environ, **environment}, *ME)


def _result(fetch: ClientProcess) -> bytes:
    """Wait as the agent does."""
    deadline = time.monotonic() + PATIENCE
    while not fetch.ended():
        assert time.monotonic() < deadline
        poll = select.poll()
        for descriptor in fetch.descriptors():
            poll.register(descriptor, select.POLLIN)
        poll.poll(PATIENCE * 1000)
        fetch.read()
    password = fetch.result()
    with password.content() as content:
        copy = bytes(content)
    password.wipe()
    return copy


def _held() -> tuple[int, set[str]]:
    """How many descriptors are open, and which processes are this one's children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return len(list(Path("/proc/self/fd").iterdir())), set(children.split())


def test_a_client_brings_its_output() -> None:
    """Every byte, and nothing is left open."""
    before = _held()
    assert _result(_shell(r"printf 'a b\377\n'; printf c")) == b"a b\xff\nc"
    assert _result(_shell("exit 0")) == b""
    assert _result(_shell(f"yes '' | head -c {LIMIT}")) == b"\n" * LIMIT
    assert _result(_shell("printf $NAME", NAME="value")) == b"value"
    assert _held() == before


def test_a_client_counts_only_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may close its output long before; and if it does not end kindly, it has to."""
    monkeypatch.setattr(fetching, "_ENDING", 0.01)
    before = _held()
    fetch = _shell("printf a; exec >&-; kill -STOP $$")
    poll = select.poll()
    while len(fetch.descriptors()) == 2:
        poll.register(fetch.descriptors()[1], select.POLLIN)
        poll.poll(PATIENCE * 1000)
        fetch.read()
    assert not fetch.ended()
    fetch.stop()
    assert _held() == before


def test_a_child_of_the_client_holds_nothing_up(tmp_path: Path) -> None:
    """It may keep the output open for ever."""
    life = tmp_path / "life"
    os.mkfifo(life)
    holding = os.open(life, os.O_RDWR)
    try:
        # The child ends with the pipe; with job control it has not lost its input.
        script = "set -m; printf a; read line <$LIFE & exit 0"
        assert _result(_shell(script, LIFE=str(life))) == b"a"
    finally:
        os.write(holding, b"\n")
        os.close(holding)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("printf a; exit 3", "the client failed with exit status 3"),
        ("printf a; kill -KILL $$", "the client was ended by signal 9"),
        (f"yes '' | head -c {LIMIT + 1}", f"{TOO_LONG}; {LONGER_KEYS}"),
        ("cat /dev/zero; sleep 1000", f"{TOO_LONG}; {LONGER_KEYS}"),
        (r"printf 'a\0b'", f"{NUL}; {LONGER_KEYS}"),
        (f"head -c {LIMIT} /dev/zero", f"{NUL}; {LONGER_KEYS}"),
    ],
)
def test_a_client_that_fails_brings_nothing(script: str, problem: str) -> None:
    """And nothing of its output is in the error."""
    before = _held()
    with pytest.raises(FetchError) as caught:
        _result(_shell(script))
    assert str(caught.value) == problem
    assert _held() == before


def test_a_client_that_cannot_be_started_is_named() -> None:
    """Nothing is left of the trial."""
    before = _held()
    with pytest.raises(MachineError, match="cannot run /nonexistent/client: No such file"):
        ClientProcess(["/nonexistent/client"], {}, *ME)
    assert _held() == before


def test_a_stopped_client_takes_its_children_along() -> None:
    """Also those that ignore the kind signal, which the client itself gets first."""
    fetch = _shell("trap 'exit 0' TERM; (trap '' TERM; printf a; sleep 1000) & wait")
    while len(fetch.descriptors()) == 2:
        poll = select.poll()
        poll.register(fetch.descriptors()[1], select.POLLIN)
        assert poll.poll(PATIENCE * 1000)
        fetch.read()
        if fetch._password.size:
            break
    group = fetch._child
    fetch.stop()
    deadline = time.monotonic() + PATIENCE  # the kernel ends them while we go on
    while any(_group_of(path) == group for path in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline


def _group_of(process: Path) -> int | None:
    """The process group of a process that is no zombie, proc_pid_stat(5)."""
    try:
        fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[2])


def _receiver(tmp_path: Path) -> tuple[socket.socket, bytes]:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = tmp_path / "socket"
    receiver.bind(str(path))
    return receiver, os.fsencode(path)


@pytest.mark.parametrize("password", [b"", b"one", b"a\0b\n", bytes(LIMIT)])
def test_an_answer_is_one_datagram(tmp_path: Path, password: bytes) -> None:
    """A plus sign, then the password as it is."""
    receiver, path = _receiver(tmp_path)
    with receiver:
        deliver(path, memoryview(password))
        assert receiver.recv(1 << 17) == b"+" + password


def test_an_answer_that_does_not_arrive(tmp_path: Path) -> None:
    """A full or closed socket may be better next time; one that is too small never is."""
    receiver, path = _receiver(tmp_path)
    with receiver:
        with pytest.raises(DeliveryError, match="its socket is full") as caught:
            while True:
                deliver(path, memoryview(b"x"))
        assert not caught.value.hopeless
        with pytest.raises(DeliveryError, match="too long") as caught:
            deliver(path, memoryview(bytes(1 << 24)))
        assert caught.value.hopeless
    with pytest.raises(DeliveryError, match="refused") as caught:
        deliver(path, memoryview(b"x"))
    assert not caught.value.hopeless
    with pytest.raises(DeliveryError, match="No such file"):
        deliver(path + b"x", memoryview(b"x"))


def _settings(*arguments: str) -> AgentSettings:
    return AgentSettings(COMMAND_LINE.parse(arguments))


def test_the_defaults_are_an_initial_ram_disk_s() -> None:
    """password-agent(8mandos), "OPTIONS"."""
    settings = _settings()
    assert settings.directory == "/run/systemd/ask-password"
    assert settings.client == ["/lib/mandos/plugins.d/mandos-client"]
    assert (settings.user, settings.group) == (65534, 65534)
    assert settings.environment()["MANDOSPLUGINHELPERDIR"] == "/lib/mandos/plugin-helpers"
    assert (settings.linger, settings.retry) == (60.0, 10.0)


def test_every_option() -> None:
    """The original's; what follows two dashes is the client's."""
    settings = _settings(
        *("-d", "/a", "--helper-directory=/b", "-u", "1", "-g2", "client", "--linger", "3"),
        *("--retry=4", "one", "--", "--debug", "--", "-x"),
    )
    assert settings.directory == "/a"
    assert (settings.user, settings.group, settings.linger, settings.retry) == (1, 2, 3.0, 4.0)
    assert settings.client == ["client", "one", "--debug", "--", "-x"]
    assert settings.environment()["MANDOSPLUGINHELPERDIR"] == "/b"
    older = _settings("--plugin-helper-dir=/c", "--agent-directory=/d")
    assert (older.helpers, older.directory) == ("/c", "/d")


@pytest.mark.parametrize("value", ["0", "-1", "root", "4294967295", "70000000000", "", "1.5"])
@pytest.mark.parametrize("option", ["--user", "--group"])
def test_the_client_is_a_user_other_than_root(option: str, value: str) -> None:
    """As a number that a user can have."""
    with pytest.raises(UsageError, match=option):
        _settings(f"{option}={value}")


@pytest.mark.parametrize("argument", ["--agent", "-x", "--linger=soon", "--retry=-1"])
def test_wrong_options_are_refused(argument: str) -> None:
    """An option without its value, an unknown one, times that are none."""
    with pytest.raises(UsageError):
        _settings(argument)


def test_a_file_is_no_agent_directory(tmp_path: Path) -> None:
    """That would be a mistake; a directory that does not exist is not."""
    (tmp_path / "file").touch()
    with pytest.raises(AdministratorError, match="file is not a directory"):
        _settings(f"--agent-directory={tmp_path}/file")
    _settings(f"--agent-directory={tmp_path}/none")


def _report(*arguments: str) -> tuple[list[str], int]:
    found = agent_check.findings(_settings(*arguments))
    return [str(finding) for finding in found], agent_check.exit_status(found)


def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    """The client's own options say which keys it would read."""
    lines, status = _report(
        *(f"--agent-directory={tmp_path}", "--helper-directory=/nonexistent"),
        *("--", f"{tmp_path}/mandos-client", f"--seckey={tmp_path}/secret"),
    )
    assert status == 1
    assert f"ok: questions: {tmp_path} can be watched" in lines
    assert f"failed: client: {tmp_path}/mandos-client: No such file or directory" in lines
    assert "warning: helpers: /nonexistent is not a directory" in lines
    assert (
        f"failed: key: cannot read the key file {tmp_path}/secret: No such file or directory"
        in (lines)
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do what the agent does")
def test_readiness_of_a_whole_installation(tmp_path: Path) -> None:
    """All is well; a secret key that everybody can read is a warning."""
    for name in ("mandos-client", "pub", "sec", "tls-pub", "tls-priv"):
        (tmp_path / name).write_text("something")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "mandos-client").chmod(0o700)
    (tmp_path / "tls-priv").chmod(0o604)
    lines, status = _report(
        *(f"--agent-directory={tmp_path}/later", f"--helper-directory={tmp_path}"),
        *("--", f"{tmp_path}/mandos-client", f"--pubkey={tmp_path}/pub"),
        *(f"--seckey={tmp_path}/sec", f"--tls-pubkey={tmp_path}/tls-pub"),
        f"--tls-privkey={tmp_path}/tls-priv",
    )
    assert status == 0, lines
    assert [line.partition(":")[0] for line in lines] == ["ok"] * 6 + ["warning"]
    assert f"{tmp_path}/later does not exist yet; it would be waited for" in lines[1]
    assert f"chmod o-rwx {tmp_path}/tls-priv" in lines[-1]


def test_readiness_of_another_client(tmp_path: Path) -> None:
    """Its keys are its own affair, but it has to be a program; wrong options of ours are told."""
    (tmp_path / "other").touch(mode=0o600)
    lines, _status = _report(f"{tmp_path}/other")
    assert f"failed: client: {tmp_path}/other is not a program; run: chmod +x {tmp_path}/other" in (
        lines
    )
    assert lines[-1].startswith("warning: keys: not looked at")
    lines, _status = _report("--", "/nonexistent/mandos-client", "--bad")
    assert lines[-1] == "failed: client's options: unknown option --bad"
