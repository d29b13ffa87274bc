# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks the chain of one boot: boot loader, image, keys, disks, network, servers, secret."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from mandos import section_note
from mandos.boot.image import setup_check
from mandos.boot.image.local_files import CONFIGURATION, runner_settings
from mandos.check import disks, image, initrd, network, private_root, servers
from mandos.check.asking import Asker, Image
from mandos.check.findings import GRUB_COMMAND_LINE, Finding, Link, Verdict, renewal, settled
from mandos.check.loader import kernels
from mandos.check.names import Resolver
from mandos.check.trial import boot as trial
from mandos.check.trial.boot import Trial
from mandos.errors import MachineError, MandosError
from mandos.key_source import KeyFolder
from mandos.keyfiles import SIGNED_SECRET

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from mandos.boot.image.crypttab import CryptDisk
    from mandos.boot.runner.settings import RunnerSettings
    from mandos.check.loader.boot_entry import Boot
    from mandos.check.servers import Server
    from mandos.client.settings import ClientOptions

_OFF = "mandos=off"
_CONNECT = "mandos=connect:"
#: Where an image has keys and configuration, below its tree.
_CONFIGURATION = CONFIGURATION.relative_to("/")
_CONF = "plugin-runner.conf"
_CLIENT = "mandos-client"


class Wanted(NamedTuple):
    """How far a check goes.

    Without ``fetch`` no server is asked for the password.  With ``image_only`` no server is looked
    for, and the network stays out of it.  With ``count_as_boot`` servers are asked that know no
    rehearsals, which start the extended timeout then.  ``kernel`` is the version of the only kernel
    to check; empty for the one that is booted next, and the images of all others.  With
    ``boot`` it is booted in a virtual machine, which has ``boot_limit`` seconds to unlock the disks
    (0: the usual time).  With ``other_keys`` the unpacked image gets the keys of the chain's folder
    in the place of its own: a check of keys that are not installed yet, for the kernel that is
    booted next.
    """

    fetch: bool = True
    image_only: bool = False
    count_as_boot: bool = False
    kernel: str = ""
    boot: bool = False
    boot_limit: float = 0.0
    other_keys: bool = False


class _Unpacked(NamedTuple):
    """An image that was unpacked: its tree, the disks that it opens, and its plugin-runner."""

    tree: Path
    table: list[CryptDisk]
    runner: RunnerSettings


class Chain:
    """The chain of the machine below ``root``; images are unpacked below ``folder``.

    After the walk ``served`` has the passwords that open every disk, by the server's title, and
    ``devices`` the disks that they open; ``unchecked`` those of these servers without a successful
    check; ``skipped`` the servers that were not asked, since no time was left.
    """

    def __init__(self, root: Path, keys: Path, folder: Path, wanted: Wanted) -> None:
        self._root = root
        self._keys = keys
        self._folder = folder
        self._wanted = wanted
        self._needed = disks.needed_now()
        self.served: dict[str, bytes] = {}
        self.unchecked: list[str] = []
        self.skipped: list[str] = []
        self.devices: list[Path] = []

    def walk(self) -> Iterator[Finding]:
        """Yield the findings in the order of the chain.  Raises MandosError."""
        try:
            yield from self._links()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise MachineError(f"the check cannot go on: {where}{error.strerror}") from error

    def _links(self) -> Iterator[Finding]:
        boots = kernels.boots(self._root)
        chosen, others = boots.next, boots.others
        if self._wanted.kernel:
            chosen, others = boots.named(self._wanted.kernel), []
        else:
            yield from boots.findings
        if self._wanted.other_keys:
            others = []
        found = list(self._key_files())
        if chosen is not None:
            found += map(chosen.fitted, self._boot(chosen))
        yield from settled(found, opened=bool(self.served) and not self._wanted.other_keys)
        for boot in others:
            for finding in map(boot.fitted, self._image(boot)):
                if finding.verdict is Verdict.BROKEN:
                    meaning = f"if you boot this kernel: {finding.meaning}"
                    yield finding._replace(verdict=Verdict.WARNING, meaning=meaning)
                elif finding.verdict is not Verdict.OK:
                    yield finding
            shutil.rmtree(self._folder / boot.folder(), ignore_errors=True)  # it is in memory

    def _key_files(self) -> Iterator[Finding]:
        problems = list(setup_check.key_problems(self._keys))
        for problem in problems:
            meaning = "the next image that is made has these keys, or none"
            yield Finding(
                Link.KEYS, Verdict.BROKEN, problem.text, meaning=meaning, cure=problem.hint
            )
        if not problems:
            yield Finding(Link.KEYS, Verdict.OK, f"the keys in {self._keys} are pairs")

    def _boot(self, boot: Boot) -> Iterator[Finding]:
        """The whole chain of one kernel."""
        tried = False
        for finding in self._links_of(boot):
            tried = tried or finding.link is Link.BOOT
            yield finding
        if self._wanted.boot and not tried:
            yield Finding(
                Link.BOOT, Verdict.NOT_SURE, "the boot was not tried: a link before it fails",
                boot.name, cure="mend the links above, and run mandos-check --boot again",
            )  # fmt: skip

    def _links_of(self, boot: Boot) -> Iterator[Finding]:
        unpacked = yield from self._image(boot)
        if unpacked is not None and not self._wanted.image_only:
            self.devices = disks.asked_for(unpacked.table)
            yield from self._servers_and_secret(unpacked, boot)

    def _image(self, boot: Boot) -> Generator[Finding, None, _Unpacked | None]:
        """The part of the chain that needs no network; returns the image if it can be unpacked."""
        if boot.words is not None and _OFF in boot.words:
            yield Finding(
                Link.BOOT_LOADER, Verdict.BROKEN, f"the kernel command line has {_OFF}", boot.name,
                "no Mandos server is asked at boot",
                f"remove the word {GRUB_COMMAND_LINE}",
            )  # fmt: skip
        if boot.image is None or not boot.image.exists():
            yield Finding(
                Link.IMAGE, Verdict.BROKEN, "this kernel has no initial RAM disk", boot.name,
                "the encrypted disks cannot be opened",
                f"run update-initramfs -c -k {boot.name}",
            )  # fmt: skip
            return None
        tree = self._folder / boot.folder()
        tree.mkdir()
        try:
            initrd.unpack((*boot.earlier, boot.image), tree)
        except MandosError as error:
            shutil.rmtree(tree)
            yield Finding(
                Link.IMAGE, Verdict.BROKEN, str(error), boot.name,
                "the kernel may not be able to unpack it either",
                f"make room in /boot if it is full (df /boot), then {renewal(boot.name)}",
            )  # fmt: skip
            return None
        yield Finding(Link.IMAGE, Verdict.OK, f"{boot.image} can be unpacked", boot.name)
        if self._wanted.other_keys:
            _put_keys(self._keys, tree)
        else:
            sources = (self._keys, self._root / "etc/mandos", self._root / "etc/crypttab")
            yield from image.outside(boot.image, boot.name, sources)
        yield from image.inside(tree, boot.name, self._keys)
        table = disks.in_image(tree, boot.words or ())
        yield from self._table(table, boot)
        problems: list[str] = []
        runner = runner_settings(tree / _CONFIGURATION / _CONF, problems.append)
        yield from _of_runner(runner, problems, boot)
        return _Unpacked(tree, table, runner)

    def _servers_and_secret(self, unpacked: _Unpacked, boot: Boot) -> Iterator[Finding]:
        """The part of the chain that needs the network."""
        tree, table, runner = unpacked
        if unusable := setup_check.pair_problems(tree / _CONFIGURATION):
            yield from _unusable_keys(unusable, tree, boot)
            return
        arguments = runner.arguments(_CLIENT)
        words = [word.removeprefix(_CONNECT) for word in boot.words or () if _CONNECT in word]
        try:
            options = servers.options_of([*arguments, *(f"--connect={word}" for word in words)])
        except MandosError as error:
            yield Finding(
                Link.SERVER, Verdict.BROKEN, f"the client's options: {error}", boot.name,
                "the client ends at once",
                f"correct /etc/mandos/{_CONF}, then {renewal(boot.name)}",
            )  # fmt: skip
            return
        private_root.furnish(tree)
        found = list(self._servers(tree, options, boot))
        yield from (item for item in found if isinstance(item, Finding))
        reached = [item for item in found if not isinstance(item, Finding)]
        if not reached:
            return
        if not self._wanted.fetch:
            yield Finding(
                Link.SECRET, Verdict.NOT_SURE, "no server was asked for the password", boot.name,
                cure="run mandos-check without --no-fetch",
            )  # fmt: skip
            return
        image = Image(
            boot.name, tree, arguments, options.priority, KeyFolder(tree / _CONFIGURATION)
        )
        asker = Asker(image, table, count_as_boot=self._wanted.count_as_boot)
        yield from asker.ask_all(reached)
        if self._wanted.boot:
            limit = self._wanted.boot_limit
            tried = Trial(boot, tree, table, options, asker.rehearsed, self._folder, limit)
            yield trial.check(tried)
        self.served, self.unchecked, self.skipped = asker.served, asker.unchecked, asker.skipped

    def _table(self, table: list[CryptDisk], boot: Boot) -> Iterator[Finding]:
        if not table:
            yield Finding(
                Link.DISKS, Verdict.BROKEN, "the image has no disk to open", boot.name,
                "nothing opens the root file system",
                "add the option initramfs to the disk's line in /etc/crypttab, then run"
                f" update-initramfs -u -k {boot.name}",
            )  # fmt: skip
        names = {disk.name for disk in table}
        sources = {disks.without_dashes(disk.source.partition("=")[2]) for disk in table}
        for name, uuid in self._needed:
            if uuid not in sources and name not in names:
                yield Finding(
                    Link.DISKS, Verdict.BROKEN,
                    f"the image does not open {name}, which the root file system needs", boot.name,
                    "the root file system is not found",
                    "correct the disk's line in /etc/crypttab, then run"
                    f" update-initramfs -u -k {boot.name}",
                )  # fmt: skip
        for disk in table:
            if disks.device_of(disk.source) is None:
                yield Finding(
                    Link.DISKS, Verdict.BROKEN,
                    f"{disk.name}: this machine has no disk {disk.source}", boot.name,
                    "the boot waits for the disk",
                    "correct the disk's line in /etc/crypttab, if it is wrong there, then"
                    f" {renewal(boot.name)}",
                )  # fmt: skip

    def _servers(
        self, tree: Path, options: ClientOptions, boot: Boot
    ) -> Iterator[Finding | Server]:
        found = list(network.check(self._root, tree, options.interfaces, boot.name))
        found += network.check_command_line(
            self._root, tree, boot.words or (), boot.name, needed=_needs_ip(options)
        )
        yield from found
        if any(finding.verdict is Verdict.BROKEN for finding in found):
            return  # no server can be found either
        resolver = Resolver(tree, boot.words or (), self._root)
        yield from _found_servers(options, boot, resolver)


def _found_servers(
    options: ClientOptions, boot: Boot, resolver: Resolver
) -> Iterator[Finding | Server]:
    """The servers that the options name, and those that a search finds."""
    found: list[Server] = []
    failures: list[MandosError] = []
    for address in (*options.connect, *options.servers):
        try:
            found += servers.given(address, resolver)
        except MandosError as error:
            failures.append(error)
    if not options.connect:
        found += servers.search(options.interfaces)
    verdict = Verdict.WARNING if found else Verdict.BROKEN
    for failure in failures:
        yield Finding(
            Link.SERVER, verdict, f"no address is known of {failure}", boot.name,
            "the client does not reach this server at boot",
            failure.hint or f"correct the name in /etc/mandos/{_CONF} or on the kernel command"
            " line, or give an address",
        )  # fmt: skip
    if not found and not failures:
        yield Finding(
            Link.SERVER, Verdict.BROKEN, "no server was found", boot.name,
            "the next boot waits for a server, and for a typed password",
            "start a server, or look whether the network lets multicast to port 5353 through;"
            f" a server in another network needs --connect=ADDRESS:PORT in /etc/mandos/{_CONF}",
        )  # fmt: skip
    yield from found


def _needs_ip(options: ClientOptions) -> bool:
    """Whether servers are given by names and IPv4 addresses alone.

    IPv6 addresses need no set-up: each interface has a link-local one, and routers give others.
    """
    hosts = [address.host for address in options.connect]
    return bool(hosts) and not any(":" in host for host in hosts)


def _unusable_keys(
    problems: list[setup_check.Problem], tree: Path, boot: Boot
) -> Iterator[Finding]:
    """Keys in the image with which no server can be asked."""
    for problem in problems:
        text = problem.text.replace(str(tree), "")
        yield Finding(
            Link.KEYS, Verdict.BROKEN, f"in the image: {text}", boot.name,
            "no server gives the password to these keys",
            f"correct the keys in /etc/keys/mandos, then {renewal(boot.name)}",
        )  # fmt: skip


def _put_keys(keys: Path, tree: Path) -> None:
    """Give an unpacked image other keys than it was made with."""
    folder = tree / _CONFIGURATION
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SIGNED_SECRET).unlink(missing_ok=True)  # it is about the keys that go
    for file in keys.iterdir():
        if file.is_file() and file.name != section_note.NAME:
            shutil.copy2(file, folder)


def _of_runner(runner: RunnerSettings, problems: list[str], boot: Boot) -> Iterator[Finding]:
    """Whether plugin-runner starts the client, and mistakes in its configuration."""
    for problem in problems:
        yield Finding(
            Link.PROGRAMS, Verdict.WARNING, problem, boot.name, "plugin-runner skips this",
            f"correct /etc/mandos/{_CONF}, then {renewal(boot.name)}",
        )  # fmt: skip
    if not runner.starts(_CLIENT):
        yield Finding(
            Link.PROGRAMS, Verdict.BROKEN, f"plugin-runner does not start {_CLIENT}", boot.name,
            "no Mandos server is asked at boot",
            f"remove --disable={_CLIENT} in /etc/mandos/{_CONF}, then {renewal(boot.name)}",
        )  # fmt: skip
