# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation's unified kernel images, by the real kernel-install and ukify of a release."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import mandos
from harness.loaders import in_each, why_no_loaders
from mandos.check.loader import unified_images
from mandos.check.loader.kernels import boots

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(900)]

SUITE = "trixie"  # the first release of Debian with ukify
VERSION = "6.12.1-amd64"
MACHINE_ID = "4098b3f648d74c13b1f04ccfba7798e8"
RENEW = """
import sys
sys.path.insert(0, "/out")
from pathlib import Path
from mandos.errors import MandosError
from mandos.rotation.images import renew
try:
    renew(Path("/"))
except MandosError as error:
    sys.exit("\\n".join(error.lines()))
"""
#: A kernel and its unified image, and a program that makes another initial RAM disk.
PREPARE = f"""
mkdir -p /etc/kernel /usr/lib/modules/{VERSION} /efi/EFI/Linux
echo root=/dev/x quiet >/etc/kernel/cmdline
echo layout=uki >/etc/kernel/install.conf
echo {MACHINE_ID} >/etc/machine-id
head -c 70000 /dev/urandom >/boot/vmlinuz-{VERSION}
echo old >/boot/initrd.img-{VERSION}
kernel-install add {VERSION} /boot/vmlinuz-{VERSION}
echo "echo new >/boot/initrd.img-{VERSION}" | cat - >/usr/sbin/update-initramfs
sed -i '1i #!/bin/sh' /usr/sbin/update-initramfs
chmod 755 /usr/sbin/update-initramfs
cp -a /efi/EFI/Linux /out/before
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folder of a machine; its /out has our programs."""
    if (reason := why_no_loaders()) is not None:
        pytest.skip(reason)
    root = tmp_path / "machine"
    (root / "efi").mkdir(parents=True)
    shutil.copytree(
        mandos.__path__[0], root / "out/mandos", ignore=shutil.ignore_patterns("__pycache__")
    )
    return root


def test_kernel_install_makes_the_image_anew(machine: Path) -> None:
    """In its place, with the new initial RAM disk; no other file is left there."""
    in_each(SUITE, machine.parent, f"{PREPARE}\npython3 -IS -c '{RENEW}'")
    (before,) = (machine / "out/before").iterdir()
    (image,) = (machine / "efi/EFI/Linux").iterdir()
    assert image.name == before.name
    for file, content in ((before, b"old\n"), (image, b"new\n")):
        unified = unified_images.read(file)
        assert unified is not None
        assert unified.initrd() == content
        assert unified.text(".cmdline") == f"root=/dev/x quiet systemd.machine_id={MACHINE_ID}"
    found = boots(machine)
    assert found.next is not None
    assert (found.next.name, found.next.image) == (VERSION, image)


def test_layout_is_none_of_unified_images(machine: Path) -> None:
    """kernel-install would make other files: the image stays, and the message says so."""
    script = f"""{PREPARE}
        echo layout=bls >/etc/kernel/install.conf
        if python3 -IS -c '{RENEW}' 2>/out/said; then exit 3; fi
        cat /boot/initrd.img-{VERSION} >/out/initrd
    """
    in_each(SUITE, machine.parent, script)
    assert "unknown which program makes it" in (machine / "out/said").read_text(encoding="utf-8")
    assert (machine / "out/initrd").read_bytes() == b"old\n"
    (before,) = (machine / "out/before").iterdir()
    (image,) = (machine / "efi/EFI/Linux").iterdir()
    assert image.read_bytes() == before.read_bytes()
