# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-keygen --rotate on a machine with real images, a real LUKS disk, and a real server.

A run may be killed anywhere: the machine then comes back, and the next run goes on.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_system_bus
from harness.checked import DISK, MAKE_DISK, SAVED
from harness.families import ours, reference
from harness.host import Host
from harness.initramfs import VERSION, ImageMaker, why_no_images
from harness.keys import FILES, SMALL_RSA, make_credentials
from harness.peers import PORT, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.keys import Credentials
    from harness.peers import Server
    from harness.process import Process

pytestmark = pytest.mark.peer

KEYGEN, CHECK = "/usr/sbin/mandos-keygen", "/usr/sbin/mandos-check"
IMAGE = f"/boot/initrd.img-{VERSION}"
KEYS = "/etc/keys/mandos"
ROTATION = f"{KEYS}-rotation"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
OVER, BROKEN, WAITING = 0, 1, 75
PATIENCE = 300.0
GRUB = f"""\
set default="0"
set timeout=5
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {{
\tlinux\t/boot/vmlinuz-{VERSION} root=/dev/mapper/cryptroot ro quiet
\tinitrd\t/boot/initrd.img-{VERSION}
}}
"""
PREPARE = f"""
mount -t sysfs sysfs /sys  # that of this host's own network
mkdir /run/lib.new /run/lib.work  # update-initramfs notes its images in /var/lib
mount -t overlay overlay /var/lib -o lowerdir=/var/lib,upperdir=/run/lib.new,workdir=/run/lib.work
mkdir -p /var/lib/initramfs-tools
mkdir -p /boot/grub {SAVED}
: >/boot/vmlinuz-{VERSION}
update-initramfs -c -k {VERSION}
cp -a {IMAGE} {SAVED}/initrd
cp -a {KEYS} {SAVED}/keys
{MAKE_DISK}"""
RESTORE = f"""
install -m 600 {SAVED}/initrd {IMAGE}
rm -rf {KEYS} {ROTATION} && cp -a {SAVED}/keys {KEYS} && cp {SAVED}/disk {DISK}
if mountpoint -q {BOOT_ID}; then umount {BOOT_ID}; fi
"""
REBOOT = f"""
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id {BOOT_ID}
"""


@dataclass
class Rotating:
    """The machine whose keys are rotated, its server's host, and its first keys."""

    machine: ImageMaker
    server_host: Host
    keys: Credentials

    def restore(self) -> None:
        """Give the machine its first keys, image and disk again."""
        self.machine.run("sh", "-ec", RESTORE)
        self.machine.file("/boot/grub/grub.cfg").write_text(GRUB, encoding="ascii")

    def serve(self, *sections: str) -> Server:
        """Start an announced server with these sections; it has checked the new ones already."""
        text = "\n".join(f"{section}\ninterval = PT1S\n" for section in sections)
        server = start_server(self.server_host, ours(), text, zeroconf=True)
        if any("[checked-" in section for section in sections):
            for _number in range(2):  # the second check begins after the first one has ended
                server.wait_for("checker of client checked-[0-9a-f]{8}: ")
        return server

    def start(self, *options: str, before: tuple[str, ...] = ()) -> Process:
        """Start a run of the program; ``before`` are words of a tracer."""
        return self.machine.start(
            *before, KEYGEN, "--rotate", "--no-ssh", "--name=checked", *options
        )

    def rotate(self, *options: str) -> tuple[int, str, str]:
        """Run the program; returns its status, the section and everything that it printed."""
        process = self.start(*options)
        status = process.wait(PATIENCE)
        assert "Traceback" not in process.log, process.report("traceback")
        return status, process.stdout.decode(), process.log

    def comes_back(self) -> None:
        """Fail if the next boot would not work."""
        process = self.machine.start(CHECK, "--json")
        status = process.wait(PATIENCE)
        assert status == 0, process.report("the machine stays down")

    def reboot(self) -> None:
        """Change the boot ID, as a boot does."""
        self.machine.run("sh", "-ec", REBOOT)

    def files(self, folder: str = KEYS) -> list[bytes]:
        """The contents of the key files in a folder."""
        return [(self.machine.file(folder) / name).read_bytes() for name in FILES]

    def opens(self, password: bytes) -> bool:
        """Whether a password opens the disk."""
        self.machine.file("/run/tried").write_bytes(password)
        command = ("cryptsetup", "open", "--test-passphrase", "--key-file=/run/tried", DISK)
        return self.machine.start(*command).wait() == 0

    @property
    def has_rotation(self) -> bool:
        """Whether a rotation has left files."""
        return self.machine.file(ROTATION).exists()


@pytest.fixture(scope="module")
def made(_possible: None, workshop: Host) -> Iterator[Rotating]:
    """A machine with image, disk and boot loader, and the host of its server on the same link."""
    if (reason := why_no_images()) is not None:
        pytest.skip(reason)
    with ExitStack() as stack:
        maker = stack.enter_context(ImageMaker())
        server = stack.enter_context(Host("server"))
        maker.connect(server)
        maker.install()
        keys = make_credentials(workshop, ours(), "checked", b"the disk's password", SMALL_RSA)
        maker.give_keys(keys)
        maker.file("/run/password").write_bytes(keys.password)
        maker.run("sh", "-ec", PREPARE, seconds=PATIENCE)
        yield Rotating(maker, server, keys)


@pytest.fixture
def rotating(made: Rotating) -> Rotating:
    """The machine with its first keys."""
    made.restore()
    return made


def test_keys_are_replaced(rotating: Rotating) -> None:
    """Offered, installed, rebooted, ended: the machine comes back at each moment between."""
    first = rotating.files()
    with rotating.serve(rotating.keys.section):
        status, section, log = rotating.rotate()
        assert status == WAITING, log
        assert "beside the old one" in log
        status, again, log = rotating.rotate()
        assert status == WAITING, log
        assert "gives no password to the new keys" in log
        assert section.partition("secret")[0] == again.partition("secret")[0]
        assert rotating.files() == first
        rotating.comes_back()
    with rotating.serve(rotating.keys.section, section):
        status, _none, log = rotating.rotate()
        assert status == WAITING, log
        assert "reboot when it suits you" in log
        second = rotating.files()
        assert not set(first).intersection(second)
        rotating.comes_back()
        assert rotating.rotate()[0] == WAITING  # no boot yet
        assert rotating.files(f"{ROTATION}/previous") == first
        rotating.reboot()
        status, _none, log = rotating.rotate()
        assert status == OVER, log
        assert f"key_id = {rotating.keys.key_id}" in log
    assert not rotating.has_rotation
    with rotating.serve(section):
        rotating.comes_back()
        assert rotating.files() == second


#: System calls that change the disk, or wait for it; the installing run has at least so many.
CHANGES = {"rename": 3, "renameat2": 1, "unlink": 0, "fsync": 8, "sync": 1}
#: Kills at one of each, by their names.
AT_ONE_OF_EACH = {
    "before the folders change places": "renameat2:when=1",
    "after the folders changed places": "rename:when=2",
    "after the images were made": "sync:when=1",
}


def _offered(rotating: Rotating) -> str:
    """Begin a rotation; returns the new section."""
    with rotating.serve(rotating.keys.section):
        status, section, log = rotating.rotate()
    assert status == WAITING, log
    return section


def _kill(rotating: Rotating, calls: str) -> Process:
    """Run the program until a system call at which it is killed, if it comes that far."""
    tracer = ("strace", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=SIGKILL")
    process = rotating.start(before=tracer)
    process.wait(PATIENCE)
    return process


def _end_well(rotating: Rotating) -> None:
    """The machine comes back, and the next runs end the rotation."""
    first = [
        (rotating.keys.maker.path(rotating.keys.directory) / name).read_bytes() for name in FILES
    ]
    rotating.comes_back()
    status, _section, log = rotating.rotate()
    assert status == WAITING, log
    rotating.comes_back()
    rotating.reboot()
    status, _section, log = rotating.rotate()
    assert status == OVER, log
    rotating.comes_back()
    assert not set(first).intersection(rotating.files())
    assert not rotating.has_rotation


@pytest.mark.parametrize("name", AT_ONE_OF_EACH)
def test_killed_while_keys_are_installed(rotating: Rotating, name: str) -> None:
    """Half way in, the machine comes back, and the next run goes on."""
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, section):
        process = _kill(rotating, AT_ONE_OF_EACH[name])
        assert "reboot when it suits you" not in process.log
        _end_well(rotating)


def test_killed_while_images_are_made(rotating: Rotating) -> None:
    """With the program that makes them, as by a loss of power."""
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, section):
        process = rotating.start()
        process.wait_for("making the initial RAM disks anew")
        process.end()
        assert "reboot when it suits you" not in process.log
        _end_well(rotating)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", CHANGES)
def test_killed_at_each_change(rotating: Rotating, call: str) -> None:
    """At the first of these system calls of the installing run, at the second, and so on."""
    at = 0
    while True:
        at += 1
        rotating.restore()
        section = _offered(rotating)
        with rotating.serve(rotating.keys.section, section):
            process = _kill(rotating, f"{call}:when={at}")
            if "reboot when it suits you" in process.log:
                break
            _end_well(rotating)
    assert at - 1 >= CHANGES[call], process.log


def test_way_back(rotating: Rotating) -> None:
    """After the new keys were installed; the new section is not needed then."""
    first = rotating.files()
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, section):
        assert rotating.rotate()[0] == WAITING
        assert rotating.files() != first
        status, _section, log = rotating.rotate("--abandon")
        assert status == OVER, log
    assert rotating.files() == first
    assert not rotating.has_rotation
    with rotating.serve(rotating.keys.section):
        rotating.comes_back()


def test_no_way_back_without_the_old_section(rotating: Rotating) -> None:
    """The new keys stay, since only they get the password."""
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, section):
        assert rotating.rotate()[0] == WAITING
        second = rotating.files()
    with rotating.serve(section):
        status, _section, log = rotating.rotate("--abandon")
        assert status == BROKEN, log
        assert f"section with key_id = {rotating.keys.key_id} on a server again" in log
        assert "cure: run mandos-keygen --password" not in log
        assert rotating.files() == second
        rotating.comes_back()


def test_machine_that_does_not_come_back(rotating: Rotating) -> None:
    """No rotation begins, and nothing is left."""
    with rotating.serve():
        status, section, log = rotating.rotate()
    assert (status, section) == (BROKEN, ""), log
    assert not rotating.has_rotation


def test_server_of_the_original(rotating: Rotating) -> None:
    """It is not sure that the machine comes back; the cure that is printed works."""
    machine = rotating.machine
    with ExitStack() as stack:
        host = stack.enter_context(Host("original"))
        machine.connect(host, "eth2")
        stack.callback(machine.run, "ip", "link", "delete", "eth2")
        start_system_bus(host)
        word = f"mandos=connect:[{host.link_local('eth2')}%eth2]:{PORT}"
        menu = GRUB.replace("ro quiet", f"ro quiet {word}")
        machine.file("/boot/grub/grub.cfg").write_text(menu, encoding="ascii")
        stack.enter_context(start_server(host, reference(), rotating.keys.section))
        status, section, log = rotating.rotate()
        assert (status, section) == (BROKEN, ""), log
        assert "it is not sure that this machine comes back" in log
        assert "cure: run mandos-keygen --rotate --count-as-boot" in log
        status, section, log = rotating.rotate("--count-as-boot")
        assert (status, bool(section)) == (WAITING, True), log


def test_no_server_for_offered_keys(rotating: Rotating) -> None:
    """It is the same problem with both pairs of keys: it is printed once."""
    _offered(rotating)
    status, section, log = rotating.rotate()
    assert (status, section) == (BROKEN, ""), log
    assert "with the old keys, and with the new ones:" in log
    assert log.count("server: broken: ") == 1, log


def test_status_and_sure_end(rotating: Rotating) -> None:
    """--status changes nothing; --now ends the rotation without a reboot."""
    assert rotating.rotate("--status")[0] == OVER
    section = _offered(rotating)
    before = rotating.machine.file(f"{ROTATION}/state").read_bytes()
    status, _section, log = rotating.rotate("--status")
    assert (status, "beside the old one" in log) == (WAITING, True), log
    assert rotating.machine.file(f"{ROTATION}/state").read_bytes() == before
    with rotating.serve(rotating.keys.section, section):
        status, _section, log = rotating.rotate("--now")
    assert status == OVER, log
    assert not rotating.has_rotation


def _give(rotating: Rotating, password: bytes) -> str:
    """Put a new password into a file; returns the option that names it."""
    rotating.machine.file("/run/new").write_bytes(password)
    return "--passfile=/run/new"


def test_new_password(rotating: Rotating) -> None:
    """Both open the disk until the end; the section can be printed again, with another one too."""
    old = rotating.keys.password
    with rotating.serve(rotating.keys.section):
        status, _section, log = rotating.rotate(_give(rotating, b"mistyped"))
        assert status == WAITING, log
        assert [rotating.opens(word) for word in (old, b"mistyped")] == [True, True]
        status, section, log = rotating.rotate()
        assert (status, section) == (WAITING, ""), log
        assert "give the new password again" in log
        status, section, log = rotating.rotate(_give(rotating, b"another"))
        assert status == WAITING, log
        words = (old, b"mistyped", b"another")
        assert [rotating.opens(word) for word in words] == [True, False, True]
        rotating.comes_back()
    with rotating.serve(rotating.keys.section, section):
        status, _section, log = rotating.rotate()
        assert status == WAITING, log
        assert rotating.opens(old)
        rotating.comes_back()
        rotating.reboot()
        status, _section, log = rotating.rotate()
        assert status == OVER, log
    assert [rotating.opens(word) for word in (old, b"another")] == [False, True]
    assert not rotating.has_rotation
    with rotating.serve(section):
        rotating.comes_back()


def test_new_password_is_abandoned(rotating: Rotating) -> None:
    """It does not open the disk any more."""
    with rotating.serve(rotating.keys.section):
        assert rotating.rotate(_give(rotating, b"another"))[0] == WAITING
        assert rotating.opens(b"another")
        status, _section, log = rotating.rotate("--abandon")
        assert status == OVER, log
        assert [rotating.opens(word) for word in (rotating.keys.password, b"another")] == [
            True, False,
        ]  # fmt: skip
        assert not rotating.has_rotation
        rotating.comes_back()


def test_interrupted_while_keys_are_made(rotating: Rotating) -> None:
    """RSA keys take long: that is said before, SIGTERM ends it at once, and nothing is left."""
    with rotating.serve(rotating.keys.section):
        process = rotating.start("--type=RSA")
        process.wait_for("making RSA keys of 4096 and 4096 bits")
        assert process.terminate() == 128 + signal.SIGTERM, process.log
    assert not rotating.has_rotation


def _processes(rotating: Rotating) -> set[str]:
    """The command lines of the machine's processes, with their numbers.

    Those that have ended stay in the list here, since the machine's first process reaps none.
    """
    listed = rotating.machine.run("ps", "-e", "-o", "pid=,args=").decode().splitlines()
    return {line for line in listed if "ps -e" not in line and "<defunct>" not in line}


def _wait_for_process(rotating: Rotating, words: str) -> None:
    end = time.monotonic() + PATIENCE
    while not any(words in line for line in _processes(rotating)):
        assert time.monotonic() < end, f"never seen: {words}"


def _leftovers(rotating: Rotating) -> list[str]:
    """Files of an image that is not made to its end."""
    found = rotating.machine.run("sh", "-c", "ls -d /var/tmp/mkinitramfs* /boot/*.new || true")
    return found.decode().split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_it_asks_a_server(rotating: Rotating, number: signal.Signals) -> None:
    """The image's client ends, too, and no rotation has begun."""
    with rotating.serve(f"{rotating.keys.section}\napproval_delay = PT10S\n"):
        before = _processes(rotating)
        process = rotating.start()
        _wait_for_process(rotating, "plugins.d/mandos-client")
        process.signal(number)
        assert process.wait() == 128 + number, process.log
        assert process.log.endswith("mandos-keygen --rotate --status shows the next step")
        assert _processes(rotating) == before
    assert not rotating.has_rotation


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_images_are_made(rotating: Rotating, number: signal.Signals) -> None:
    """The program that makes them clears up, and the next run goes on."""
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, section):
        before = _processes(rotating)
        process = rotating.start()
        _wait_for_process(rotating, "/usr/share/initramfs-tools/hooks/")
        process.signal(number)
        assert process.wait() == 128 + number, process.log
        assert _processes(rotating) == before
        assert not _leftovers(rotating)
        _end_well(rotating)


def test_images_that_cannot_be_made(rotating: Rotating) -> None:
    """The machine comes back with the old image, and the next run makes the new one."""
    section = _offered(rotating)
    script = rotating.machine.file("/etc/initramfs-tools/hooks/broken")
    script.write_text('#!/bin/sh\n[ "$1" = prereqs ] || exit 1\n', encoding="ascii")
    script.chmod(0o755)
    with rotating.serve(rotating.keys.section, section):
        try:
            status, _section, log = rotating.rotate()
        finally:
            script.unlink()
        assert (status, "command failed" in log) == (69, True), log
        assert "run mandos-keygen --rotate again, or go back" in log
        _end_well(rotating)


def test_server_without_the_new_section(rotating: Rotating, stack: ExitStack) -> None:
    """One of two servers lacks it: nothing is installed, since that one would be of no use."""
    first = rotating.files()
    section = _offered(rotating)
    stack.enter_context(rotating.serve(rotating.keys.section, section))
    second = stack.enter_context(Host("second"))
    rotating.machine.connect(second, "eth1")
    options = ("--interface", "eth1")
    stack.enter_context(
        start_server(second, ours(), rotating.keys.section, zeroconf=True, options=options)
    )
    status, _section, log = rotating.rotate()
    rotating.machine.run("ip", "link", "delete", "eth1")
    assert status == WAITING, log
    assert "%eth1]" in log
    assert "gives no password to the new keys" in log
    assert rotating.files() == first


def test_section_that_no_check_succeeds_for(rotating: Rotating) -> None:
    """The server would disable this machine before it boots: nothing is installed."""
    first = rotating.files()
    section = _offered(rotating)
    with rotating.serve(rotating.keys.section, f"{section}\nchecker = false\n"):
        status, _section, log = rotating.rotate()
    assert status == WAITING, log
    assert "has not found this machine alive yet by the new section" in log
    assert rotating.files() == first


def _kill_with_password(rotating: Rotating, calls: str) -> None:
    tracer = ("strace", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=SIGKILL")
    process = rotating.start(_give(rotating, b"another"), before=tracer)
    process.wait(PATIENCE)
    assert "next:" not in process.log, process.report("it was not killed")


def test_killed_beside_changes_of_slots(rotating: Rotating) -> None:
    """Before the new slot is set, after it was, and after the old one was emptied."""
    old = rotating.keys.password
    with rotating.serve(rotating.keys.section):
        _kill_with_password(rotating, "memfd_create:when=1")
        assert [rotating.opens(word) for word in (old, b"another")] == [True, False]
        rotating.comes_back()
        assert rotating.rotate()[0] == WAITING  # the section was not printed: there is none
        for moment in ("rename:when=8", "rename:when=9"):  # its salt is noted; the section is made
            rotating.restore()
            _kill_with_password(rotating, moment)
            assert [rotating.opens(word) for word in (old, b"another")] == [True, True]
            rotating.comes_back()
        status, section, log = rotating.rotate(_give(rotating, b"another"))
        assert (status, bool(section)) == (WAITING, True), log
    with rotating.serve(rotating.keys.section, section):
        assert rotating.rotate()[0] == WAITING
        rotating.reboot()
        tracer = ("strace", "-qq", "-o", "/dev/null", "-e", "inject=rmdir:signal=SIGKILL:when=1")
        process = rotating.start(before=tracer)
        process.wait(PATIENCE)
        assert [rotating.opens(word) for word in (old, b"another")] == [False, True]
        assert rotating.has_rotation, process.log
        rotating.comes_back()
        status, _section, log = rotating.rotate()
        assert status == OVER, log
        rotating.comes_back()
    assert not rotating.has_rotation
