# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's command line: the manual page mandos-client(8mandos), "OPTIONS"."""

from __future__ import annotations

from mandos import keyfiles
from mandos.errors import UsageError
from mandos.lean_stdlib import socket
from mandos.options import CommandLine, Option
from mandos.wire import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.options import ParsedOptions

_HOOK_DIR = "/lib/mandos/network-hooks.d"
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._")
_NAME_LIMIT = 253
_PORT_LIMIT = 65535

COMMAND_LINE = CommandLine(
    "mandos-client",
    "Fetches this machine's encrypted password from a Mandos server and prints it decrypted.",
    (
        Option("connect", "c", "ADDRESS:PORT", "ask this server and do not search"),
        Option("server", "", "ADDRESS:PORT", "ask this server and those that are found"),
        Option("interface", "i", "NAME[,NAME...]", "use these network interfaces"),
        Option("pubkey", "p", "FILE", "OpenPGP public key"),
        Option("seckey", "s", "FILE", "OpenPGP secret key"),
        Option("tls-pubkey", "T", "FILE", "TLS raw public key"),
        Option("tls-privkey", "t", "FILE", "TLS private key"),
        Option("priority", "", "STRING", "GnuTLS priority string for the handshake"),
        Option("dh-bits", "", "BITS", "size of Diffie-Hellman primes below TLS 1.3"),
        Option("dh-params", "", "FILE", "Diffie-Hellman parameters below TLS 1.3"),
        Option("delay", "", "SECONDS", "keep kernel messages off the console (2.5)"),
        Option("retry", "", "SECONDS", "time until a server is asked again (10)"),
        Option("signed-only", "", None, "only use passwords signed with this client's key"),
        Option("no-signed-only", "", None, "use an unsigned password after 20 seconds"),
        Option("network-hook-dir", "", "DIR", "directory of the network hooks"),
        Option("debug", "", None, "log each step on standard error"),
    ),
)


class Address:
    """Where a server listens: an address or a name, a port, the interface of a link-local one."""

    __slots__ = ("host", "interface", "port")

    def __init__(self, host: str, port: int, interface: str = "") -> None:
        self.host = host
        self.port = port
        self.interface = interface

    @classmethod
    def parse(cls, text: str, option: str = "connect") -> Address:
        """Read ADDRESS:PORT: the last colon separates, brackets and %interface are allowed."""
        host, colon, port = text.rpartition(":")
        host, _percent, interface = host.removeprefix("[").removesuffix("]").partition("%")
        if not (colon and port.isascii() and port.isdigit() and 0 < int(port) <= _PORT_LIMIT):
            raise UsageError(
                f"--{option} takes ADDRESS:PORT, not {text!r}", "such as fe80::1%eth0:4711"
            )
        address = cls(host, int(port), interface)
        if not address.is_numeric and not _is_name(host):
            raise UsageError(f"--{option}: {host!r} is neither an address nor a name of a host")
        return address

    @property
    def is_numeric(self) -> bool:
        """Whether nothing has to be looked up."""
        return any(_is_numeric(self.host, family) for family in (socket.AF_INET6, socket.AF_INET))


def is_link_local(host: str) -> bool:
    """Whether a numeric address needs an interface (RFC 4291, section 2.5.6)."""
    if ":" not in host:
        return False
    packed = socket.inet_pton(socket.AF_INET6, host)
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def _is_numeric(host: str, family: socket.AddressFamily) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Whether it is a host name: RFC 1123, section 2.1; digits and dots alone are a slip."""
    return (
        0 < len(text) <= _NAME_LIMIT
        and _NAME.issuperset(text)
        and text[0] not in "-."
        and not text.replace(".", "").isdigit()
    )


def _last_of(given: ParsedOptions, yes: str, no: str) -> bool | None:
    """Whether the first of two opposite options was given last; None when neither was given."""
    found = [name for name, _value in given.pairs if name in (yes, no)]
    return found[-1] == yes if found else None


class ClientOptions:
    """Settings of one run of the client; valid once built.  Times are in seconds."""

    __slots__ = (
        "_connect_text",
        "_device",
        "connect",
        "debug",
        "delay",
        "dh_bits",
        "dh_params",
        "interfaces",
        "network_hook_dir",
        "priority",
        "retry",
        "seckey",
        "servers",
        "signed_only",
        "tls_privkey",
        "tls_pubkey",
    )  # fmt: skip

    def __init__(self, given: ParsedOptions) -> None:
        folder = keyfiles.default_folder()
        self.seckey = given.text("seckey", f"{folder}/seckey.txt")
        self.tls_pubkey = given.text("tls-pubkey", f"{folder}/tls-pubkey.pem")
        self.tls_privkey = given.text("tls-privkey", f"{folder}/tls-privkey.pem")
        self.priority = given.text("priority", grammar.PRIORITY)
        self.dh_bits = given.number("dh-bits", 0)
        self.dh_params = given.text("dh-params", "")
        self.delay = given.seconds("delay", 2.5)
        self.retry = given.seconds("retry", 10.0)
        self.signed_only = _last_of(given, "signed-only", "no-signed-only")
        self.network_hook_dir = given.text("network-hook-dir", _HOOK_DIR)
        self.debug = "debug" in given
        self._device = ",".join(given.all("interface"))
        self.interfaces = [name for name in self._device.split(",") if name]
        #: Servers that are asked instead of a search, and those that are asked beside it.
        self._connect_text = " ".join(given.all("connect"))
        self.connect = self._addresses("connect", given)
        self.servers = self._addresses("server", given)

    @property
    def key_files(self) -> list[str]:
        """Files that have to be read before root is given up."""
        files = [self.tls_pubkey, self.tls_privkey, self.seckey]
        return [*files, self.dh_params] if self.dh_params else files

    def _addresses(self, option: str, given: ParsedOptions) -> list[Address]:
        return [Address.parse(text, option) for text in given.all(option) if text]

    def hook_variables(self) -> dict[str, str]:
        """Environment variables for network hooks; manual page, "NETWORK HOOKS"."""
        connect = {"CONNECT": self._connect_text} if self._connect_text else {}
        return {
            "DEVICE": self._device,
            "VERBOSITY": "1" if self.debug else "0",
            "DELAY": f"{self.delay:g}",
            **connect,
        }
