# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a real systemd as its first process, and this machine's files to change as it likes.

Its root is an overlay over this machine's, and what it writes is gone with it; its control group
is one of our own, and goes too.  Only what a test asks for is started: the journal, and its unit.
"""

from __future__ import annotations

import functools
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from harness.host import Host, why_impossible
from harness.patience import Patience
from harness.process import PATIENCE, Process

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "systemd" / "mandos.service"
#: Where the server's Python is in the machine: for root alone, as it may be on a real one.
OPT = "/opt/mandos"
#: What /usr/sbin/mandos is there.  The library path is for Python's own shared library.
PROGRAM = f"""#!/bin/sh
LD_LIBRARY_PATH={OPT}/python/lib exec {OPT}/python/bin/{Path(sys.executable).resolve().name} \
-I -S {OPT}/start.py "$@"
"""
START = f"""
import os, sys
del os.environ["LD_LIBRARY_PATH"]
sys.path += ["{OPT}/src", "{OPT}/packages"]
from mandos.server.main import main
sys.exit(main())
"""
BOOTED = """[Unit]
DefaultDependencies=no
After=sysinit.target systemd-journald.service
Requires=sysinit.target systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo booted >/run/console'
"""
#: Makes the control group, starts the machine in it, and ends both when our own end comes:
#: when the test closes our input, asks us to end, or is no more.
HOLDER = """
cgroup=$1
shift
mkdir "$cgroup"
exec 3<&0
sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$cgroup" "$@" 3<&- &
machine=$!
cat <&3 >/dev/null &
watcher=$!
trap : TERM
wait "$watcher"
exec >/dev/null 2>&1
kill -KILL $(cat "/proc/$machine/task/$machine/children") "$watcher"
wait "$machine"
find "$cgroup" -depth -type d -exec rmdir '{}' ';'
"""
ISOLATE = (
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"),
    *("--net", "--ipc", "--uts", "--cgroup", "sh", "-ec"),
)
OVERLAY = """
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
"""
#: What a running system finds mounted, from its root directory on.
MOUNTS = """
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir -m 1777 dev/shm run/tmp
mkdir dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
: >etc/fstab
ln -sf /dev/null etc/systemd/system/systemd-modules-load.service
"""
#: Makes this the root directory, and starts systemd when the test says so.
START_SYSTEMD = """
mkfifo run/go run/console
pivot_root . mnt
umount --lazy /mnt
ip link set lo up
echo "made $pid"
read -r on <run/go
cat /run/console &
exec env -i container=mandos-test /lib/systemd/systemd --unit=booted.service --show-status=no
"""
#: Arguments: the trees that the overlay may miss, then what the server needs, as NAME=PATH.
BOOT = f"""
read -r pid rest </proc/self/stat
{OVERLAY}
mount -t tmpfs -o mode=1777 tmpfs /mnt/root/tmp
mkdir -p -m 700 /mnt/root{OPT}
for tree; do
    there={OPT}/${{tree%%=*}}
    [ "${{tree#*=}}" != "$tree" ] || there=$tree
    mkdir -p "/mnt/root$there"
    mount --rbind "${{tree#*=}}" "/mnt/root$there"
done
cd /mnt/root
{MOUNTS}
rm -rf etc/mandos var/lib/mandos var/log/journal
sed -i '/^_\\?mandos:/d' etc/passwd etc/shadow etc/group etc/gshadow
{START_SYSTEMD}
"""


def _cgroup() -> Path | None:
    """The unified control group that we are in ourselves, cgroups(7)."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    at = [fields[1] for fields in map(str.split, mounts) if fields[2] == "cgroup2"]
    ours = [line.removeprefix("0::") for line in groups if line.startswith("0::")]
    return Path(at[0] + ours[0]) if at and ours else None


@functools.cache
def why_no_machine() -> str | None:
    """Say why this machine cannot run another systemd; None when it can."""
    if (reason := why_impossible()) is not None:
        return reason
    if not Path("/lib/systemd/systemd").exists() or shutil.which("systemd-analyze") is None:
        return "systemd is not installed"
    if _cgroup() is None:
        return "no unified control groups (cgroup2) are mounted"
    trial = subprocess.run([*ISOLATE, OVERLAY], capture_output=True, check=False)
    return None if trial.returncode == 0 else f"no overlay: {trial.stderr.decode().strip()}"


class Machine(Host):
    """A host where systemd runs, with our server as /usr/sbin/mandos and our unit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[Process] = []
        self._make(BOOT, *_trees(), *_needs())
        self._install()
        self._boot()

    def _make(self, script: str, *arguments: str) -> None:
        """Run the script that makes the machine's root directory, and then waits."""
        cgroup = f"{_cgroup()}/mandos-test-{secrets.token_hex(8)}"
        command = ["sh", "-c", HOLDER, "sh", cgroup, *ISOLATE, script, "sh", *arguments]
        self._holder = Process(command)
        made = self._holder.wait_for("^made")
        self.pid = int(self._holder.lines[made - 1].split()[1])

    def _boot(self) -> None:
        self.path("/run/systemd/system").mkdir(parents=True)
        self.write("/run/systemd/system/booted.service", BOOTED)
        self.write("/run/go", "on\n")
        self._holder.wait_for("^booted$")

    def _install(self) -> None:
        self.path("/usr/sbin/mandos").unlink(missing_ok=True)
        self.write("/usr/sbin/mandos", PROGRAM, mode=0o755)
        self.write(f"{OPT}/start.py", START)
        self.path("/etc/mandos").mkdir()
        users = "/run/sysusers.conf"
        self.write(users, (ROOT / "sysusers.d" / "mandos-common.conf").read_text(encoding="utf-8"))
        self.run("systemd-sysusers", users)
        self.write("/etc/systemd/system/mandos.service", UNIT.read_text(encoding="utf-8"))

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine, as root's."""
        self.path(name).write_text(text, encoding="utf-8")
        self.path(name).chmod(mode)

    def systemctl(self, *words: str) -> str:
        """Return what systemctl says, once it has ended successfully."""
        process = self.start("systemctl", *words)
        if process.wait() != 0:
            journal = self.run("journalctl", "--lines=30", "--output=short-monotonic").decode()
            raise AssertionError(process.report(journal))
        return process.stdout.decode()

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).rstrip("\n")

    def wait_until(self, unit: str, name: str, pattern: str) -> str:
        """Return a property of a unit once it matches ``pattern``; systemd has no event for all."""
        patience = Patience(PATIENCE)
        while not re.search(pattern, shown := self.show(unit, name)):
            assert not patience.is_over(), f"{name} of {unit} is still {shown!r}"
            time.sleep(0.1)
        return shown

    @property
    def runs(self) -> bool:
        """Whether its systemd still runs; in a reboot another program takes its place at last."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text(encoding="ascii") == "systemd\n"
        except OSError:
            return False

    def wait_for_reboot(self) -> None:
        """Return when systemd has ended; the kernel ends the machine then."""
        deadline = time.monotonic() + PATIENCE
        while self.runs:
            assert time.monotonic() < deadline, f"{self.name} still runs"
            time.sleep(0.1)

    def hold_off_shutdown(self, name: str) -> None:
        """Start a unit that holds a shutdown inhibitor: systemd-inhibit(1)."""
        inhibit = ("systemd-inhibit", "--what=shutdown", "--mode=block", f"--who={name}")
        command = ("--why=it is busy", "sleep", "infinity")
        self.run("systemd-run", "--quiet", f"--unit={name}", *inhibit, *command)
        deadline = time.monotonic() + PATIENCE
        while name not in self.run("systemd-inhibit", "--list", "--no-legend").decode():
            assert time.monotonic() < deadline, f"{name} holds nothing"

    def follow(self, unit: str) -> Process:
        """Watch a unit's log lines, those that were before too."""
        return self.start("journalctl", "--unit", unit, "--output=cat", "--follow", "--no-tail")

    def close(self) -> None:
        """End the machine and everything on it."""
        self._holder.terminate()
        for process in self._processes:
            process.wait()


def _trees() -> list[str]:
    """What may be on another file system than the root."""
    return sorted({str(ROOT), sys.prefix, sys.base_prefix})


def _needs() -> list[str]:
    """What the server needs, as our own directory has it."""
    packages = sysconfig.get_path("platlib")
    return [f"python={sys.base_prefix}", f"src={ROOT / 'src'}", f"packages={packages}"]
