# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots a kernel and its image in a virtual machine until the encrypted disks are unlocked.

The machine has copies of the LUKS headers in front of empty disks, and a private link on which the
real servers are announced.  Relays carry its requests to them as rehearsals.
"""

from __future__ import annotations

import pwd
import re
import shutil
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos.check import disks, initrd, network, private_root
from mandos.check.findings import Finding, Link, Verdict
from mandos.check.relay import Relay
from mandos.check.trial import hardware, machine, overlay
from mandos.check.trial.announcer import MAX_SERVICES, Announcer, Service
from mandos.check.trial.disk_copy import copy_header
from mandos.check.trial.hardware import UnfitError
from mandos.check.trial.machine import DISK, IMAGE, KERNEL, Machine
from mandos.check.trial.private_link import ADDRESS, PrivateLink
from mandos.discovery.sockets import Channel
from mandos.errors import MachineError, MandosError
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mandos.boot.image.crypttab import CryptDisk
    from mandos.check.loader.boot_entry import Boot
    from mandos.check.servers import Server
    from mandos.check.trial.console import Progress
    from mandos.check.trial.hardware import Hardware
    from mandos.client.settings import ClientOptions

#: Seconds that a boot may take up to the unlocking, on the processor itself and emulated.
LIMIT, EMULATED_LIMIT = 120.0, 600.0
#: Lines of the console that a finding shows.
_LINES = 6
#: Bytes of memory that one disk may take: its header, and the little that a boot writes.
_DISK_SIZE = 192 << 20  # room for the archive over the image as well
#: Words of the kernel command line that would hide the messages, and those that show them.
_HIDING = ("quiet", "splash", "console", "loglevel", "audit", "systemd.show_status")
_SHOWING = (
    "console=ttyS0,115200", "loglevel=7", "audit=1", "systemd.show_status=1", "plymouth.enable=0",
    "panic=-1",
)  # fmt: skip
#: Numbers of users that nothing else has: those of systemd's DynamicUser=, from the end; and the
#: folder with a file for each that a unit has.
_USERS = range(65519, 61183, -1)
_TRANSIENT = Path("/run/systemd/dynamic-uid")
#: An address of the machine's card, if the real one has none: locally administered (RFC 7042).
_MAC = "02:00:00:4d:61:6e"
_CARDS = Path("/sys/class/net")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")
#: Of one host, not of a group (RFC 7042, section 2.1), and not all zero.
_ETHERNET = re.compile(r"(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_NO_IPV6 = ("ipv6.disable=1", "ipv6.disable_ipv6=1")


class Trial(NamedTuple):
    """What is tried: a kernel, its image unpacked in ``tree``, and how it finds its servers.

    The image opens the disks of ``table``.  Each of the servers has given a password for a
    rehearsal.  ``folder`` is the private one.
    ``limit`` is the time for the unlocking in seconds; 0 takes the usual one.
    """

    boot: Boot
    tree: Path
    table: list[CryptDisk]
    options: ClientOptions
    servers: Sequence[Server]
    folder: Path
    limit: float = 0.0


def check(trial: Trial) -> Finding:
    """Boot it, and say whether the disks were unlocked."""
    try:
        words = _fit(trial)
        with ExitStack() as stack:
            return _run(trial, words, stack)
    except (MandosError, OSError) as error:
        cure = (error.hint if isinstance(error, MandosError) else None) or ""
        text = f"the boot was not tried: {error}"
        return Finding(Link.BOOT, Verdict.NOT_SURE, text, trial.boot.name, cure=cure)


def _fit(trial: Trial) -> list[str]:
    """The kernel command line; raises UnfitError if it or the disks cannot be tried."""
    boot = trial.boot
    if boot.words is None:
        raise UnfitError("the kernel command line of this kernel is unknown")
    _fit_network(trial.options, boot.words)
    if not trial.servers:
        raise UnfitError("no server gives a password for a rehearsal")
    if not any(disk.asks for disk in trial.table):
        raise UnfitError("the image opens no disk by a password")
    for disk in trial.table:
        if not disk.source.startswith("UUID="):
            raise UnfitError(
                f"{disk.name} is found by {disk.source}, which the copy of a disk does not have",
                "name the disk by its UUID in /etc/crypttab",
            )
        if any(option.startswith("header=") for option in disk.options):
            raise UnfitError(f"{disk.name} has its header elsewhere")
    hidden = [word for word in boot.words if word.partition("=")[0] not in _HIDING]
    return [*hidden, *_SHOWING]


def _fit_network(options: ClientOptions, words: Sequence[str]) -> None:
    """Raise UnfitError if the private network cannot be as the boot expects it."""
    if any(word in _NO_IPV6 for word in words):
        raise UnfitError("the kernel has no IPv6, which the private network needs")
    for address in options.connect:
        if not address.is_numeric:
            raise UnfitError(
                f"the client looks the name {address.host} up, and the private network has no"
                " name server"
            )
        if ":" not in address.host and not any(map(_gateway, words)):
            raise UnfitError(
                f"the client needs an IPv4 address for {address.host}, and the private network has"
                " no DHCP server"
            )


def _gateway(word: str) -> str:
    """The gateway of a static ``ip=``, or else the server in it; empty for all other words.

    Source: the kernel's Documentation/admin-guide/nfs/nfsroot.rst.
    """
    if not word.startswith("ip="):
        return ""
    fields = word.removeprefix("ip=").split(":")
    given = [field for field in fields[:3] if _IPV4.fullmatch(field)]
    return given[-1] if len(given) > 1 else ""


def _run(trial: Trial, words: list[str], stack: ExitStack) -> Finding:
    user = _free_user()
    folder, wants = _fill(trial, user)
    stack.callback(private_root.release, folder)
    link = stack.enter_context(PrivateLink(user))
    relays = _serve(trial, link, stack)
    command = machine.command(wants, len(trial.table), words, card_of(trial.options).mac)
    tried = stack.enter_context(Machine(folder, command, link, (user, user)))
    limit = trial.limit or (LIMIT if wants.accelerated else EMULATED_LIMIT)
    progress = tried.console.progress()

    def over() -> bool:
        nonlocal progress
        progress = tried.console.progress()
        if progress.unlocked >= len(trial.table) or progress.failed or tried.seconds > limit:
            return True
        return progress.refused and len(trial.servers) == 1  # it gives the same one again

    lasted = tried.watch(over)
    if progress.unlocked >= len(trial.table):
        how = "" if wants.accelerated else ", emulated: the real machine is faster"
        text = f"root unlocked {tried.seconds:.0f} s after switching on{how}"
        return Finding(Link.BOOT, Verdict.OK, text, trial.boot.name)
    said = "; ".join(tried.console.last_lines(_LINES))
    why = _reason(progress, len(trial.table), tried.seconds, lasted=lasted)
    text = f"{why}; the console's last lines: {said}"
    if lasted and not progress.asked and not progress.failed:
        meaning = "the virtual machine may be too slow, or lack hardware that the boot waits for"
        cure = "give it more time: --boot-limit"
        return Finding(Link.BOOT, Verdict.NOT_SURE, text, trial.boot.name, meaning, cure)
    unreached = [relay.failure for relay in relays if relay.failure]
    return Finding(
        Link.BOOT, Verdict.BROKEN, text, trial.boot.name,
        "the next boot stops there" + (f"; a server: {unreached[0]}" if unreached else ""),
        "mend the broken links above, if any; run mandos-check --boot again",
    )  # fmt: skip


def _reason(progress: Progress, disks: int, seconds: float, *, lasted: bool) -> str:
    if not lasted:
        return f"the virtual machine ended after {seconds:.0f} s, before the disks were unlocked"
    if progress.failed or progress.refused:
        return f"the passwords that came in {seconds:.0f} s did not open the disk"
    if progress.unlocked:
        return f"{progress.unlocked} of {disks} disks were unlocked in {seconds:.0f} s"
    if progress.asked:
        return f"the password was asked for, and none came within {seconds:.0f} s"
    return f"nothing asked for the password within {seconds:.0f} s"


def _free_user() -> int:
    """The number of a user that does not exist: no process can read the machine's memory."""
    for number in _USERS:
        if (_TRANSIENT / str(number)).exists():
            continue  # a unit has it, and no library that knows so may be installed
        try:
            pwd.getpwuid(number)
        except KeyError:
            return number
    raise UnfitError("every number of a transient user is taken")


def _fill(trial: Trial, user: int) -> tuple[Path, Hardware]:
    """Put the machine's files into a folder of limited size that belongs to the user."""
    boot = trial.boot
    assert boot.image is not None  # noqa: S101 - it was unpacked
    kernel = initrd.kernel(boot.kernel)
    image = _with_card_name(initrd.packed((*boot.earlier, boot.image)), card_of(trial.options))
    folder = trial.folder / f"{boot.name}.vm"
    size = len(kernel) + len(image) + len(trial.table) * _DISK_SIZE
    private_root.limited_folder(folder, size)
    unlocking = 0
    try:
        (folder / KERNEL).write_bytes(kernel)
        (folder / IMAGE).write_bytes(image)
        for number, disk in enumerate(trial.table):
            device = disks.device_of(disk.source)
            if device is None:
                raise UnfitError(f"{disk.name}: this machine has no disk {disk.source}")
            copy = copy_header(device, folder / DISK.format(number))
            unlocking = max(unlocking, copy.memory)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user, user)
        unpacked = sum(path.lstat().st_size for path in trial.tree.rglob("*") if path.is_file())
        return folder, hardware.choose(_modules_of(trial), unpacked, unlocking, user)
    except (MachineError, OSError):
        private_root.release(folder)
        raise


def _with_card_name(image: bytes, card: Card) -> bytes:
    """The image as it is, and over it a file that names the network card."""
    if card.name:
        return overlay.laid_over(image, overlay.card_name(card.mac, card.name))
    return image


def _modules_of(trial: Trial) -> Callable[[str], bool]:
    return lambda module: network.has_module(trial.tree, trial.boot.name, module)


def _serve(trial: Trial, link: PrivateLink, stack: ExitStack) -> list[Relay]:
    """Start a relay for each server, found as the boot will find it; the stack ends them."""
    ended = threading.Event()
    relays: list[Relay] = []
    services: list[Service] = []
    runs: list[Callable[[Callable[[], bool]], None]] = []
    for gateway in filter(None, map(_gateway, trial.boot.words or ())):
        link.give_address(gateway)
    for server in trial.servers[:MAX_SERVICES]:
        if trial.options.connect:
            address, port = server.address[:2]
            listening = stack.enter_context(link.listen_at(address, port))
        else:
            listening = stack.enter_context(link.listen())
            services.append(Service(f"Mandos {len(services) + 1}", listening.getsockname()[1]))
        relays.append(Relay(listening, *server.way, grammar.REHEARSAL_GREETING))
        runs.append(relays[-1].run)
    if services:
        channel = link.do(lambda: Channel(socket.AF_INET6))
        channel.join(link.index)
        packed = socket.inet_pton(socket.AF_INET6, ADDRESS)
        runs.append(Announcer(channel, link.index, packed, services).run)
    for run in runs:
        thread = threading.Thread(target=run, args=(ended.is_set,))
        thread.start()
        stack.callback(thread.join)
    stack.callback(ended.set)
    return relays


class Card(NamedTuple):
    """A network card: its name, empty if it is unknown, and its address."""

    name: str
    mac: str


def card_of(options: ClientOptions) -> Card:
    """The card that the boot uses: one that the options name, or the first with a link.

    Cards of hardware come before bridges and the like.
    """
    named = [_CARDS / name for name in options.interfaces]
    cards = sorted(_CARDS.glob("*"), key=lambda card: (not (card / "device").exists(), card.name))
    for card in (*named, *cards):
        try:
            address = (card / "address").read_text(encoding="ascii").strip()
            linked = (card / "carrier").read_text(encoding="ascii").strip() == "1"
        except OSError:
            continue
        if _ETHERNET.fullmatch(address) and (linked or card in named):
            return Card(card.name, address)
    return Card("", _MAC)
