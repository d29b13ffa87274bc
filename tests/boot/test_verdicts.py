# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of mandos-check before a reboot, and the reboot itself, agree.

A machine is healthy, or its chain is broken in one place.  The check names that link and no other;
then the same kernel, image, command line and disks boot in QEMU, with the same server.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.host import Host
from harness.keys import FILES, Credentials
from harness.peers import PORT, REFUSED, SENT
from harness.vm.boot import MAPPED
from harness.vm.choices import machines
from harness.vm.console import PATIENCE
from harness.vm.judged import CARD, Judged
from mandos.openpgp.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from harness.peers import Server
    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Event = Callable[[Machine, Server], None]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]


@pytest.fixture
def judged(site: Site, made: Image, disks: Disks, tmp_path: Path, stack: ExitStack) -> Judged:
    """The machine."""
    return Judged(site, made, disks, tmp_path, stack)


def _logged(pattern: str, times: int = 1) -> Event:
    """The server logs this, so often, about the boot; a person can type the password."""

    def happens(machine: Machine, server: Server) -> None:
        for _ in range(times):
            server.wait_for(pattern, PATIENCE)
        machine.expect_prompt()

    return happens


def _shown(pattern: str) -> Event:
    """The console shows this beside the prompt."""

    def happens(machine: Machine, _server: Server) -> None:
        machine.expect_prompt()
        machine.console.expect(pattern)

    return happens


def _refused(machine: Machine, server: Server) -> None:
    """The server sends a password that does not open the disk; the prompt comes again."""
    server.wait_for(SENT["ours"], PATIENCE)
    machine.console.expect("bad password")
    machine.expect_prompt()


def _nothing(after: str = "") -> Event:
    """Nothing more happens after the prompt, or after what the console shows beside it.

    The test waits as long again as the machine has taken up to the prompt.  In that time a healthy
    one has its root, however busy this computer is (``test_healthy_machine``).
    """

    def happens(machine: Machine, _server: Server) -> None:
        machine.expect_prompt()
        if after:
            machine.console.expect(after)
        threading.Event().wait(machine.console.when(machine.prompt))
        assert not re.search(MAPPED[machine.image.generator], machine.console.text)

    return happens


def _dies(pattern: str) -> Event:
    """The console shows this, and the machine does not get to a prompt: it reboots."""

    def happens(machine: Machine, _server: Server) -> None:
        machine.console.expect(pattern)
        machine.console.wait(PATIENCE)

    return happens


class Case(NamedTuple):
    """One way to break the chain.

    ``event`` shows that the boot has failed; it is None where the machine comes up all the same.
    With ``typed`` a password that is typed at the prompt brings it up then: nothing else is broken.
    """

    breaks: Callable[[Judged], object]
    link: str
    event: Event | None
    verdict: str = "broken"
    typed: bool = True
    #: The server logs this before the check begins.
    first: str = ""


def _stale(judged: Judged) -> None:
    """New keys after the image was made; the server has the new section."""
    new = judged.keys_of_another()
    judged.put_beside(new)
    judged.section = new.section


def _new_keys_alone(judged: Judged) -> None:
    """New keys after the image was made; the server has the old section still."""
    judged.put_beside(judged.keys_of_another())


def _swapped(judged: Judged) -> None:
    """The secret TLS key of another machine beside the own public one, in the image as well."""
    other = judged.keys_of_another()
    judged.put_into_image(other, "tls-privkey.pem")
    judged.put_beside(other, "tls-privkey.pem")


def _other_openpgp_key(judged: Judged) -> None:
    """The server's secret is for a key that the image does not have."""
    other = judged.keys_of_another()
    own = Credentials(other.maker, "/run", "alpha", b"", judged.section)
    judged.section = own.with_secret(other.sealed).section


def _wrong_secret(judged: Judged) -> None:
    """A secret for the right key, with the password of another machine."""
    key = (judged.made.folder / "keys" / "seckey.txt").read_bytes()
    workshop = judged.stack.enter_context(Host("workshop"))
    own = Credentials(workshop, "/run", "alpha", b"", judged.section)
    judged.section = own.with_secret(seal(b"of another machine", key)).section


def _missing_driver(judged: Judged) -> None:
    judged.show_driver("virtio_net")
    judged.change_image("find . -name 'virtio_net.ko*' -delete")


def _setting(text: str) -> Callable[[Judged], None]:
    """A setting of the client on the server."""

    def change(judged: Judged) -> None:
        judged.section = f"{judged.section}{text}\n"

    return change


def _client_option(option: str) -> Callable[[Judged], None]:
    return lambda judged: judged.configure(f"--options-for=mandos-client:{option}")


def _wrong_port(judged: Judged) -> None:
    address = judged.host.link_local()
    judged.configure(f"--options-for=mandos-client:--connect=[{address}%{CARD}]:4799")


_ADDRESS = "192.0.2.2::192.0.2.1:255.255.255.0"


def _wrong_ip(judged: Judged) -> None:
    """The server is named by its IPv4 address, and ip= is about a card that does not exist."""
    judged.host.give_addresses("192.0.2.1")
    judged.live.give_addresses("192.0.2.2")
    judged.boot_with(f"mandos=connect:192.0.2.1:{PORT} ip={_ADDRESS}::eno7:off")


def _cut_off(judged: Judged) -> None:
    data = judged.live.initrd.read_bytes()
    judged.live.initrd.write_bytes(data[: len(data) // 2])


CASES = {
    "stale_image": Case(_stale, "keys", _logged(REFUSED["ours", "unknown"], 2)),
    "keys_of_another_machine": Case(
        lambda judged: judged.put_into_image(judged.keys_of_another(), *FILES),
        "keys", _logged(REFUSED["ours", "unknown"], 2),
    ),
    "keys_swapped": Case(_swapped, "keys", _shown("tls-pubkey.pem is not the public key of")),
    "keys_newer_than_image": Case(_new_keys_alone, "keys", None, "warning"),
    "driver_missing": Case(_missing_driver, "network", _nothing()),
    "module_missing": Case(
        lambda judged: judged.change_image("find . -path '*mandos/wire/grammar.pyc' -delete"),
        "programs in the image", _nothing(),
    ),
    "library_missing": Case(
        lambda judged: judged.change_image("find . -name 'libgnutls.so*' -delete"),
        "programs in the image", _shown("the GnuTLS library cannot be loaded"),
    ),
    "program_missing": Case(
        lambda judged: judged.change_image("rm lib/mandos/plugins.d/mandos-client"),
        "programs in the image", _nothing(),
    ),
    "plugin_disabled": Case(
        lambda judged: judged.configure("--disable=mandos-client"),
        "programs in the image", _nothing(),
    ),
    "wrong_secret": Case(_wrong_secret, "secret", _refused),
    "slot_removed": Case(Judged.remove_slot, "secret", _refused),
    "secret_for_another_key": Case(
        _other_openpgp_key, "secret", _shown("cannot decrypt the secret")
    ),
    "crypttab_without_disk": Case(
        lambda judged: judged.change_image(": >cryptroot/crypttab"),
        "disks in the image", _dies("Gave up waiting for root"), typed=False,
    ),
    "disabled": Case(_setting("enabled = no"), "server", _logged(REFUSED["ours", "disabled"], 2)),
    "timed_out": Case(
        _setting("checker = false\ntimeout = PT1S\ninterval = PT1H"), "server",
        _logged(REFUSED["ours", "disabled"], 2), first="client alpha.* disabled",
    ),
    "approval_needed": Case(
        _setting("approved_by_default = no\napproval_delay = PT1H"), "server",
        _logged("client alpha.* waits for approval"),
    ),
    "interface_missing": Case(_client_option("--interface=eno1"), "network", None, "warning"),
    "wrong_ip": Case(  # initramfs-tools waits three minutes more, once the disk is unlocked
        _wrong_ip, "network", _nothing("interface eno7 does not exist"), typed=False
    ),
    "wrong_ip_not_needed": Case(
        lambda judged: judged.boot_with("mandos=connect ip=::::alpha:eno7:off"),
        "network", None, "warning",
    ),
    "wrong_port": Case(_wrong_port, "server", _shown("^mandos-client: .*4799")),
    "unknown_name": Case(
        _client_option("--connect=nosuch.invalid:4711"),
        "server", _shown("^mandos-client: .*nosuch.invalid"),
    ),
    "wrong_option": Case(_client_option("--retry=x"), "server", _nothing()),
    "switched_off": Case(lambda judged: judged.boot_with("mandos=off"), "boot loader", _nothing()),
    "cable_out": Case(Judged.unplug, "network", _nothing()),
    "image_cut_off": Case(
        _cut_off, "initial RAM disk", _dies("Initramfs unpacking failed"), typed=False
    ),
    "image_of_unknown_compression": Case(
        lambda judged: judged.live.initrd.write_bytes(b"\x01" * (1 << 20)),
        "initial RAM disk", _dies("Kernel panic"), typed=False,
    ),
}  # fmt: skip


def _agree(judged: Judged, case: Case, took: Took) -> None:
    """The check names the link and no other, and the boot is as the verdict says."""
    with judged.serve() as server:
        if case.first:
            server.wait_for(case.first)
        status, findings = judged.check()
        named = {one["link"] for one in findings if one["verdict"] == case.verdict}
        broken = {one["link"] for one in findings if one["verdict"] == "broken"}
        assert case.link in named, findings
        assert broken <= {case.link}, findings
        assert status == (1 if broken else 0), findings
        assert bool(broken) == (case.event is not None), "the case expects another boot"
        server.seen = begin = len(server.host.syslog.lines)
        machine = judged.switch_on()
        if case.event is not None:
            case.event(machine, server)
            assert not re.search("^booted ", machine.console.text, re.MULTILINE)
            if not case.typed:
                return
            took(machine.type_password())
        else:
            took(machine.expect_boot())
        sent = any(re.search(SENT["ours"], line) for line in server.host.syslog.lines[begin:])
        assert sent == (case.event is None or case.link == "secret")


@machines(generators=("initramfs-tools",), suites=("trixie",))
@pytest.mark.parametrize("name", CASES)
def test_broken_chain(judged: Judged, name: str, took: Took) -> None:
    """One link is broken, or deserves attention; where the boot fails, a person can help it."""
    case = CASES[name]
    case.breaks(judged)
    _agree(judged, case, took)


@machines("trixie-initramfs-tools")
def test_healthy_machine(judged: Judged, took: Took) -> None:
    """Nothing is broken, nothing is unknown, nothing deserves attention: it comes up by itself."""
    judged.show_driver("virtio_net")
    _comes_back(judged, took)


def _comes_back(judged: Judged, took: Took) -> None:
    with judged.serve() as server:
        status, findings = judged.check()
        assert status == 0, findings
        assert {one["verdict"] for one in findings} == {"ok"}, findings
        server.seen = len(server.host.syslog.lines)
        machine = judged.switch_on()
        took(machine.expect_boot())
        server.wait_for(SENT["ours"])
    mapped = machine.console.when(MAPPED[machine.image.generator])
    assert mapped < 2 * machine.console.when(machine.prompt), "_nothing does not wait long enough"


@machines(generators=("initramfs-tools",), suites=("trixie",))
def test_grub_boots_a_healthy_machine(judged: Judged, took: Took) -> None:
    """The check reads the grub.cfg that update-grub has made, and GRUB boots by it."""
    judged.install_grub(off=False)
    _comes_back(judged, took)


@machines(generators=("initramfs-tools",), suites=("trixie",))
def test_switched_off_in_grub(judged: Judged, took: Took) -> None:
    """mandos=off was left in /etc/default/grub when update-grub ran."""
    judged.install_grub(off=True)
    _agree(judged, Case(lambda _judged: None, "boot loader", _nothing()), took)
