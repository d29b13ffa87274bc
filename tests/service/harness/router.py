# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router of a test's network: radvd, which announces prefixes as home and office routers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.host import Host
    from harness.process import Process

#: A host that asks is answered at once; otherwise nobody would wait for the usual minutes.
_CONFIG = """interface {interface} {{
    AdvSendAdvert on;
    MinRtrAdvInterval 3;
    MaxRtrAdvInterval 10;
    {prefixes}
}};
"""


def start_router(host: Host, prefixes: Sequence[str], interface: str = "eth0") -> Process:
    """Have a host announce itself and these prefixes of 64 bits; return when it does."""
    lines = (f"prefix {prefix}/64 {{}};" for prefix in prefixes)
    config = _CONFIG.format(interface=interface, prefixes="\n    ".join(lines))
    host.path("/run/radvd.conf").write_text(config, encoding="utf-8")
    host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    radvd = host.start(
        *("radvd", "--nodaemon", "--logmethod=stderr", "--debug=1"),
        *("--config=/run/radvd.conf", "--pidfile=/run/radvd.pid"),
    )
    radvd.wait_for("version .* started")
    return radvd
