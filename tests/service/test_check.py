# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-check on a machine with a real image, a real LUKS disk, and a real server on the link.

A healthy machine passes; each way to break the chain is named by its link.
"""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.bus import start_system_bus
from harness.checked import CHECK, IMAGE, KEYS, UUID, Checked, healthy_machine
from harness.efi_files import program, set_text
from harness.families import ours, reference
from harness.host import Host
from harness.initramfs import VERSION
from harness.keys import SMALL_RSA, make_credentials
from harness.peers import PORT, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.initramfs import Maker
    from harness.keys import Credentials
    from harness.peers import Server

pytestmark = pytest.mark.peer


def _links(findings: list[dict[str, Any]], verdict: str) -> list[str]:
    return [finding["link"] for finding in findings if finding["verdict"] == verdict]


@pytest.fixture(scope="module")
def machine(_possible: None, workshop: Host) -> Iterator[Checked]:
    """A machine with image, disk and boot loader, and the host of its server on the same link."""
    with healthy_machine(workshop) as machine:
        yield machine


@pytest.fixture
def checked(machine: Checked) -> Checked:
    """The machine, healthy again."""
    machine.restore()
    return machine


def test_healthy_machine_passes(checked: Checked) -> None:
    """No link is broken or unknown, the exit status is 0, and every link was looked at."""
    with checked.serve() as server:
        status, findings = checked.check()
        server.wait_for("sent the secret of client checked .* for a rehearsal")
    assert status == 0, findings
    assert {finding["verdict"] for finding in findings} == {"ok"}, findings
    assert {finding["link"] for finding in findings} >= {
        "boot loader", "initial RAM disk", "keys", "programs in the image", "network", "server",
        "secret",
    }  # fmt: skip


def test_words_for_a_person(checked: Checked) -> None:
    """Each broken link has its meaning and its cure, and the last line is the verdict."""
    checked.boot_with("mandos=off")
    with checked.serve():
        process = checked.machine.start(CHECK)
        assert process.wait() == 1
    text = process.stdout.decode()
    assert re.search("^boot loader +BROKEN  ", text, re.MULTILINE)
    assert "meaning: no Mandos server is asked at boot" in text
    assert "cure: remove the word in /etc/default/grub" in text
    assert text.endswith("\nThis machine would not come back by itself.\n")


def _other_keys(checked: Checked) -> Credentials:
    """The TLS key was made anew after the image."""
    other = checked.keys.with_tls_key("ed25519")
    for name in ("tls-privkey.pem", "tls-pubkey.pem"):
        path = checked.keys.maker.path(f"{other.directory}/{name}")
        shutil.copy2(path, checked.machine.file(KEYS))
    return other


def _public_key_of_another(checked: Checked) -> None:
    path = checked.keys.with_tls_key("secp256r1").directory
    name = "tls-pubkey.pem"
    shutil.copy2(checked.keys.maker.path(f"{path}/{name}"), checked.machine.file(KEYS))


def _no_pair(checked: Checked) -> None:
    """The same mistake, and an image that was made afterwards."""
    _public_key_of_another(checked)
    checked.change_image(f"cp {KEYS}/tls-pubkey.pem conf/conf.d/mandos/")


def _openpgp_key_of_another(checked: Checked) -> None:
    """The secret that the server has cannot be decrypted with the image's key."""
    other = make_credentials(checked.keys.maker, ours(), "other", b"any", SMALL_RSA)
    secret = checked.keys.maker.path(f"{other.directory}/seckey.txt").read_bytes()
    checked.machine.file(f"{KEYS}/seckey.txt").write_bytes(secret)
    checked.machine.file(f"{KEYS}/pubkey.txt").unlink()
    checked.change_image(
        f"cp {KEYS}/seckey.txt conf/conf.d/mandos/", "rm conf/conf.d/mandos/pubkey.txt"
    )


def _image_cut_off(checked: Checked) -> None:
    path = checked.machine.file(IMAGE)
    path.write_bytes(path.read_bytes()[:1_000_000])


def _conf(line: str) -> Callable[[Checked], None]:
    """A line of plugin-runner.conf in the image."""

    def change(checked: Checked) -> None:
        checked.change_image(f"echo '{line}' >conf/conf.d/mandos/plugin-runner.conf")

    return change


def _wrong_port(checked: Checked) -> None:
    address = checked.server_host.link_local()
    _conf(f"--options-for=mandos-client:--connect=[{address}%eth0]:4712")(checked)


BREAKS: dict[str, tuple[Callable[[Checked], object], str]] = {
    "mandos=off left in the boot loader": (lambda c: c.boot_with("mandos=off"), "boot loader"),
    "ip= names no interface": (
        lambda c: c.boot_with("mandos=connect:192.0.2.1:4711 ip=::::alpha:eno7:dhcp"), "network",
    ),
    "no image": (lambda c: c.machine.file(IMAGE).unlink(), "initial RAM disk"),
    "image is cut off": (_image_cut_off, "initial RAM disk"),
    "unknown compression": (
        lambda c: c.machine.file(IMAGE).write_bytes(b"\x01" * 100), "initial RAM disk",
    ),
    "keys are no pair": (_no_pair, "keys"),
    "secret for another key": (_openpgp_key_of_another, "secret"),
    "client is missing in the image": (
        lambda c: c.change_image("rm lib/mandos/plugins.d/mandos-client"), "programs in the image",
    ),
    "a module is missing in the image": (
        lambda c: c.change_image("find . -path '*mandos/wire/grammar.pyc' -delete"),
        "programs in the image",
    ),
    "a library is missing in the image": (
        lambda c: c.change_image("find . -name 'libgnutls.so*' -delete"), "programs in the image",
    ),
    "crypttab without the disk": (
        lambda c: c.change_image(": >cryptroot/crypttab"), "disks in the image",
    ),
    "crypttab with another disk": (
        lambda c: c.change_image(f"sed -i s/{UUID}/{UUID[:-1]}1/ cryptroot/crypttab"),
        "disks in the image",
    ),
    "disk has another password": (lambda c: c.change_password(), "secret"),
    "plugin is disabled": (_conf("--disable=mandos-client"), "programs in the image"),
    "name does not resolve": (
        _conf("--options-for=mandos-client:--connect=nosuch.invalid:4711"), "server",
    ),
    "wrong port": (_wrong_port, "server"),
    "the client's option is none": (_conf("--options-for=mandos-client:--retry=x"), "server"),
    "interface is down": (lambda c: c.machine.run("ip", "link", "set", "eth0", "down"), "network"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_broken_link_is_named(checked: Checked, name: str) -> None:
    """Exactly this link is broken, and the exit status says that the machine stays down."""
    breaks, link = BREAKS[name]
    with checked.serve():
        breaks(checked)
        status, findings = checked.check()
    assert status == 1, findings
    assert set(_links(findings, "broken")) == {link}, findings
    broken = [finding for finding in findings if finding["verdict"] == "broken"]
    assert all(finding["meaning"] and finding["cure"] for finding in broken), broken


def test_keys_newer_than_the_image(checked: Checked) -> None:
    """The server has the section of the new keys: it refuses those of the image, which is named."""
    new = _other_keys(checked)
    with checked.serve(new.section):
        status, findings = checked.check()
    assert (status, set(_links(findings, "broken"))) == (1, {"keys"}), findings


@pytest.mark.parametrize("breaks", [_other_keys, _public_key_of_another])
def test_keys_of_later_boots(checked: Checked, breaks: Callable[[Checked], object]) -> None:
    """The server knows the keys of the image: the next boot succeeds, and a later one does not."""
    breaks(checked)
    with checked.serve():
        status, findings = checked.check()
    assert (status, _links(findings, "broken")) == (0, []), findings
    said = [one for one in findings if (one["link"], one["verdict"]) == ("keys", "warning")]
    assert said, findings
    assert all("next boot comes up with the keys in the image" in one["meaning"] for one in said)


def test_interface_that_does_not_exist(checked: Checked) -> None:
    """It is a warning: the client uses the others after a while, and so does the check."""
    _conf("--options-for=mandos-client:--interface=eno7")(checked)
    with checked.serve():
        status, findings = checked.check()
    assert (status, _links(findings, "warning")) == (0, ["network"]), findings


def test_ip_that_is_not_needed(checked: Checked) -> None:
    """The server is found by Zeroconf, with any ``ip=``."""
    checked.boot_with("mandos=connect ip=::::alpha:eno7:dhcp")
    with checked.serve():
        status, findings = checked.check()
    assert (status, _links(findings, "warning")) == (0, ["network"]), findings


def test_no_server(checked: Checked) -> None:
    """Nobody is announced."""
    status, findings = checked.check()
    assert (status, _links(findings, "broken")) == (1, ["server"])


def test_server_that_does_not_know_the_machine(checked: Checked) -> None:
    """It refuses the key, and what it said is shown."""
    other = checked.keys.with_tls_key("ed25519")
    with checked.serve(other.section):
        status, findings = checked.check()
    assert (status, _links(findings, "broken")) == (1, ["server"])
    assert any("no client with this machine's key" in finding["text"] for finding in findings)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("enabled = no", "is disabled"),
        ("approved_by_default = no\napproval_delay = PT1H", "needs an approval for each request"),
    ],
)
def test_server_that_would_not_give_it(checked: Checked, setting: str, said: str) -> None:
    """The server's own view is shown, and no secret is asked for."""
    with checked.serve(f"{checked.keys.section}\n{setting}\n") as server:
        seen = len(server.host.syslog.lines)
        status, findings = checked.check()
        assert not any("sent the secret" in line for line in server.host.syslog.lines[seen:])
    assert (status, _links(findings, "broken")) == (1, ["server"])
    assert any(said in finding["text"] for finding in findings)


@pytest.mark.parametrize("options", [(), ("--count-as-boot",)], ids=["rehearsal", "as-boot"])
def test_server_of_the_original(
    checked: Checked, stack: ExitStack, options: tuple[str, ...]
) -> None:
    """It knows no rehearsals: without a word it is not asked, and nothing is sent."""
    host = stack.enter_context(Host("original"))
    checked.machine.connect(host, "eth2")
    start_system_bus(host)
    _conf(f"--options-for=mandos-client:--connect=[{host.link_local('eth2')}%eth2]:{PORT}")(checked)
    with start_server(host, reference(), checked.keys.section) as server:
        status, findings = checked.check(*options)
        sent = any("Sending secret to checked" in line for line in server.host.syslog.lines)
    checked.machine.run("ip", "link", "delete", "eth2")
    if options:
        assert (status, sent) == (0, True), findings
    else:
        assert (status, sent, _links(findings, "not sure")) == (2, False, ["server"]), findings


def test_one_good_server_is_enough(checked: Checked, stack: ExitStack) -> None:
    """The other one, which refuses, is a warning."""
    other = checked.keys.with_tls_key("ed25519")
    stack.enter_context(checked.serve())
    second = stack.enter_context(Host("second"))
    checked.machine.connect(second, "eth1")
    stack.enter_context(_on_eth1(second, other))
    status, findings = checked.check()
    checked.machine.run("ip", "link", "delete", "eth1")
    assert status == 0, findings
    assert _links(findings, "warning") == ["server"], findings


def _on_eth1(host: Host, keys: Credentials) -> Server:
    return start_server(host, ours(), keys.section, zeroconf=True, options=("--interface", "eth1"))


ESP = "/boot/efi"
TYPE_1 = f"""\
title Debian
version {VERSION}
linux /linux
initrd /microcode
initrd /initrd
options root=/dev/mapper/cryptroot ro WORDS
"""
#: The partition and the variables of a machine that systemd-boot starts.
WITH_EFI = f"""
mkdir -p {ESP}/loader/entries {ESP}/EFI/Linux
mount -t tmpfs tmpfs /sys/firmware
mkdir -p /sys/firmware/efi/efivars
rm /boot/grub/grub.cfg
cd {ESP}
: >linux
echo microcode >kernel && echo kernel | cpio --create --format=newc --quiet >microcode
chmod 600 microcode
"""
WITHOUT_EFI = f"umount /sys/firmware; rm -rf {ESP}"


@dataclass
class WithEfi:
    """The machine, which systemd-boot starts by an entry of type #1, or by a unified image."""

    checked: Checked
    unified: bool

    @property
    def image(self) -> Path:
        """The file with the initial RAM disk."""
        name = "EFI/Linux/debian.efi" if self.unified else "initrd"
        return self.checked.machine.file(f"{ESP}/{name}")

    def fill(self, words: str) -> None:
        """Make the partition's entry from the image in /boot."""
        set_text(self.checked.machine.file("/"), "LoaderInfo", "systemd-boot 257.9")
        initrd = self.checked.machine.file(IMAGE).read_bytes()
        if self.unified:
            self.image.write_bytes(
                program(
                    (".osrel", b"ID=debian"),
                    (".cmdline", f"root=/dev/mapper/cryptroot ro {words}".encode()),
                    (".uname", VERSION.encode()),
                    (".linux", b"kernel"),
                    (".initrd", initrd),
                )
            )
        else:
            entry = self.checked.machine.file(f"{ESP}/loader/entries/debian.conf")
            entry.write_text(TYPE_1.replace("WORDS", words), encoding="ascii")
            self.image.write_bytes(initrd)
        self.image.chmod(0o600)


@pytest.fixture(params=["type-1", "unified"])
def with_efi(checked: Checked, request: pytest.FixtureRequest) -> Iterator[WithEfi]:
    """The healthy machine with EFI instead of GRUB."""
    checked.machine.run("sh", "-ec", WITH_EFI)
    found = WithEfi(checked, unified=request.param == "unified")
    found.fill("quiet")
    yield found
    checked.machine.run("sh", "-ec", WITHOUT_EFI)


def test_machine_that_systemd_boot_starts(with_efi: WithEfi) -> None:
    """It passes, with the image on its partition; that in /boot is of no importance."""
    with_efi.checked.machine.file(IMAGE).write_bytes(b"no image")
    with with_efi.checked.serve():
        status, findings = with_efi.checked.check()
    assert status == 0, findings
    assert {finding["verdict"] for finding in findings} == {"ok"}, findings
    texts = [finding["text"] for finding in findings]
    assert any(text.startswith("systemd-boot: ") for text in texts), texts
    name = f"{ESP}/EFI/Linux/debian.efi" if with_efi.unified else f"{ESP}/initrd"
    assert f"{name} can be unpacked" in texts, texts


def test_broken_link_behind_systemd_boot(with_efi: WithEfi) -> None:
    """Words and keys are those on the partition, and the cures are for systemd-boot."""
    with_efi.fill("mandos=off")
    _other_keys(with_efi.checked)
    with with_efi.checked.serve():
        status, findings = with_efi.checked.check()
    assert status == 1, findings
    assert set(_links(findings, "broken")) == {"boot loader"}, findings
    assert "keys" in _links(findings, "warning"), findings  # the server knows those of the image
    cures = " ".join(finding["cure"] for finding in findings)
    assert "/etc/kernel/cmdline" in cures
    assert "/etc/default/grub" not in cures
    assert f"then run kernel-install add {VERSION} /boot/vmlinuz-{VERSION}" in cures


def test_image_on_the_partition_is_damaged(with_efi: WithEfi) -> None:
    """A full partition cut it off: systemd-boot hides a unified image, or the kernel stops."""
    with_efi.image.write_bytes(with_efi.image.read_bytes()[:-100_000])
    with with_efi.checked.serve():
        status, findings = with_efi.checked.check()
    link = "boot loader" if with_efi.unified else "initial RAM disk"
    assert (status, set(_links(findings, "broken"))) == (1, {link}), findings


def test_image_that_others_can_read(checked: Checked) -> None:
    """The machine comes back, but so may somebody else's."""
    checked.machine.file(IMAGE).chmod(0o644)
    with checked.serve():
        status, findings = checked.check()
    assert (status, _links(findings, "warning")) == (0, ["initial RAM disk"])


def test_other_kernels_are_warnings(checked: Checked) -> None:
    """The next boot is not affected; the kernel is named, and can be checked by its version."""
    other = "6.1.0-0"
    checked.machine.file(f"/boot/vmlinuz-{other}").touch()
    checked.machine.file(f"/boot/initrd.img-{other}").write_bytes(b"no image")
    try:
        with checked.serve():
            status, findings = checked.check("--quiet")
            assert (status, _links(findings, "warning")) == (0, ["initial RAM disk"]), findings
            assert {finding["subject"] for finding in findings} == {other}
            status, findings = checked.check(f"--kernel={other}")
            assert (status, _links(findings, "broken")) == (1, ["initial RAM disk"]), findings
    finally:
        for name in ("vmlinuz-", "initrd.img-"):
            checked.machine.file(f"/boot/{name}{other}").unlink()


def test_unknown_kernel(checked: Checked) -> None:
    """The message names those that there are."""
    process = checked.machine.start(CHECK, "--kernel=5.10.0-1")
    assert process.wait() == 64
    assert f"installed: {VERSION}" in process.log


def test_quiet_says_nothing_of_a_healthy_machine(checked: Checked) -> None:
    """As a timer or a hook wants it."""
    with checked.serve():
        process = checked.machine.start(CHECK, "--quiet")
        assert (process.wait(), process.log) == (0, "")


def test_private_file_mode_mask(checked: Checked) -> None:
    """An administrator's umask of 077 causes no false alarm."""
    with checked.serve():
        process = checked.machine.start("sh", "-c", f"umask 077; exec {CHECK} --quiet")
        assert (process.wait(), process.log) == (0, "")


def test_image_only_needs_no_network(checked: Checked) -> None:
    """It passes where no server is, and finds what is wrong with keys and images."""
    checked.machine.run("ip", "link", "set", "eth0", "down")
    process = checked.machine.start(CHECK, "--image-only")
    assert process.wait() == 0, process.log
    assert process.log.endswith("\nKeys and images are in order; no server was asked.")
    assert "network" not in process.log
    process = checked.machine.start(CHECK, "--image-only", "--quiet")
    assert (process.wait(), process.log) == (0, "")
    _other_keys(checked)
    status, findings = checked.check("--image-only")
    assert (status, set(_links(findings, "broken"))) == (1, {"keys"}), findings


def test_machine_stays_as_it_is(checked: Checked) -> None:
    """No interface, route, mount, file or process is different afterwards."""
    with checked.serve():
        before = _state(checked.machine)
        status, _findings = checked.check()
        assert status == 0
        assert _state(checked.machine) == before


def _state(machine: Maker) -> list[str]:
    found = machine.run("sh", "-ec", """
        ip -o link; ip -o address | sed 's/ *valid_lft.*//'; ip route; ip -6 route | sort
        cut -d' ' -f4- /proc/self/mountinfo | sort
        cat /proc/sys/kernel/printk
        find /run /var/tmp /boot /etc/keys -xdev -not -path '/run/mandos-check' | sort
        find /run/mandos-check -type f 2>/dev/null || :
        cat /proc/[0-9]*/comm 2>/dev/null | sort | grep -v -e sh -e cat -e sort -e grep || :
    """)  # fmt: skip
    return found.decode().splitlines()


def test_needs_root(checked: Checked) -> None:
    """Another user is told so."""
    process = checked.machine.start(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CHECK
    )
    assert process.wait() == 69
    assert "only root can read the keys" in process.log
