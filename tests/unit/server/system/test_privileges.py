# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving up root as a real process does it, seen in proc_pid_status(5) and by its checkers."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mandos.errors import AdministratorError, MachineError
from mandos.server.state.obstacles import obstacle, user_name
from mandos.server.system.privileges import ServerUser, make_state_directory, server_user

if TYPE_CHECKING:
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
pings = pytest.mark.skipif(shutil.which("fping") is None, reason="fping is not installed")

NET_RAW = 1 << 13
NOTHING = 0
#: A network of its own, where nobody may ping without CAP_NET_RAW (ping_group_range, icmp(7)).
OWN_NETWORK = ("unshare", "--net", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh")
#: Does what the case says, gives up root, and prints how it and its checkers then are.
PROGRAM = """
import json, logging, os, subprocess, sys
from mandos.server.system import privileges

logging.basicConfig(format="logged: %(message)s")
case, checker = sys.argv[1:]
exec(case)
privileges.give_up_root()

def fields(text):
    return dict(line.split(":", 1) for line in text.splitlines())

def run(command):
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, cwd="/")

def fails(call, *arguments):
    try:
        call(*arguments)
    except PermissionError:
        return True
    return False

with open("/proc/self/status") as file:
    own = fields(file.read())
done = run(checker)
print(json.dumps({
    "own": own, "checker": fields(run("cat /proc/self/status").stdout),
    "status": done.returncode, "said": done.stderr,
    "no way back": fails(os.setresuid, 0, 0, 0) and fails(os.setresgid, 0, 0, 0),
}))
"""
BECOME_NOBODY = "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(*[65534] * 3)"
FPING = "fping -q -- ::1"
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def _give_up_root(
    *launcher: str, case: str = "pass", checker: str = "true"
) -> tuple[dict[str, Any], str]:
    """How the process and its checker were afterwards, and what it logged."""
    done = subprocess.run(
        [*launcher, sys.executable, "-c", PROGRAM, case, checker],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def _capabilities(status: dict[str, str]) -> dict[str, int]:
    return {name: int(status[name], 16) for name in CAPABILITY_SETS}


def _all_five(capabilities: int) -> dict[str, int]:
    return dict.fromkeys(CAPABILITY_SETS, capabilities)


@as_root
def test_one_capability_is_left() -> None:
    """The server and its checkers hold CAP_NET_RAW, and can never have another one."""
    found, _log = _give_up_root()
    for status in (found["own"], found["checker"]):
        assert _capabilities(status) == _all_five(NET_RAW)
        assert int(status["NoNewPrivs"]) == 1


@as_root
def test_nothing_of_root_is_left() -> None:
    """All user and group numbers are the server's, its groups too, and it cannot return."""
    found, _log = _give_up_root()
    user = pwd.getpwuid(int(found["own"]["Uid"].split()[0]))
    assert user.pw_name in ("_mandos", "mandos", "nobody")
    assert found["own"]["Uid"].split() == [str(user.pw_uid)] * 4
    assert found["own"]["Gid"].split() == [str(user.pw_gid)] * 4
    groups = {int(group) for group in found["own"]["Groups"].split()}
    assert groups == set(os.getgrouplist(user.pw_name, user.pw_gid))
    assert found["no way back"]


#: Behind it, /mnt/id is a set-user-ID program of root; nothing outside sees it.
WITH_SETUID_ID = (
    "unshare", "--mount", "sh", "-ec",
    'mount -t tmpfs -o mode=755 tmpfs /mnt; cp "$(which id)" /mnt; chmod 4755 /mnt/id; exec "$@"',
    "sh",
)  # fmt: skip


@as_root
def test_a_checker_cannot_become_root() -> None:
    """A set-user-ID program stays the server's user; for another program's child it is root."""
    ordinary = subprocess.run(
        [*WITH_SETUID_ID, "setpriv", "--reuid", "65534", "/mnt/id", "-u"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ordinary.stdout == "0\n"
    found, _log = _give_up_root(*WITH_SETUID_ID, checker="test $(/mnt/id -u) != 0")
    assert found["status"] == 0, found["said"]


#: How the server may have been started by root, and what its checkers can then do.
STARTS = {
    "by hand": (),
    "no new privileges": ("setpriv", "--no-new-privs"),
    "as by the unit": (
        "setpriv", "--no-new-privs",
        "--bounding-set", "-all,+setuid,+setgid,+setpcap,+net_raw,+net_bind_service",
    ),
    "without CAP_SETPCAP": ("setpriv", "--bounding-set", "-setpcap"),
    "with supplementary groups": ("setpriv", "--groups", "0,4,27"),
    "with ambient capabilities": (
        "setpriv", "--inh-caps", "+net_raw,+chown", "--ambient-caps", "+net_raw,+chown",
    ),
}  # fmt: skip


@as_root
@pings
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_fping_works_as_a_checker(start: tuple[str, ...]) -> None:
    """However root started it, the server's checkers can ping, and hold nothing else."""
    found, log = _give_up_root(*OWN_NETWORK, *start, checker=FPING)
    assert found["status"] == 0, found["said"]
    held = _capabilities(found["checker"])
    del held["CapBnd"]  # which without CAP_SETPCAP stays as it was, and no new privileges mutes
    assert set(held.values()) == {NET_RAW}
    assert int(found["checker"]["NoNewPrivs"]) == 1
    assert "logged" not in log


@as_root
@pings
def test_fping_works_for_an_ordinary_user() -> None:
    """Somebody else than root has nothing to give up; fping's own capability still counts."""
    found, log = _give_up_root(*OWN_NETWORK, case=BECOME_NOBODY, checker=FPING)
    assert "logged" not in log
    assert found["status"] == 0, found["said"]
    assert int(found["own"]["NoNewPrivs"]) == 0
    assert found["own"]["Uid"].split() == ["65534"] * 4
    held = _capabilities(found["own"])
    assert (held["CapPrm"], held["CapEff"], held["CapAmb"]) == (NOTHING, NOTHING, NOTHING)


@as_root
@pytest.mark.parametrize(
    ("start", "case"),
    [
        (("setpriv", "--bounding-set", "-net_raw"), "pass"),
        (("setpriv", "--no-new-privs"), BECOME_NOBODY),
    ],
    ids=["container", "no new privileges for an ordinary user"],
)
def test_without_the_capability_it_goes_on(start: tuple[str, ...], case: str) -> None:
    """Where CAP_NET_RAW cannot be had the server says so, and runs checkers that need none."""
    found, log = _give_up_root(*start, case=case)
    assert "logged: the server has no CAP_NET_RAW" in log
    assert found["status"] == 0
    held = _capabilities(found["own"])
    assert (held["CapPrm"], held["CapEff"], held["CapAmb"]) == (NOTHING, NOTHING, NOTHING)


@as_root
def test_a_machine_that_keeps_us_root_is_an_error() -> None:
    """Without CAP_SETUID the server says so, and never serves as root."""
    with pytest.raises(AssertionError) as failure:
        _give_up_root("setpriv", "--bounding-set", "-setuid")
    assert "MachineError: cannot become the user" in str(failure.value)


def test_the_user_of_somebody_else_than_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by an ordinary user the server stays that user, with or without a name."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    monkeypatch.setattr(os, "getegid", lambda: 4_000_000_001)
    assert server_user() == (4_000_000_000, 4_000_000_001, "4000000000")


@pytest.fixture
def user() -> ServerUser:
    """Who the server would be here."""
    return server_user()


def test_state_directory_is_made(tmp_path: Path, user: ServerUser) -> None:
    """A missing one is made, the user's own and nobody else's; a second call is content."""
    path = tmp_path / "state"
    for _ in range(2):
        make_state_directory(path, user)
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (user.uid, user.gid)
        assert stat.S_IMODE(found.st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o500])
def test_state_directory_that_others_cannot_change(
    tmp_path: Path, user: ServerUser, mode: int
) -> None:
    """One that has another mode, as after a restore, is used as it is."""
    path = tmp_path / "state"
    make_state_directory(path, user)
    path.chmod(mode)
    make_state_directory(path, user)
    assert stat.S_IMODE(path.lstat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_state_directory_that_others_can_change(
    tmp_path: Path, user: ServerUser, mode: int
) -> None:
    """Others could forge the state; it is left as it is, and the error says what to do."""
    path = tmp_path / "state"
    make_state_directory(path, user)
    path.chmod(mode)
    with pytest.raises(AdministratorError, match=f"mode {mode:04o}") as failure:
        make_state_directory(path, user)
    assert failure.value.hint == f"leave it to its owner: chmod 0700 {path}"
    assert stat.S_IMODE(path.lstat().st_mode) == mode


def test_state_directory_of_another_user(tmp_path: Path, user: ServerUser) -> None:
    """It is served from, not changed; what is in the way has a name and a command."""
    path = tmp_path / "the state"
    path.mkdir(0o700)
    make_state_directory(path, ServerUser(user.uid + 1, user.gid, "other"))
    assert path.lstat().st_uid == os.geteuid()
    found = obstacle(path, user.uid + 1, "other")
    assert found is not None
    assert found.said == f"{path} belongs to {user_name(os.geteuid())}, not to other"
    assert found.mend == f"run: chown -R other: '{path}'"


def test_state_directory_behind_a_link(tmp_path: Path, user: ServerUser) -> None:
    """A symbolic link is not followed, even to a directory that would do, or to none."""
    make_state_directory(tmp_path / "real", user)
    (tmp_path / "state").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("state", "dangling"):
        with pytest.raises(AdministratorError, match="is a symbolic link"):
            make_state_directory(tmp_path / name, user)
    assert not (tmp_path / "nothing").exists()


def test_state_directory_that_is_a_file(tmp_path: Path, user: ServerUser) -> None:
    """Whatever is in the way is named."""
    (tmp_path / "state").touch()
    with pytest.raises(AdministratorError, match="is no directory"):
        make_state_directory(tmp_path / "state", user)


def test_state_directory_without_a_place(tmp_path: Path, user: ServerUser) -> None:
    """Missing parents are the administrator's to make."""
    with pytest.raises(MachineError, match="No such file") as failure:
        make_state_directory(tmp_path / "no" / "state", user)
    assert failure.value.hint == f"make its parent: mkdir -p {tmp_path / 'no'}"


@as_root
def test_state_directory_that_cannot_be_given(tmp_path: Path) -> None:
    """Root without CAP_CHOWN says so, and leaves no directory of its own behind."""
    program = (
        "import sys; from pathlib import Path; from mandos.server.system import privileges\n"
        "privileges.make_state_directory(Path(sys.argv[1]), privileges.server_user())"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-chown", sys.executable, "-c", program, tmp_path / "state"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "MachineError: cannot make the state directory" in done.stderr
    assert not (tmp_path / "state").exists()
