# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's command line: the manual page mandos-client(8mandos), "OPTIONS"."""

from __future__ import annotations

import socket

from mandos.errors import UsageError
from mandos.options import CommandLine, Option
from mandos.wire import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.options import Given

_KEY_DIR = "/conf/conf.d/mandos/"
_NO_MORE_INTERFACES = "none"
_PORT_LIMIT = 65535

COMMAND_LINE = CommandLine(
    "mandos-client",
    "Fetches this machine's sealed password from a Mandos server, opens it and prints it.",
    (
        Option("connect", "c", "ADDRESS:PORT", "ask this server only; do not search"),
        Option("interface", "i", "NAME[,NAME...]", "search on these network interfaces"),
        Option("pubkey", "p", "FILE", "OpenPGP public key"),
        Option("seckey", "s", "FILE", "OpenPGP secret key"),
        Option("tls-pubkey", "T", "FILE", "TLS raw public key"),
        Option("tls-privkey", "t", "FILE", "TLS private key"),
        Option("priority", "", "STRING", "GnuTLS priority string for the handshake"),
        Option("dh-bits", "", "BITS", "size of Diffie-Hellman primes below TLS 1.3"),
        Option("dh-params", "", "FILE", "Diffie-Hellman parameters below TLS 1.3"),
        Option("delay", "", "SECONDS", "how long to wait for an interface (2.5)"),
        Option("retry", "", "SECONDS", "how long until a server is asked again (10)"),
        Option("network-hook-dir", "", "DIR", "where the network hooks are"),
        Option("debug", "", None, "tell on standard error what happens"),
    ),
)


class Address:
    """Where a server listens: a numeric address, a port, and the interface of a link-local one."""

    __slots__ = ("host", "interface", "port")

    def __init__(self, host: str, port: int, interface: str = "") -> None:
        self.host = host
        self.port = port
        self.interface = interface

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ADDRESS:PORT: the last colon separates, brackets and %interface are allowed."""
        host, colon, port = text.rpartition(":")
        host, _percent, interface = host.removeprefix("[").removesuffix("]").partition("%")
        if not (colon and port.isascii() and port.isdigit() and 0 < int(port) <= _PORT_LIMIT):
            raise UsageError(
                f"--connect takes ADDRESS:PORT, not {text!r}", "such as fe80::1%eth0:4711"
            )
        if not any(_is_numeric(host, family) for family in (socket.AF_INET6, socket.AF_INET)):
            raise UsageError(
                f"--connect: {host!r} is not an IPv6 or IPv4 address",
                "names cannot be looked up before the network is there",
            )
        return cls(host, int(port), interface)


def _is_numeric(host: str, family: socket.AddressFamily) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


class ClientSettings:
    """What one run of the client does; valid once built.  Times are in seconds."""

    __slots__ = (
        "connect", "debug", "delay", "dh_bits", "dh_params", "interfaces", "priority", "pubkey",
        "retry", "seckey", "tls_privkey", "tls_pubkey",
    )  # fmt: skip

    def __init__(self, given: Given) -> None:
        self.pubkey = given.text("pubkey", _KEY_DIR + "pubkey.txt")
        self.seckey = given.text("seckey", _KEY_DIR + "seckey.txt")
        self.tls_pubkey = given.text("tls-pubkey", _KEY_DIR + "tls-pubkey.pem")
        self.tls_privkey = given.text("tls-privkey", _KEY_DIR + "tls-privkey.pem")
        self.priority = given.text("priority", grammar.PRIORITY)
        self.dh_bits = given.number("dh-bits", 0)
        self.dh_params = given.text("dh-params", "")
        self.delay = given.seconds("delay", 2.5)
        self.retry = given.seconds("retry", 10.0)
        self.debug = "debug" in given
        self.interfaces = _interfaces(given.all("interface"))
        connect = given.text("connect", "")
        self.connect = Address.parse(connect) if connect else None
        if self.connect and not self.connect.interface and len(self.interfaces) == 1:
            self.connect.interface = self.interfaces[0]


def _interfaces(values: list[str]) -> list[str]:
    names = [name for value in values for name in value.split(",") if name]
    if _NO_MORE_INTERFACES in names:
        names = names[: names.index(_NO_MORE_INTERFACES)]
    return names
