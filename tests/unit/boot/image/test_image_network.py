# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network settings that cannot work at boot: found when an image is made, without false alarms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mandos.boot.image.network_check import (
    Machine,
    Named,
    ip_interface,
    missing_interfaces,
    named_by_client_options,
    named_on_command_lines,
)

CARD = "ens3-of-test"
ABSENT = "eno1-of-test"
DEVICE = [Named(ABSENT, "DEVICE")]


class Root:
    """The files of a machine that a test makes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / f"sys/class/net/{CARD}/device").mkdir(parents=True)
        (path / "sys/class/net/lo").mkdir()
        self.write("proc/self/mountinfo", "21 1 254:0 / / rw - ext4 /dev/vda rw\n")
        (path / "proc/1").mkdir()
        (path / "proc/1/root").symlink_to(path)
        self.write("proc/cmdline", "quiet\n")

    def write(self, name: str, text: str) -> None:
        """Make a file."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def missing(self, named: list[Named], *, dracut: bool = False) -> dict[str, str]:
        """The interfaces that are reported, of these settings and of the command lines."""
        machine = Machine(self.path)
        everywhere = [*named, *named_on_command_lines(machine, dracut=dracut)]
        return missing_interfaces(machine, everywhere, self.path / "hooks")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A machine with one network card."""
    return Root(tmp_path)


def test_an_absent_interface_is_reported_with_all_its_places(root: Root) -> None:
    """One report for a name, however many settings have it."""
    root.write("proc/cmdline", f"ip=:::::{ABSENT}:dhcp\n")
    root.write("etc/default/grub", f'GRUB_CMDLINE_LINUX="ip=:::::{ABSENT}:dhcp"\n')
    assert root.missing(DEVICE) == {
        ABSENT: "DEVICE and ip= in GRUB_CMDLINE_LINUX in /etc/default/grub"
        " and ip= in the command line of the running kernel"
    }


def test_what_is_there_is_not_reported(root: Root) -> None:
    """The card itself, and an interface that has no hardware behind it."""
    assert root.missing([Named(CARD, "DEVICE"), Named("lo", "DEVICE")]) == {}


def test_no_alarm_where_the_image_is_for_another_machine(root: Root) -> None:
    """In a change root, in containers, and where no card is seen."""
    assert root.missing(DEVICE)
    for mark in ("run/systemd/container", "run/.containerenv"):
        root.write(mark, "")
        assert root.missing(DEVICE) == {}
        (root.path / mark).unlink()
    assert root.missing(DEVICE)
    (root.path / f"sys/class/net/{CARD}/device").rmdir()
    assert root.missing(DEVICE) == {}


@pytest.mark.parametrize("sign", ["other root", "no mount", "no /proc"])
def test_no_alarm_in_a_change_root(root: Root, sign: str) -> None:
    """The signs of one: the first process has another root, / is not mounted, no /proc."""
    assert root.missing(DEVICE)
    link = root.path / "proc/1/root"
    if sign == "other root":
        link.unlink()
        link.symlink_to("/")
    elif sign == "no mount":
        root.write("proc/self/mountinfo", "21 1 254:0 /root/proc /proc rw - proc proc rw\n")
    else:
        (root.path / "proc").rename(root.path / "elsewhere")
    assert root.missing(DEVICE) == {}


@pytest.mark.parametrize(
    "words",
    [
        f"bridge={ABSENT}:{CARD}",
        f"bond={ABSENT}:{CARD}:mode=active-backup",
        f"vlan={ABSENT}:{CARD}",
        f"ifname={ABSENT}:52:54:00:00:00:01",
    ],
)
def test_no_alarm_for_what_the_boot_itself_makes(root: Root, words: str) -> None:
    """By words of the kernel command line."""
    root.write("proc/cmdline", words)
    assert root.missing(DEVICE) == {}


def test_no_alarm_for_what_a_network_hook_makes(root: Root) -> None:
    """A hook that names the interface, but not one that has the name inside another word."""
    root.write("hooks/bridge", f"ip link add x{ABSENT}x type bridge\n")
    assert root.missing(DEVICE)
    root.write("hooks/bridge", f'ip link add "{ABSENT}" type bridge\n')
    assert root.missing(DEVICE) == {}


def test_no_alarm_when_cards_get_other_names(root: Root) -> None:
    """The boot loader has net.ifnames=0, with which this kernel was not yet booted."""
    root.write("etc/default/grub", "GRUB_CMDLINE_LINUX=net.ifnames=0\n")
    assert root.missing(DEVICE) == {}
    root.write("proc/cmdline", "net.ifnames=0\n")
    assert root.missing(DEVICE)


@pytest.mark.parametrize(
    ("value", "of_initramfs_tools", "of_dracut"),
    [
        ("dhcp", "", ""),
        ("eno1:dhcp", "", "eno1"),
        ("eno1:dhcp:1500:52-54-00-00-00-01", "", "eno1"),
        ("192.0.2.2::192.0.2.1:255.255.255.0::eno1:off", "eno1", "eno1"),
        (":::::eno1:dhcp", "eno1", "eno1"),
        ("192.0.2.2::192.0.2.1:255.255.255.0:host::off", "", ""),
        ("[2001:db8::10]::[2001:db8::1]:64::eno1:none", "eno1", "eno1"),
        ("[2001:db8::10]::[2001:db8::1]:64:::none", "", ""),
        ("", "", ""),
    ],
)
def test_interface_in_ip(value: str, of_initramfs_tools: str, of_dracut: str) -> None:
    """Each generator's own grammar; brackets hold an address together."""
    assert ip_interface(value, dracut=False) == of_initramfs_tools
    assert ip_interface(value, dracut=True) == of_dracut


def test_interfaces_in_client_options() -> None:
    """Of --interface and of link-local addresses; the word none is no name."""
    options = ["--interface=eno1,none", "--interface", "eno2", "--connect=fe80::1%eno3:4711"]
    options += ["--server=[fe80::1%eno4]:4711", "--connect=192.0.2.1:4711", "--no-such-option"]
    names = [named.name for named in named_by_client_options(options, "FILE")]
    assert names == ["eno1", "eno2", "eno3", "eno4"]


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet mandos=off"\n'}, "GRUB_CMDLINE_LINUX in"),
        ({"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=mandos=off # so\n"}, "_DEFAULT in"),
        ({"etc/default/grub.d/a.cfg": "GRUB_CMDLINE_LINUX='mandos=off'\n"}, "grub.d/a.cfg"),
        ({"etc/kernel/cmdline": "root=x mandos=off\n"}, "/etc/kernel/cmdline"),
        (
            {
                "etc/default/grub": "GRUB_CMDLINE_LINUX=mandos=off\n",
                "etc/default/grub.d/a.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX quiet"\n',
            },
            "grub.d/a.cfg",
        ),
        (
            {
                "etc/default/grub": "GRUB_CMDLINE_LINUX=mandos=off\n",
                "etc/default/grub.d/a.cfg": "GRUB_CMDLINE_LINUX=quiet\n",
            },
            None,
        ),
        ({"etc/default/grub": "#GRUB_CMDLINE_LINUX=mandos=off\n"}, None),
        ({"proc/cmdline": "mandos=off\n"}, None),
    ],
)
def test_words_that_the_boot_loader_has(
    root: Root, files: dict[str, str], place: str | None
) -> None:
    """Later files win, as for a shell; a word typed for this one boot is none of them."""
    for name, text in files.items():
        root.write(name, text)
    lines = Machine(root.path).configured_command_lines()
    places = [where for where, words in lines.items() if "mandos=off" in words]
    assert len(places) == (place is not None)
    assert all(str(place) in where for where in places)


def test_this_machine_can_be_looked_at() -> None:
    """With the real /proc and /sys nothing fails, whatever kind of machine it is."""
    machine = Machine()
    assert machine.is_target() in {True, False}
    assert machine.has("lo") == Path("/sys/class/net/lo").exists()
    assert isinstance(machine.command_lines(), dict)
    assert os.path.exists("/proc/self/mountinfo")  # noqa: PTH110 - what it reads
