# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's interface in a VLAN (IEEE 802.1Q), also where the kernel has no driver for it.

A program of the host takes the frames with the VLAN's tag off a card, and gives them without it to
a tap device; what it gets there goes out with the tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.host import Host

#: Arguments: the card, the number, the name of the new interface.  The kernel takes a tag out of
#: the frame and tells it beside: PACKET_AUXDATA in packet(7), struct tpacket_auxdata.
VLAN = """
import fcntl, os, select, socket, struct, subprocess, sys
card, number, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING, TUNSETIFF = 263, 8, 4, 0x400454CA
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), 0x1002))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
wire.bind((card, 0))
subprocess.run(["ip", "link", "set", name, "up"], check=True)
print("joined", flush=True)
while True:
    for ready in select.select([tap, wire], [], [])[0]:
        if ready is tap:
            frame = os.read(tap, 65536)
            wire.send(frame[:12] + struct.pack("!HH", 0x8100, number) + frame[12:])
            continue
        frame, beside, _flags, sender = wire.recvmsg(65536, 256)
        if sender[2] != PACKET_OUTGOING:
            for _level, _kind, data in beside:
                if struct.unpack_from("H", data, 16)[0] & 0xFFF == number:
                    os.write(tap, frame)
"""


def allow_taps(host: Host) -> None:
    """Let programs of the host make tap devices."""
    host.run("mkdir", "/dev/net")
    host.run("mknod", "-m", "666", "/dev/net/tun", "c", "10", "200")  # as udev makes it


def start_vlan(host: Host, card: str, number: int, name: str) -> None:
    """Make the host's interface ``name``, in the VLAN on its ``card``."""
    allow_taps(host)
    program = host.start("/usr/bin/python3", "-I", "-c", VLAN, card, str(number), name)
    program.wait_for("^joined$")
