# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our policy on a bus that is else as a distribution has it: who may call, and who may hear."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import bus
from harness.bus_server import BusServer, served
from harness.families import ours
from harness.host import Host

if TYPE_CHECKING:
    from harness.process import Process

pytestmark = pytest.mark.peer

POLICY = Path(__file__).parents[2] / "dbus/mandos.conf"
#: The default policy of dbus-daemon(1)'s system.conf.
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>/run/mandos-policy.conf</include>
</busconfig>
"""
CLIENT = """
[alpha]
key_id = {}
secret = aGVsbG8=
checker = exit 1 # TOKEN=hunter2
interval = PT1S
timeout = P1W
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
MEMBER = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=_mandos")
LISTEN = ("dbus-monitor", "--system", "sender='se.recompile.Mandos'")
GET_ALL = (
    *("dbus-send", "--system", "--print-reply", "--dest=se.recompile.Mandos", "/"),
    "se.recompile.Mandos.GetAllClients",
)


def _until_heard(listener: Process) -> None:
    listener.wait_for("hunter2")


def test_signals_reach_root_and_the_group_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else hears the commands of checkers, hosts or addresses, or may call."""
    monkeypatch.setattr(bus, "BUS_CONFIG", BUS_CONFIG)
    with ExitStack() as stack:
        host = stack.enter_context(Host("server"))
        policy = POLICY.read_text(encoding="ascii")
        host.path("/run/mandos-policy.conf").write_text(policy, encoding="ascii")
        bus.start_system_bus(host)
        server = BusServer(host, ours(), CLIENT.format("ab" * 32))
        listeners = [stack.enter_context(host.start(*who, *LISTEN)) for who in (NOBODY, MEMBER, ())]
        for listener in listeners:
            listener.wait_for("NameAcquired")
        server.start()
        nobody, *allowed = listeners
        for listener in allowed:
            _until_heard(listener)
        host.run(*MEMBER, *GET_ALL)
        call = stack.enter_context(host.start(*NOBODY, *GET_ALL))
        assert call.wait() != 0
        assert "AccessDenied" in call.log
        assert "hunter2" not in nobody.log
        assert "member=CheckerStarted" not in nobody.log
        assert "path=/clients" not in nobody.log
        assert server.process.terminate() == 0


@pytest.mark.parametrize("before", [1, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
async def test_records_before_any_number(before: int) -> None:
    """Each number that D-Bus can carry is an answer, not an internal error."""
    async with served(ours(), CLIENT.format("ab" * 32)) as (server, peer):
        records = await peer.call(
            "/", "org.mandos_python.Server1", "GetRecords", "sut", "", 1000, before
        )
        assert bool(records) == (before > 1)
        assert not any("internal error" in line for line in server.log)
