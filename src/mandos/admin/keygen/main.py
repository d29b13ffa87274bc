# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-keygen: makes a client's keys, or encrypts its password for the server.

Manual page: mandos-keygen(8).  Standard output is for the section of clients.conf alone.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import mandos
from mandos import section_note
from mandos.admin.keygen import making, next_steps
from mandos.admin.keygen import password as keygen_password
from mandos.admin.keygen import section as keygen_section
from mandos.admin.keygen.files import KeyDirectory
from mandos.admin.keygen.host import remark as host_remark
from mandos.admin.keygen.ssh import checker_for_this_host
from mandos.errors import AdministratorError, MachineError, MandosError, UsageError
from mandos.openpgp import kinds, sealing
from mandos.tls import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mandos.admin.keygen.files import Pair

_EX_SIGNAL = 128
_DIRECTORY = Path("/etc/keys/mandos")
_RSA_BITS = 4096
_NO_WARNING = "images of other keys than these will be made without a warning"
_UNSIGNED_TOO = "images will not say that this client's password is signed"

#: One row per option: its names, and how argparse reads it.
_MAKING: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("-t", "--type", {"metavar": "KEYTYPE", "help": "OpenPGP key type (ed25519)"}),
    ("-l", "--length", {"metavar": "BITS", "help": "its length, for RSA (4096)"}),
    ("-s", "--subtype", {"metavar": "KEYTYPE", "help": "subkey type (cv25519; RSA for RSA)"}),
    ("-L", "--sublength", {"metavar": "BITS", "help": "its length, for RSA (4096)"}),
    ("-e", "--email", {"metavar": "ADDRESS", "default": "", "help": "mail address in the key"}),
    ("-c", "--comment", {"metavar": "TEXT", "default": "", "help": "comment in the key"}),
    ("-x", "--expire", {"metavar": "TIME", "default": "0", "help": "when the key expires (never)"}),
    ("-T", "--tls-keytype", {"metavar": "KEYTYPE", "default": "ed25519", "help": "TLS key type"}),
    ("-f", "--force", {"action": "store_true", "help": "replace keys that exist"}),
)
_COMMON: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("-d", "--dir", {"metavar": "DIRECTORY", "type": Path, "default": _DIRECTORY,
                     "help": "directory of the key files (/etc/keys/mandos)"}),
    ("-n", "--name", {"metavar": "NAME", "help": "name of the client (full host name)"}),
)  # fmt: skip
_SEALING: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("-p", "--password", {"action": "store_true", "help": "ask for the password to encrypt"}),
    (
        "-F",
        "--passfile",
        {"metavar": "FILE", "help": "read the password from a file, or - for stdin"},
    ),
    ("-S", "--no-ssh", {"action": "store_true", "help": "use no SSH host key in the checker"}),
)
_ROTATING: tuple[tuple[str, dict[str, object]], ...] = (
    ("--rotate", {"action": "store_true", "help": "replace the keys step by step; see the manual"}),
    ("--status", {"action": "store_true", "help": "with --rotate: only show the next step"}),
    ("--abandon", {"action": "store_true", "help": "with --rotate: go back to the old keys"}),
    ("--now", {"action": "store_true", "help": "with --rotate: remove old keys before a reboot"}),
    ("--count-as-boot",
     {"action": "store_true", "help": "with --rotate: ask servers that know no rehearsals, too"}),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line, for the program and its tests."""
    made = _Parser(
        "mandos-keygen",
        description="Makes the keys of a Mandos client, or encrypts its password for it.",
    )
    made.add_argument("-v", "--version", action="version", version=f"%(prog)s {mandos.__version__}")
    for title, rows in (("both", _COMMON), ("keys", _MAKING), ("password", _SEALING)):
        group = made.add_argument_group(title)
        for short, long, how in rows:
            group.add_argument(short, long, **how)  # type: ignore[arg-type] # one dict, many types
    group = made.add_argument_group("rotation")
    for long, how in _ROTATING:
        group.add_argument(long, **how)  # type: ignore[arg-type] # as above
    return made


def main(
    argv: Sequence[str] | None = None,
    rotate: Callable[[argparse.Namespace], int] | None = None,
    before_force: Callable[[Path], None] | None = None,
) -> int:
    """Run mandos-keygen; returns the exit status.

    ``rotate`` does the work of --rotate, and returns the exit status; it needs rooms above this.
    ``before_force`` raises MandosError if the keys in a folder must not be replaced at once.
    """
    try:
        options = parser().parse_args(argv)
        _check_rotation(options)
        with making.ending_by_signals():
            if options.rotate:
                if rotate is None:
                    raise MachineError("keys cannot be rotated here", "mandos-check is missing")
                return rotate(options)
            if options.password or options.passfile is not None:
                sys.stdout.write(_sealed_section(options))
            else:
                if options.force and before_force is not None:
                    before_force(options.dir)
                _make_keys(options)
    except MandosError as error:
        for line in error.lines():
            _say(line)
        return error.exit_code
    except making.Interrupted as interrupted:
        return _EX_SIGNAL + interrupted.number
    except KeyboardInterrupt:
        return _EX_SIGNAL + signal.SIGINT
    return 0


def _check_rotation(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.  Raises UsageError."""
    given = [name for name in ("status", "abandon", "now", "count_as_boot") if vars(options)[name]]
    if given and not options.rotate:
        raise UsageError(f"--{given[0].replace('_', '-')} needs --rotate")
    if options.rotate and options.force:
        raise UsageError("--force replaces keys at once, and --rotate step by step", "give one")


def new_files(options: argparse.Namespace, pairs: Sequence[Pair]) -> dict[str, bytes]:
    """Make pairs of keys; their files by name.  RSA keys can take half a minute.

    Raises UsageError before any key is made.
    """
    user_id = sealing.UserID(client_name(options), options.comment, options.email)
    primary, subkey = _kinds(options)
    expire = kinds.expiry(options.expire)
    files: dict[str, bytes] = {}
    if KeyDirectory.TLS in pairs:
        private, public = keys.generate_tls_key(options.tls_keytype)
        files |= dict(zip(KeyDirectory.TLS, (public, private), strict=True))
    if KeyDirectory.OPENPGP in pairs:
        pair = making.make(user_id, primary, subkey, expire)
        files |= dict(zip(KeyDirectory.OPENPGP, (pair.public, pair.secret), strict=True))
    return files


def _make_keys(options: argparse.Namespace) -> None:
    """Make the keys that are missing, or all by force."""
    sealing.UserID(client_name(options), options.comment, options.email)
    _kinds(options)
    kinds.expiry(options.expire)
    directory = KeyDirectory(options.dir)
    seal = next_steps.seal_command(options.dir, _DIRECTORY)
    with directory.locked():
        missing = directory.pairs_to_make(force=options.force)
        if not missing:
            _say_that_keys_exist(directory, options, seal)
            return
        replaced = bool(directory.names())
        files = new_files(options, missing)
        directory.write(files, force=options.force)
        _forget_signed(directory.path)
    _say(f"made {', '.join(sorted(files))} in {directory.path}")
    after = next_steps.after_new_keys if replaced else next_steps.after_first_keys
    for line in after(seal):
        _say(line)


def _say_that_keys_exist(directory: KeyDirectory, options: argparse.Namespace, seal: str) -> None:
    """Accept keys that exist already, such as the package's; replacing them needs --force.

    Raises AdministratorError when options ask for keys of another kind, or the keys are invalid.
    """
    usual = vars(parser().parse_args([]))
    asked = {name: name.removeprefix("--").replace("-", "_") for _short, name, _how in _MAKING}
    wanted = [name for name, key in asked.items() if getattr(options, key) != usual[key]]
    if wanted:
        raise AdministratorError(
            f"the keys in {directory.path} exist already; {' '.join(wanted)} would need new ones",
            "--force replaces them; then this machine needs a new section on the server",
        )
    for warning in directory.identity().warnings:
        _say(f"warning: {warning}")
    names = ", ".join(sorted(directory.names()))
    _say(f"keys exist already and are good: {names} in {directory.path}")
    for line in next_steps.with_keys_that_exist(seal):
        _say(line)


def _sealed_section(options: argparse.Namespace) -> str:
    name = client_name(options)
    keygen_section.check_name(name)
    client = KeyDirectory(options.dir).identity()
    for warning in client.warnings:
        _say(f"warning: {warning}")
    remark = host_remark(name)
    if remark:
        _say(remark)
    password = given_password(options)
    section = keygen_section.section(
        name,
        client,
        sealing.seal(password, client.secret_key),
        None if options.no_ssh else checker_for_this_host(),
    )
    note = section_note.Note(client.key_id, client.fingerprint)
    if _remember(options.dir, note, section_note.NAME, _NO_WARNING):
        _remember(options.dir, note, section_note.SIGNED, _UNSIGNED_TOO)
    return section


def given_password(options: argparse.Namespace) -> bytes:
    """The password that is typed, piped, or in the file; remarks about it are printed."""
    file = options.passfile
    password = keygen_password.ask() if options.password else keygen_password.read(file)
    for remark in keygen_password.remarks(password):
        _say(remark)
    return password


def _remember(folder: Path, note: section_note.Note, name: str, loss: str) -> bool:
    """Leave a note for mandos-image; returns whether it could be written.

    ``loss`` names the consequence of a missing note.
    """
    try:
        section_note.write(folder, note, name)
    except OSError as error:
        _say(f"note: cannot write {folder / name}: {error.strerror}; {loss}")
        return False
    return True


def _forget_signed(folder: Path) -> None:
    """New keys have signed nothing yet."""
    with contextlib.suppress(OSError):  # mandos-image compares it with the keys all the same
        (folder / section_note.SIGNED).unlink()


def _kinds(options: argparse.Namespace) -> tuple[kinds.KeyKind, kinds.KeyKind]:
    """The algorithms and lengths of the OpenPGP key and its subkey.

    A length without a type asks for RSA, the reference's default; an RSA key has an RSA subkey.
    """
    kind = options.type or ("ed25519" if options.length is None else "RSA")
    primary = kinds.primary_kind(kind, _bits(options.length))
    rsa = primary.is_rsa or options.sublength is not None
    subkind = options.subtype or ("RSA" if rsa else "cv25519")
    return primary, kinds.subkey_kind(subkind, _bits(options.sublength))


def _bits(text: str | None) -> int:
    if text is None:
        return _RSA_BITS
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise UsageError(f"a key length is a number of bits, not {text!r}", "such as 3072")
    return int(text)


def client_name(options: argparse.Namespace) -> str:
    """The given name, or this host's full one; a host that knows itself only as localhost's."""
    if options.name is not None:
        return str(options.name)
    full = socket.getfqdn()
    return socket.gethostname() if full.startswith("localhost") else full


def _say(message: str) -> None:
    sys.stderr.write(f"mandos-keygen: {message}\n")
    sys.stderr.flush()
