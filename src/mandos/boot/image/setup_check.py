# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports set-ups that cannot work at boot, while a person can still correct them.

``mandos-image`` prints each as a warning and a hint; the image is made all the same, since it
still asks at the console.  Each rule reports only facts that are certain on this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos import section_note
from mandos.boot.image import crypttab, local_files, network_check
from mandos.boot.image.network_check import Machine, Named
from mandos.client.selection import MISSING_TIME
from mandos.errors import MandosError
from mandos.keyfiles import read_key_file
from mandos.openpgp import sealing
from mandos.section_note import Note
from mandos.tls import keys as tls_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The programs that make images; they name themselves with --generator.
INITRAMFS_TOOLS, DRACUT, DRACUT_SYSTEMD = GENERATORS = (
    "initramfs-tools",
    "dracut",
    "dracut-systemd",
)
_RENEW = {
    INITRAMFS_TOOLS: "update-initramfs -u -k all",
    DRACUT: "dracut --force --regenerate-all",
    DRACUT_SYSTEMD: "dracut --force --regenerate-all",
}
_SCRIPTS = "/lib/cryptsetup/scripts"
#: Keyscripts of Debian that never need a password.
_WITHOUT_PASSWORD = {"decrypt_derived", "passdev"}
#: A keyscript that has one of these words gets the password of the server.
_OURS = re.compile(rb"askpass|plugin-runner")
_SCRIPT_LIMIT = 1 << 20  # bytes
_SYSTEMD_CRYPTSETUP = (
    "usr/lib/systemd/systemd-cryptsetup",
    "lib/systemd/systemd-cryptsetup",
    "usr/bin/systemd-cryptsetup",
)
_NOT_FOR_OTHERS = 0o077
_ROOT = Path("/")


class Problem(NamedTuple):
    """A problem with its consequence at boot, and its solution."""

    text: str
    hint: str


class Setup(NamedTuple):
    """The parts of a set-up that are looked at."""

    generator: str
    tree: Path
    keys: Path
    config: Path
    device: str


def problems(setup: Setup, machine: Machine | None = None, root: Path = _ROOT) -> list[Problem]:
    """Everything that will not work at boot."""
    found = [*key_problems(setup.keys)]
    if setup.generator:
        found += network_problems(setup, machine or Machine(root))
        found += command_line_problems(machine or Machine(root))
    if setup.generator == INITRAMFS_TOOLS:
        found += umask_problems()
        found += keyscript_problems(setup.tree, root)
    if setup.generator == DRACUT_SYSTEMD:
        found += systemd_problems(root)
    return found


def keyscript_problems(tree: Path, root: Path) -> Iterator[Problem]:
    """Disks whose keyscript never sees the password of the server."""
    try:
        text = (tree / crypttab.CRYPTROOT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for disk in crypttab.read_table(text):
        scripts = [word.partition("=")[2] for word in disk.options if word.startswith("keyscript=")]
        if scripts and not _takes_our_password(scripts[-1], root):
            yield Problem(
                f"the keyscript {scripts[-1]} of the disk {disk.name} does not ask by cryptsetup's"
                " askpass: at boot this disk never gets the password of the Mandos server",
                "remove keyscript= from the disk's line in /etc/crypttab, then run"
                f" {_RENEW[INITRAMFS_TOOLS]}",
            )


def _takes_our_password(script: str, root: Path) -> bool:
    path = Path(_SCRIPTS, script)
    if path.name in {"plugin-runner", "askpass", *_WITHOUT_PASSWORD}:
        return True
    try:
        with (root / path.relative_to("/")).open("rb") as file:
            return _OURS.search(file.read(_SCRIPT_LIMIT)) is not None
    except OSError:
        return False


def systemd_problems(root: Path) -> Iterator[Problem]:
    """Images where systemd opens the disks, but lacks the program for it."""
    if not any((root / name).exists() for name in _SYSTEMD_CRYPTSETUP):
        yield Problem(
            "systemd-cryptsetup is not installed: an image with systemd opens no encrypted disk"
            " without it, and asks for no password",
            f"apt install systemd-cryptsetup; then run {_RENEW[DRACUT_SYSTEMD]}",
        )


def umask_problems() -> Iterator[Problem]:
    """Images that other users may read; dracut's have mode 0600 under every umask."""
    umask = os.umask(_NOT_FOR_OTHERS)
    os.umask(umask)
    if umask & _NOT_FOR_OTHERS != _NOT_FOR_OTHERS:
        yield Problem(
            f"the image is made with the umask {umask:04o}: others may read it, and in it the keys"
            " that open this machine's password",
            "set UMASK=0077 in that file of /usr/share/initramfs-tools/conf-hooks.d that sets it",
        )


def network_problems(setup: Setup, machine: Machine) -> Iterator[Problem]:
    """Interfaces that settings name, and that this machine does not have."""
    for name, places in _missing(setup, machine).items():
        cards = ", ".join(machine.cards())
        yield Problem(
            f"this machine has no network interface {name}, which {places} names (it has {cards}):"
            f" at boot the client waits for it {MISSING_TIME:g} seconds, then uses the others",
            "correct the name, or remove it to use all interfaces; then run"
            f" {_RENEW[setup.generator]}",
        )


def _missing(setup: Setup, machine: Machine) -> dict[str, str]:
    file = setup.config / "plugin-runner.conf"
    runner = local_files.runner_settings(file, local_files.warn)
    options = runner.arguments("mandos-client")
    named = [
        *(Named(name, "DEVICE in initramfs.conf") for name in setup.device.split(",") if name),
        *network_check.named_by_client_options(options, str(file)),
        *network_check.named_on_command_lines(machine, dracut=setup.generator != INITRAMFS_TOOLS),
    ]
    return network_check.missing_interfaces(machine, named, setup.config / "network-hooks.d")


def command_line_problems(machine: Machine) -> Iterator[Problem]:
    """A boot loader that switches the client off at every boot."""
    for place, words in machine.configured_command_lines().items():
        if "mandos=off" in words:
            yield Problem(
                f"{place} has mandos=off: the machine asks no Mandos server at boot",
                "remove the word mandos=off there, then run update-grub or its like",
            )


def key_problems(folder: Path) -> Iterator[Problem]:
    """Keys that cannot be used, are no pairs, or belong to another section than the last."""
    key_id, fingerprint, made = _pairs(folder)
    yield from made
    note = section_note.read(folder)
    if key_id and fingerprint and note is not None and note != Note(key_id, fingerprint):
        yield Problem(
            f"the keys in {folder} are not those of the section that mandos-keygen printed last"
            f" (key ID {note.key_id[:16]}... then, {key_id[:16]}... now): a server with that"
            " section cannot serve this machine",
            "run mandos-keygen --password, and put the new section in the place of the old one"
            " on the server",
        )
    signed = folder / section_note.SIGNED
    if signed.exists() and section_note.read(folder, section_note.SIGNED) is None:
        yield Problem(
            f"{signed} is damaged: at boot an unsigned password is used after 20 seconds, although"
            " mandos-keygen signed the one that the server has",
            "run mandos-keygen --password, which writes the file anew, and put the new section in"
            " the place of the old one on the server",
        )


def pair_problems(folder: Path) -> list[Problem]:
    """Keys that cannot be used, or are no pairs."""
    *_names, made = _pairs(folder)
    return made


def _pairs(folder: Path) -> tuple[str | None, str | None, list[Problem]]:
    """The names of the TLS keys and of the OpenPGP keys, if they are pairs, and the problems."""
    made: list[Problem] = []
    key_id = _of_pair(folder / "tls-pubkey.pem", folder / "tls-privkey.pem", made,
                      (tls_keys.key_id_of_public_pem, tls_keys.key_id_of_private_pem))  # fmt: skip
    fingerprint = _of_pair(folder / "pubkey.txt", folder / "seckey.txt", made,
                           (sealing.fingerprint, sealing.fingerprint))  # fmt: skip
    return key_id, fingerprint, made


def _of_pair(
    public: Path,
    private: Path,
    made: list[Problem],
    readers: tuple[Callable[[bytes], str], Callable[[bytes], str]],
) -> str | None:
    """The name of a pair of keys, in which both halves agree; else None, and a problem is noted.

    A public OpenPGP key that is missing is none: nothing needs it at boot.
    """
    names: list[str] = []
    for path, reader in zip((public, private), readers, strict=True):
        if path is public and not path.exists():
            continue
        try:
            names.append(reader(read_key_file(str(path))))
        except MandosError as error:
            made.append(Problem(
                f"the key file {path} cannot be used at boot: {error}",
                error.hint or "restore it from a backup, or make new keys: mandos-keygen --force",
            ))  # fmt: skip
            return None
    if len(set(names)) == 1:
        return names[0]
    made.append(Problem(
        f"{public} is not the public key of {private}: they cannot be used together",
        "restore the right file, or run mandos-keygen --force and then mandos-keygen --password",
    ))  # fmt: skip
    return None
