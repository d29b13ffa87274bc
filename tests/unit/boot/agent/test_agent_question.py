# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Question files: what systemd writes, what is left alone, and what must not harm us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mandos.boot.agent import question
from mandos.boot.agent.question import Question, QuestionError

#: As systemd 252 wrote it.
SYSTEMD = b"""[Ask]
PID=13
Socket=/run/systemd/ask-password/sck.414c7919d45c08f2
AcceptCached=0
Echo=0
NotAfter=1979061383
Silent=0
Message=Please enter passphrase for disk data:
Id=cryptsetup:/dev/vda2
"""
SHORT = b"[Ask]\nPID=1\nSocket=/s\n"


def test_what_systemd_asks() -> None:
    """Every field that matters is read."""
    asked = question.parse(SYSTEMD)
    assert (asked.pid, asked.not_after) == (13, 1979061383)
    assert asked.socket == b"/run/systemd/ask-password/sck.414c7919d45c08f2"
    assert asked.title == "Please enter passphrase for disk data:"
    assert asked.subject == b"cryptsetup:/dev/vda2"


@pytest.mark.parametrize(
    "data",
    [
        SYSTEMD.replace(b"\n", b"\r\n"),
        SYSTEMD.replace(b"=", b" = "),
        b"# a comment\n; another\n\n" + SYSTEMD + b"Unknown=1\nno pair\n[Other]\nPID=7\n",
        b"PID=7\n[Other]\nSocket=/other\n" + SYSTEMD,
        SYSTEMD.replace(b"PID=13", b"PID=12\nPID=13"),
    ],
    ids=["CRLF", "blanks", "more after", "more before", "twice: the last counts"],
)
def test_what_is_written_differently(data: bytes) -> None:
    """Unknown parts are passed over, as the specification asks."""
    asked = question.parse(data)
    assert (asked.pid, asked.not_after) == (13, 1979061383)
    assert asked.subject == b"cryptsetup:/dev/vda2"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "which process"),
        (SHORT.replace(b"[Ask]", b"[ask]"), "which process"),
        (SHORT.replace(b"PID=1", b"PID="), "which process"),
        (SHORT.replace(b"PID=1", b"PID=0"), "which process"),
        (SHORT.replace(b"PID=1", b"PID=-1"), "which process"),
        (SHORT.replace(b"PID=1", b"PID=one"), "which process"),
        (SHORT.replace(b"PID=1", b"PID=" + b"9" * 5000), "which process"),
        (SHORT.replace(b"Socket=/s", b""), "where the answer goes"),
        (SHORT.replace(b"/s", b"relative"), "where the answer goes"),
        (SHORT.replace(b"/s", b"/s\0t"), "where the answer goes"),
        (SHORT.replace(b"/s", b"/" + b"s" * 107), "where the answer goes"),
    ],
)
def test_what_is_no_question(data: bytes, reason: str) -> None:
    """Without an asker, or somewhere to answer, there is nothing to do."""
    with pytest.raises(QuestionError, match=reason):
        question.parse(data)


@pytest.mark.parametrize("text", [b"", b"NotAfter=0\n", b"NotAfter=soon\n", b"NotAfter=-5\n"])
def test_a_question_without_a_time_limit_never_expires(text: bytes) -> None:
    """Also one whose limit cannot be read, as with the original."""
    assert not question.parse(SHORT + text).expired(1e12)


def test_a_question_expires_at_its_time() -> None:
    """``NotAfter`` is in microseconds of the monotonic clock."""
    asked = question.parse(SHORT + b"NotAfter=5000000\n")
    assert [asked.expired(now) for now in (4.999, 5.0, 6.0)] == [False, True, True]


def test_a_question_is_about_its_id() -> None:
    """Without one, it is the same process's with the same message."""

    def subject(text: bytes) -> bytes:
        return question.parse(SHORT + text).subject

    assert subject(b"Id=a\nMessage=x\n") == subject(b"Id=a\nMessage=y\nPID=2\n")
    assert subject(b"Id=a\n") != subject(b"Id=b\n")
    assert subject(b"Message=x\n") == subject(b"Message=x\nId=\n")
    assert subject(b"Message=x\n") != subject(b"Message=x\nPID=2\n")
    assert subject(b"Message=x\n") != subject(b"Message=y\n")


def test_a_title_cannot_move_the_cursor() -> None:
    """Control characters and bytes that are no text are shown as something harmless."""
    asked = question.parse(SHORT + b"Message=\x1b[2Jdisk\x07 \xff\n")
    assert asked.title == "[2Jdisk  \N{REPLACEMENT CHARACTER}"


def test_an_asker_lives_or_not() -> None:
    """A process that has ended, or never was, no longer waits for an answer."""

    def asker(pid: int) -> Question:
        return question.parse(SHORT + b"PID=%d\n" % pid)

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert asker(os.getpid()).asker_lives()
    assert not asker(ended.pid).asker_lives()
    assert not asker(10**18).asker_lives()


def _file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "ask.one"
    path.write_bytes(data)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    """Whole, up to the limit."""
    _file(tmp_path, SYSTEMD + b"#" * (question.LIMIT - len(SYSTEMD)))
    assert question.read(str(tmp_path), "ask.one").pid == 13


def test_a_file_that_has_gone_is_told_apart(tmp_path: Path) -> None:
    """That happens whenever somebody else was faster, and is nothing to report."""
    with pytest.raises(QuestionError) as caught:
        question.read(str(tmp_path), "ask.one")
    assert caught.value.gone


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["large", "link", "directory", "fifo", "endless"])
def test_a_hostile_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Nothing that is not a small plain file is read, and nothing makes us wait."""
    path = tmp_path / "ask.one"
    if kind == "large":
        path.write_bytes(SYSTEMD + b"#" * question.LIMIT)
    elif kind == "link":
        (tmp_path / "real").write_bytes(SYSTEMD)
        path.symlink_to(tmp_path / "real")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(QuestionError) as caught:
        question.read(str(tmp_path), "ask.one")
    assert not caught.value.gone
