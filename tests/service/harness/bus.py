# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system bus and an avahi-daemon of a host's own, where nobody but the test can reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.host import Host
    from harness.process import Process

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""
AVAHI_CONFIG = """[server]
host-name={name}
use-ipv4=no
use-ipv6=yes
disallow-other-stacks=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


def start_system_bus(host: Host) -> Process:
    """Run a dbus-daemon as the host's system bus; return when it takes connections."""
    host.path("/run/dbus").mkdir()
    host.path("/run/bus.conf").write_text(BUS_CONFIG, encoding="ascii")
    bus = host.start(
        *("dbus-daemon", "--config-file=/run/bus.conf"),
        *("--nofork", "--nopidfile", "--print-address"),
    )
    bus.wait_for("^unix:path=")
    return bus


def start_avahi(host: Host) -> Process:
    """Run an avahi-daemon on the host's bus; return when it has claimed its name on the link."""
    text = AVAHI_CONFIG.format(name=host.name)
    host.path("/run/avahi.conf").write_text(text, encoding="ascii")
    avahi = host.start("avahi-daemon", "--no-chroot", "--no-drop-root", "--file=/run/avahi.conf")
    avahi.wait_for("Server startup complete")
    return avahi
