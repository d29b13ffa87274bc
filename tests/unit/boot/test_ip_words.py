# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line's ip=, as each generator's own grammar has it, in the real shells.

initramfs-tools: Linux, Documentation/admin-guide/nfs/nfsroot.rst, and klibc's README.ipconfig.
dracut: dracut.cmdline(7).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHELLS = {
    "dash": ["dash"],
    "busybox": ["busybox", "sh"],
    "bash": ["bash", "--posix"],
    "klibc": ["/usr/lib/klibc/bin/sh"],
}
#: The words on the command line, the interfaces by initramfs-tools, and those by dracut.
WORDS = {
    "": ("", ""),
    "ip=[fd00::2]::[fd00::1]:64::eno1:none": ("eno1", "eno1"),
    "ip=[fd00::2]::[fd00::1]:64:alpha:eno1:none": ("eno1", "eno1"),
    "ip=[2001:db8::10]::[2001:db8::1]:64::eno1:none": ("eno1", "eno1"),
    "ip=[2001:db8:1:2:3:4:5:6]:[2001:db8::9]:[fe80::1]:64::eno1:none": ("eno1", "eno1"),
    "ip=[fe80::1:2:3:4]:::64::eno1:off": ("eno1", "eno1"),
    "ip=[fd00::2]/64::[fd00::1]:64::eno1:none": ("eno1", "eno1"),
    "ip=192.0.2.2::192.0.2.1:255.255.255.0::eno1:none": ("eno1", "eno1"),
    "ip=192.0.2.2::192.0.2.1:255.255.255.0::eno1:none:1500:52:54:00:12:34:56": ("eno1", "eno1"),
    "ip=192.0.2.2::192.0.2.1:24:alpha:eno1:none:192.0.2.53:192.0.2.54": ("eno1", "eno1"),
    "ip=192.0.2.2::192.0.2.1:24:alpha:br0.100:none": ("br0.100", "br0.100"),
    "ip=192.0.2.2::192.0.2.1:24:alpha::none": ("", ""),
    "ip=:::::eno1:dhcp": ("eno1", "eno1"),
    "ip=::::alpha:eno1:dhcp6": ("eno1", "eno1"),
    "ip=:::::eno1": ("eno1", "eno1"),
    "ip=eno1:dhcp": ("", "eno1"),
    "ip=eno1:dhcp:1500": ("", "eno1"),
    "ip=eno1:dhcp:1500:52:54:00:12:34:56": ("00", "eno1"),
    "ip=eno1:dhcp,auto6": ("", "eno1"),
    "ip=eno1:link-local": ("", "eno1"),
    "ip=bond0.7:auto6": ("", "bond0.7"),
    "ip=eno1": ("eno1", ""),
    "ip=dhcp": ("", ""),
    "ip=on": ("", ""),
    "ip=any": ("", ""),
    "ip=off": ("", ""),
    "ip=none": ("", ""),
    "ip=both": ("", ""),
    "ip=auto6": ("", ""),
    "ip=either6": ("", ""),
    "ip=single-dhcp": ("", ""),
    "ip=ibft": ("", ""),
    "ip=192.0.2.2::192.0.2.1:24::eno1:none ip=:::::eno2:dhcp": ("eno2", "eno1 eno2"),
    "ip=eno1:dhcp ip=eno2:dhcp": ("", "eno1 eno2"),
    "ip=:::::eno1:dhcp ip=dhcp": ("", "eno1"),
    "ip=:::::*:dhcp": ("", ""),
    "ip=:::::/*:dhcp ip=:::::???:dhcp": ("", ""),
    "ip=* /* ip=::::*::dhcp": ("", ""),
    "ip=192.0.2.2::192.0.2.1:24:a:eno1,x:none": ("", ""),
    "ip=192.0.2.2::192.0.2.1:24:a:eno1#x:none": ("", ""),
    "ip=-e::::::": ("", ""),
    "ip=:::::-n:dhcp": ("-n", "-n"),
    "ip=:::::none:dhcp": ("", ""),
    "ip=:::::a-name-that-is-too-long:dhcp": ("", ""),
    "ip=[": ("", ""),
    "ip=[fd00::2": ("", ""),
    "ip=]:[:]::::eno1": ("eno1", "eno1"),
    "ip=": ("", ""),
    "ip": ("", ""),
    "noip=:::::eno1:dhcp": ("", ""),
}
#: What dracut's own shell library has; getargs prints a line for each word.
DRACUT = """
getargs() (
    unset IFS
    set -- "$1" $(set -f; cat "$FOLDER/cmdline")
    wanted=$1
    shift
    for word; do
        case $word in
        "$wanted"*) printf '%s\\n' "${word#"$wanted"}" ;;
        esac
    done
)
getarg() (set -f; getargs "$1" | tail -n 1)
warn() { echo "WARNING $*"; }
modprobe() (IFS=" "; echo "modprobe $*" >>"$FOLDER/modprobe")
"""
#: Sources the script as dracut does, after the shell has been put into a state; prints what is not
#: as it was.
SOURCING = """
{state}
before="$- [$IFS]"
. "$FOLDER/script"
after="$- [$IFS]"
[ "$before" = "$after" ] || echo "leaked: $before became $after"
set | grep -E '^(number|rest|part|after_|second|value|name|module|options)=' | sed 's/^/leaked: /'
:
"""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """A shell that images or their generators have."""
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return command


def _script(folder: Path, script: str) -> Path:
    """Copy a boot script; what it reads and writes is in the folder."""
    (folder / "conf.d" / "mandos").mkdir(parents=True)
    text = (ROOT / script).read_text(encoding="utf-8")
    for path, there in {
        "/conf/conf.d": "conf.d",
        "/proc/cmdline": "cmdline",
        ". /scripts/functions": f". {folder}/functions",
        "/lib/cryptsetup/askpass": "askpass",
        "/lib/mandos/kernel-modules": "kernel-modules",
        "/etc/cmdline.d": "cmdline.d",
    }.items():
        assert path in text or "scripts" in path or path[1:4] in ("pro", "lib", "etc")
        text = text.replace(path, there if there.startswith(".") else f"{folder}/{there}")
    copy = folder / "script"
    copy.write_text(text, encoding="utf-8")
    return copy


def _interfaces(folder: Path) -> str:
    configuration = folder / "conf.d" / "mandos" / "plugin-runner.conf"
    if not configuration.exists():
        return ""
    start = "--options-for=mandos-client:--interface="
    lines = configuration.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith(start) for line in lines), lines
    return " ".join(line.removeprefix(start) for line in lines)


def _run(shell: list[str], folder: Path, text: str) -> str:
    (folder / "eno9").touch()  # what a pattern would become
    done = subprocess.run(
        [*shell, "-c", text],
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "FOLDER": str(folder), "DEVICE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("words", WORDS)
def test_initramfs_tools(tmp_path: Path, shell: list[str], words: str) -> None:
    """The last ip= counts; its sixth field names the interface, or the word does."""
    script = _script(tmp_path, "initramfs-tools/scripts/init-premount/mandos")
    (tmp_path / "functions").touch()
    (tmp_path / "cmdline").write_text(f"quiet {words}\n", encoding="ascii")
    assert _run(shell, tmp_path, f". {script}") == ""
    assert _interfaces(tmp_path) == WORDS[words][0]


@pytest.mark.parametrize("words", WORDS)
def test_dracut(tmp_path: Path, shell: list[str], words: str) -> None:
    """All words ip= count, in both of their forms; dracut's shell is left as it was."""
    _script(tmp_path, "dracut/90mandos/command-line.sh")
    (tmp_path / "cmdline").write_text(f"quiet {words}\n", encoding="ascii")
    assert _run(shell, tmp_path, DRACUT + SOURCING.format(state="")) == ""
    assert _interfaces(tmp_path) == WORDS[words][1]


@pytest.mark.parametrize("state", ["set -f", "IFS=:", "IFS=,; set -f", "unset IFS"])
def test_dracuts_shell_is_left_as_it_was(tmp_path: Path, shell: list[str], state: str) -> None:
    """Options and IFS stay as they were, and the words are read right whatever they were."""
    _script(tmp_path, "dracut/90mandos/command-line.sh")
    (tmp_path / "kernel-modules").write_text("8021q\nbonding mode=1 miimon=*\n", encoding="ascii")
    (tmp_path / "cmdline").write_text("ip=eno1:dhcp", encoding="ascii")
    assert _run(shell, tmp_path, DRACUT + SOURCING.format(state=state)) == ""
    assert _interfaces(tmp_path) == "eno1"
    loaded = (tmp_path / "modprobe").read_text(encoding="ascii").splitlines()
    assert loaded == [
        f"modprobe -q {module}" for module in ("ipv6", "8021q", "bonding mode=1 miimon=*")
    ]


@pytest.mark.parametrize("device", ["eno1", "eno1,eno2", "eno1 eno2", "*", "eno1,*,none", ""])
def test_device_of_initramfs_conf(tmp_path: Path, shell: list[str], device: str) -> None:
    """DEVICE may name several, and counts where ip= names none."""
    script = _script(tmp_path, "initramfs-tools/scripts/init-premount/mandos")
    (tmp_path / "functions").touch()
    (tmp_path / "cmdline").write_text("quiet ip=dhcp\n", encoding="ascii")
    _run(shell, tmp_path, f"DEVICE='{device}'; . {script}")
    names = device.replace(",", " ").split()
    assert _interfaces(tmp_path).split() == [name for name in names if name not in ("*", "none")]
