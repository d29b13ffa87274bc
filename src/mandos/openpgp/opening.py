# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's half: opens a message from a server with the client's secret key.

The message comes from an untrusted server, so it is opened in a process of its own whose memory,
time and output are limited: a few thousand bytes of compressed zeros can stand for gigabytes.
The result also says whether the client's own key has signed the message: an attacker with only the
public key can encrypt a wrong password.  The expiry of the key is not checked: an expired key must
still bring the machine up.

Two error classes leave this module: AdministratorError when the secret key cannot be used for any
message, SecretError for every fault of the message.  Neither quotes decrypted bytes.
"""

from __future__ import annotations

from mandos import passwords, process
from mandos.errors import AdministratorError, MachineError, PeerError
from mandos.openpgp import packets
from mandos.wire import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from openpgp.composed import DecryptedMessage, Message, SignedSecretKey
    from openpgp.types import S2kParams

    #: ``process.run_isolated``, or its replacement in a process of its own.
    _Runner = Callable[..., bytes]

#: Bytes of a message, and of its content before that is known to be a password.
MESSAGE_LIMIT = grammar.MESSAGE_LIMIT
_CONTENT_LIMIT = grammar.MESSAGE_LIMIT

#: A message of the largest size is held about ten times while it is opened.
_MEMORY = 16 << 20
_TIME = 30.0  # in seconds; an RSA key of 4096 bits takes 0.02 s, an emulated machine 50 times that

_ARMOR = b"-----BEGIN PGP"
_SIGNED, _UNSIGNED = b"S", b"U"
#: How many signatures of a message are looked at; mandos-keygen makes one.
_SIGNATURE_LIMIT = 4
_MAKE_KEYS = "mandos-keygen --force makes new keys; then encrypt the password again"
_SEAL_AGAIN = "encrypt the password again, on the client: mandos-keygen --password"


class SecretError(PeerError):
    """A message that cannot be opened."""


def load() -> ModuleType:
    """Load the OpenPGP library, if it is not yet.  Raises MachineError when it is missing."""
    try:
        from openpgp import armor, composed  # noqa: F401, PLC0415 - loads slowly: callers choose when
    except ImportError as error:
        raise MachineError(f"the OpenPGP library cannot be loaded: {error}") from error
    return composed


def open_secret(message: bytes, secret_key: bytes) -> bytes:
    """Return the exact bytes that were encrypted.

    ``message`` and ``secret_key`` are whole, each binary or armored.
    Raises SecretError or, when the key file is at fault, AdministratorError.
    """
    return _open(message, read_secret_key(secret_key), process.run_isolated)[0]


def open_in_this_process(message: bytes, key: SignedSecretKey) -> tuple[bytes, bool]:
    """Open a secret as ``open_secret`` does, in a process that serves this message alone.

    Returns beside the bytes whether this very key has signed them.

    ``key`` is from ``read_secret_key``.  The process may not use much more memory afterwards; its
    parent has to limit its time.  A message may kill it.
    """
    return _open(message, key, _run_here)


def _open(message: bytes, key: SignedSecretKey, run: _Runner) -> tuple[bytes, bool]:
    message = _binary(message)
    try:
        about = packets.outline(message)
    except packets.MalformedError as error:
        raise SecretError(f"cannot decrypt the secret: {error}", _SEAL_AGAIN) from error
    if about.data_packet == packets.SED:
        raise SecretError("the secret has no integrity protection (packet type 9)", _SEAL_AGAIN)
    if strange := about.strange_cipher():
        raise SecretError(
            f"cannot decrypt the secret: its packet of type 20 is not AES-OCB ({strange})",
            _SEAL_AGAIN,
        )
    opened: Callable[[bytes, SignedSecretKey], DecryptedMessage | Message] = _decrypted
    if about.data_packet == packets.GNUPG_OCB or packets.ELGAMAL in about.algorithms:
        from mandos.openpgp import by_session_key, libcrypto  # noqa: PLC0415 - hardly any needs it

        libcrypto.require()
        opened = by_session_key.decrypted
    try:
        content = run(
            lambda: _with_mark(opened(message, key), key),
            memory=_MEMORY,
            size=len(_SIGNED) + _CONTENT_LIMIT,
            timeout=_TIME,
        )
    except MachineError as error:
        raise SecretError(
            "cannot decrypt the secret: damaged, too large, or encrypted for another key",
            _SEAL_AGAIN,
        ) from error
    sign, password = content[: len(_SIGNED)], content[len(_SIGNED) :]
    if len(password) > passwords.LIMIT:
        raise SecretError(passwords.too_long(len(password)), passwords.LONGER_KEYS)
    return password, sign == _SIGNED


def read_secret_key(data: bytes) -> SignedSecretKey:
    """Read a secret key without passphrase, armored or binary.  Raises AdministratorError."""
    composed = load()
    try:
        key: SignedSecretKey
        if data.lstrip().startswith(_ARMOR):
            key, _headers = composed.SignedSecretKey.from_armor(data.decode())
        else:
            key = composed.SignedSecretKey.from_bytes(data)
    except ValueError as error:  # the library's error class and UnicodeDecodeError are both one
        raise AdministratorError("not an OpenPGP secret key", _MAKE_KEYS) from error
    if all(part.usage != "unprotected" for part in _protections(key)):
        raise AdministratorError(
            "the OpenPGP secret key has a passphrase, which no person can type at boot",
            _MAKE_KEYS,
        )
    return key


def _protections(key: SignedSecretKey) -> list[S2kParams]:
    return [key.primary_secret_s2k(), *key.secret_subkey_s2ks()]


def _binary(message: bytes) -> bytes:
    if len(message) > MESSAGE_LIMIT:
        raise SecretError(
            f"the secret is larger than {MESSAGE_LIMIT} bytes, as no password of at most "
            f"{passwords.LIMIT} bytes makes it",
            passwords.LONGER_KEYS,
        )
    if not message.lstrip().startswith(_ARMOR):
        return message
    load()
    from openpgp import armor  # noqa: PLC0415 - as in load

    try:
        return armor.Dearmor(message, armor.DearmorOptions(MESSAGE_LIMIT)).readall()
    except (ValueError, OSError) as error:
        raise SecretError("the armor around the secret is damaged", _SEAL_AGAIN) from error


def _run_here(work: Callable[[], bytes], *, memory: int, size: int, timeout: float) -> bytes:  # noqa: ARG001 - as process.run_isolated
    process.limit_memory(memory)
    try:
        output = work()
    except Exception as error:
        raise MachineError("the work failed") from error  # any error of the library
    if len(output) > size:
        raise MachineError(f"the work returned more than {size} bytes")
    return output


def _decrypted(message: bytes, key: SignedSecretKey) -> DecryptedMessage:
    opened: DecryptedMessage = load().Message.from_bytes(message).decrypt(None, key)
    return opened


def _with_mark(opened: DecryptedMessage | Message, key: SignedSecretKey) -> bytes:
    return (_SIGNED if _is_signed(opened, key) else _UNSIGNED) + _content(opened)


def _is_signed(opened: DecryptedMessage | Message, key: SignedSecretKey) -> bool:
    """Whether this key has signed the content, be it compressed or not."""
    public = key.to_public_key()
    for index in range(_SIGNATURE_LIMIT):
        try:
            opened.verify(public, index)
        except (ValueError, IndexError, OverflowError):  # of another key, or there is none
            continue
        return True
    return False


def _content(opened: DecryptedMessage | Message) -> bytes:
    text = opened.literal_mode() != "binary"
    data: bytes = opened.as_data_vec()
    # Text travels with CR LF; GnuPG and so the reference's client give it back with LF.
    return data.replace(b"\r\n", b"\n") if text else data
