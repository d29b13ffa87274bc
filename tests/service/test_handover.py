# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand-over to cryptsetup-initramfs: its real prompt, in a real image, by the real scripts.

Only the plugin is the test's own, one that an administrator could have written: it runs as the
user that plugins run as, and prints what a file holds.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from harness.early_boot import EarlyBoot
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer

PLUGIN = "[ -e /password ] && cat /password"
GAVE = "gave the password to the prompt for"
ASKS_AGAIN = "does not unlock"


@pytest.fixture
def boot(image_tree: Path) -> Iterator[EarlyBoot]:
    """An image at work, with one plugin."""
    if shutil.which("script") is None:
        pytest.skip("script is not installed (tools/test-setup installs it when root)")
    with EarlyBoot(image_tree) as boot:
        boot.use_plugin(PLUGIN)
        yield boot


def _offer(boot: EarlyBoot, password: str) -> None:
    """Let the plugin have another password from now on."""
    boot.file("/password.new").write_text(password, encoding="utf-8")
    boot.file("/password.new").rename(boot.file("/password"))


def _configuration(boot: EarlyBoot) -> str:
    """What the boot scripts have written; the image brings no configuration."""
    file = boot.file("/conf/conf.d/mandos/plugin-runner.conf")
    return file.read_text(encoding="ascii") if file.exists() else ""


def test_waiting_prompt_gets_the_password(boot: EarlyBoot) -> None:
    """A prompt gets exactly the bytes of the password, whether it or they were first."""
    _offer(boot, "open säsame \x01")
    job = boot.boot_script("init-premount")
    assert boot.ask("cryptroot").answer() == "open säsame \x01".encode()
    job.wait_for(f"{GAVE} cryptroot")


def test_every_disk_gets_the_password(boot: EarlyBoot) -> None:
    """A second disk gets the same password, without another fetch."""
    _offer(boot, "sesame")
    job = boot.boot_script("init-premount")
    assert boot.ask("cryptroot").answer() == b"sesame"
    boot.file("/password").unlink()
    assert boot.ask("cryptdata").answer() == b"sesame"
    job.wait_for(f"{GAVE} cryptdata")


def test_wrong_password_is_fetched_anew(boot: EarlyBoot) -> None:
    """A disk that asks again does not get the same password, but the corrected one, by itself."""
    _offer(boot, "wrong")
    job = boot.boot_script("init-premount")
    assert boot.ask("cryptroot").answer() == b"wrong"
    second = boot.ask("cryptroot")
    job.wait_for(ASKS_AGAIN)
    assert second.process.running
    _offer(boot, "right")
    assert second.answer() == b"right"


def test_person_at_the_console_wins(boot: EarlyBoot) -> None:
    """While the password from the server is known to be wrong, what is typed is taken."""
    _offer(boot, "wrong")
    job = boot.boot_script("init-premount")
    assert boot.ask("cryptroot").answer() == b"wrong"
    second = boot.ask("cryptroot")
    job.wait_for(ASKS_AGAIN)
    second.type("typed\n")
    assert second.answer() == b"typed"


#: A client that waits and says so, to a person and to the log.
TELLING = """
echo "mandos-client: something for the log" >&2
echo "mandos-client: notice: waiting for a server" >&2
exec sleep 600
"""


def test_person_at_the_console_is_told_why_nothing_happens(boot: EarlyBoot) -> None:
    """A notice of the client is shown on a line of its own, and the prompt again after it.

    All else is for the kernel's log (of which the test machine has none: it is printed, once).
    """
    boot.use_plugin(TELLING, "mandos-client")
    job = boot.boot_script("init-premount")
    boot.ask("cryptroot").process.wait_for("^Please unlock")
    shown = job.wait_for("^mandos-client: waiting for a server$")
    job.wait_for("^Please unlock disk cryptroot:$", after=shown)
    assert job.log.count("waiting for a server") == 2
    assert job.log.count("something for the log") == 1


def test_person_is_first(boot: EarlyBoot) -> None:
    """With no password in sight the prompt is the ordinary one."""
    boot.boot_script("init-premount").wait_for("no plugin had a password")
    prompt = boot.ask("cryptroot")
    prompt.type("typed\n")
    assert prompt.answer() == b"typed"


def test_end_leaves_nothing_behind(boot: EarlyBoot) -> None:
    """When the root file system is there, a fetch under way is ended; no process is left."""
    boot.use_plugin('trap "echo leaving the network >&2; exit 1" TERM; echo up >&2; read x </fifo')
    boot.run("mkfifo", "-m", "666", "/run/root/fifo")
    job = boot.boot_script("init-premount")
    job.wait_for("up")
    assert "mandos-handover" in boot.programs()
    assert boot.boot_script("init-bottom").wait() == 0
    assert boot.programs() == []
    job.wait()
    assert "leaving the network" in job.log
    assert not boot.file("/run/mandos-handover.pid").exists()


@pytest.mark.parametrize("missing", ["/usr/bin/python3", "/lib/mandos/mandos-handover"])
def test_damaged_image_has_its_prompt(boot: EarlyBoot, missing: str) -> None:
    """Without Python or without our programs the scripts succeed, and the prompt works."""
    boot.file(missing).unlink()
    assert boot.boot_script("init-premount").wait() == 0
    prompt = boot.ask("cryptroot")
    prompt.type("typed\n")
    assert prompt.answer() == b"typed"
    assert boot.boot_script("init-bottom").wait() == 0


def test_fetch_that_cannot_start(boot: EarlyBoot) -> None:
    """Without plugin-runner the person at the console is told, and the prompt works."""
    boot.file("/lib/mandos/plugin-runner").unlink()
    boot.boot_script("init-premount").wait_for("cannot run /lib/mandos/plugin-runner")
    prompt = boot.ask("cryptroot")
    prompt.type("typed\n")
    assert prompt.answer() == b"typed"


@pytest.mark.parametrize(
    ("command_line", "device", "options"),
    [
        ("", "", []),
        ("", "eth0", ["--interface=eth0"]),
        ("", "eth0,eth1", ["--interface=eth0", "--interface=eth1"]),
        ("ip=192.0.2.9::192.0.2.1:255.255.255.0::eth7:none", "eth0", ["--interface=eth7"]),
        ("ip=dhcp", "eth0", ["--interface=eth0"]),
        ("ip=:::::eth*:dhcp", "", []),
        ("ip=:::::eth7:dhcp ip=[fd00::2]::[fd00::1]:64::eth8:off", "", ["--interface=eth8"]),
    ],
)
def test_command_line_becomes_options(
    image_tree: Path, command_line: str, device: str, options: list[str]
) -> None:
    """DEVICE of initramfs.conf and ip= of the kernel command line name the interface."""
    with EarlyBoot(image_tree, command_line) as boot:
        boot.file("/lib/cryptsetup/askpass").unlink()  # nobody will ask: nothing is started
        assert boot.boot_script("init-premount", DEVICE=device).wait() == 0
        assert _configuration(boot).splitlines() == [
            f"--options-for=mandos-client:{option}" for option in options
        ]
        assert boot.programs() == []


#: A network set-up that never comes to an end, as without a cable; ipconfig stands for its child.
ENDLESS = """
configure_networking() {
    echo "IP-Config: no response"
    sh -c 'echo $$ >/run/set-up; while :; do sleep 1; done' ipconfig
}
"""


def _never_connected(boot: EarlyBoot) -> None:
    with boot.file("/scripts/functions").open("a", encoding="ascii") as file:
        file.write(ENDLESS)


def _set_up(boot: EarlyBoot) -> Path:
    """What /proc has of the set-up that runs."""
    file = boot.file("/run/set-up")
    deadline = time.monotonic() + PATIENCE
    while not (file.exists() and (number := file.read_text(encoding="ascii").strip())):
        assert time.monotonic() < deadline, "the network is not set up"
        time.sleep(0.01)
    return boot.path(f"/proc/{number}")


def _is_alive(process: Path) -> bool:
    try:
        (process / "exe").readlink()
    except OSError:
        return False  # it has gone, or nobody has asked how it ended
    return True


def _wait_for_end(process: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while _is_alive(process):
        assert time.monotonic() < deadline, f"{process} is still there"
        time.sleep(0.01)


def test_nothing_waits_for_the_network(image_tree: Path) -> None:
    """mandos=connect:ADDRESS:PORT names the server; it is asked while the network is set up.

    What the set-up says is kept out of the prompt's line.  It ends when the root is there.
    """
    with EarlyBoot(image_tree, "mandos=connect:[2001:db8::1]:4711 ip=dhcp") as boot:
        _never_connected(boot)
        boot.use_plugin(PLUGIN)
        _offer(boot, "sesame")
        job = boot.boot_script("init-premount")
        assert boot.ask("cryptroot").answer() == b"sesame"
        assert "--options-for=mandos-client:--connect=[2001:db8::1]:4711\n" in _configuration(boot)
        assert "IP-Config" not in job.log
        assert "IP-Config" in boot.file("/run/mandos-network.log").read_text(encoding="ascii")
        set_up = _set_up(boot)
        assert _is_alive(set_up)
        assert boot.boot_script("init-bottom").wait() == 0
        _wait_for_end(set_up)
        assert not boot.file("/run/mandos-network.pid").exists()


def test_keyscript_does_not_wait_for_the_network(image_tree: Path) -> None:
    """With plugin-runner as the keyscript the boot goes on to the prompt at once."""
    with EarlyBoot(image_tree, "mandos=connect ip=dhcp") as boot:
        _never_connected(boot)
        table = boot.file("/cryptroot/crypttab")
        text = "x /dev/x none luks,keyscript=/lib/mandos/plugin-runner\n"
        table.write_text(text, encoding="ascii")
        job = boot.boot_script("init-premount")
        set_up = _set_up(boot)
        assert job.wait() == 0
        assert boot.boot_script("init-bottom").wait() == 0
        _wait_for_end(set_up)


def test_off(image_tree: Path) -> None:
    """mandos=off starts nothing and changes nothing."""
    with EarlyBoot(image_tree, "ip=:::::eth1:dhcp mandos=off") as boot:
        assert boot.boot_script("init-premount").wait() == 0
        assert boot.programs() == []
        assert _configuration(boot) == ""


def test_keyscript_is_left_to_cryptsetup(boot: EarlyBoot) -> None:
    """Where crypttab has plugin-runner as the keyscript, it is not started twice."""
    table = boot.file("/cryptroot/crypttab")
    table.write_text("x /dev/x none luks,keyscript=/lib/mandos/plugin-runner\n", encoding="ascii")
    assert boot.boot_script("init-premount").wait() == 0
    assert boot.programs() == []
