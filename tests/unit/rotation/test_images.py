# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New images: each by its own program, and the old one stays until the new one is whole.

Scripts stand for dracut and update-initramfs; they write and fail as those do.  kernel-install is
the real one, with a script for its plugins, and the images are in their real format.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.efi_files import image, program
from mandos.check.loader import unified_images
from mandos.errors import MachineError
from mandos.rotation.images import plan, renew

DRACUT = """#!/bin/sh
[ "$1" = --force ] || exit 2
shift
case $1 in
    --regenerate-all) echo all >"$FOLDER/all"; exit;;
    --uefi) cat "$FOLDER/made" >"$2"; exit;;
    --no-uefi) shift;;
    *) if [ -e "$FOLDER/etc/dracut.conf" ]; then cat "$FOLDER/made" >"$1"; exit; fi;;
esac
printf "new %s" "$2" >"$1"
case $2 in $FULL) rm -f "$1"; echo "No space left on device" >&2; exit 1;; esac
"""
#: Makes the image of a kernel as ukify and kernel-install's own plugins do together.
PLUGIN = """#!/bin/sh
[ "$1" = add ] || exit 0
cat "$4" "$FOLDER/boot/initrd.img-$2" >"$FOLDER/added-of"
cat "$FOLDER/made" >"$FOLDER/efi/EFI/Linux/debian-$2.efi"
"""
VERSIONS = ("6.1.0-9", "6.12.0-1")
NEWEST = VERSIONS[1]
UNIFIED = f"efi/EFI/Linux/debian-{NEWEST}.efi"


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two kernels, and dracut."""
    for folder in ("bin", "boot", *(f"lib/modules/{version}" for version in VERSIONS)):
        (tmp_path / folder).mkdir(parents=True)
    for version in VERSIONS:
        (tmp_path / f"boot/vmlinuz-{version}").write_text("kernel ", encoding="ascii")
        (tmp_path / f"boot/initrd.img-{version}").write_text("old", encoding="ascii")
    _script(tmp_path / "bin/dracut", DRACUT)
    for name in ("cat", "findmnt", "lsblk", "rm", "sh"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("FULL", "none")
    return tmp_path


@pytest.fixture
def unified(root: Path) -> Path:
    """The unified image that the machine boots; the file "made" is that of the next run."""
    file = root / UNIFIED
    file.parent.mkdir(parents=True)
    file.write_bytes(image(release=NEWEST))
    loader = root / "efi/EFI/systemd/systemd-bootx64.efi"
    loader.parent.mkdir()
    loader.write_bytes(program((".sdmagic", b"#### LoaderInfo: systemd-boot 257 ####")))
    (root / "made").write_bytes(image((".new", b"new"), release=NEWEST))
    return file


def _install_kernel_install(root: Path, patch: pytest.MonkeyPatch, layout: str) -> None:
    found = shutil.which("kernel-install", path="/usr/bin:/bin")
    if found is None:
        pytest.skip("kernel-install is not installed")
    patch.setenv("PATH", f"{root}/bin:/usr/bin:/bin")
    (root / "conf").mkdir()
    (root / "conf/install.conf").write_text(f"layout={layout}\n", encoding="ascii")
    _script(root / "bin/make.install", PLUGIN)
    patch.setenv("KERNEL_INSTALL_CONF_ROOT", f"{root}/conf")
    patch.setenv("KERNEL_INSTALL_PLUGINS", f"{root}/bin/make.install")
    patch.setenv("BOOT_ROOT", f"{root}/efi")
    patch.setenv("MACHINE_ID", "00000000000000000000000000000001")


def _images(root: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (root / "boot").glob("*initrd*")}


def test_each_kernel_gets_a_new_image(root: Path) -> None:
    """One of a kernel without modules stays as it is: dracut could not make another one."""
    (root / "boot/vmlinuz-5.10").touch()
    (root / "boot/initrd.img-5.10").write_text("old", encoding="ascii")
    renew(root)
    new = {f"initrd.img-{version}": f"new {version}" for version in VERSIONS}
    assert _images(root) == {**new, "initrd.img-5.10": "old"}


def test_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old image stays, nothing half made does, and dracut's reason is shown."""
    monkeypatch.setenv("FULL", VERSIONS[0])
    with pytest.raises(MachineError, match="command failed") as raised:
        renew(root)
    assert raised.value.hint == "No space left on device"
    assert _images(root) == {
        f"initrd.img-{VERSIONS[1]}": f"new {VERSIONS[1]}", f"initrd.img-{VERSIONS[0]}": "old",
    }  # fmt: skip


def test_images_that_are_unknown(root: Path) -> None:
    """The program itself knows where they are."""
    for file in (root / "boot").iterdir():
        file.unlink()
    renew(root)
    assert (root / "all").exists()


def test_unified_image_by_kernel_install(
    root: Path, unified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made of the new initial RAM disk, which dracut makes before."""
    _install_kernel_install(root, monkeypatch, "uki")
    renew(root)
    assert unified.read_bytes() == (root / "made").read_bytes()
    assert (root / "added-of").read_text() == f"kernel new {NEWEST}"
    assert [file.name for file in unified.parent.iterdir()] == [unified.name]


def test_unified_image_by_update_initramfs_and_kernel_install(
    root: Path, unified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """update-initramfs knows no unified images by itself."""
    _install_kernel_install(root, monkeypatch, "uki")
    (root / "bin/dracut").unlink()
    update = 'printf updated >"$FOLDER/boot/initrd.img-6.12.0-1"'
    _script(root / "bin/update-initramfs", f"#!/bin/sh\n{update}\n")
    renew(root)
    assert unified.read_bytes() == (root / "made").read_bytes()
    assert (root / "added-of").read_text() == "kernel updated"


UEFI = 'uefi="yes"  # a unified image\n'


def test_unified_image_by_dracut(root: Path, unified: Path) -> None:
    """A setting in a file of that name in /etc counts more than one in /usr."""
    _dracut_conf(root, UEFI)
    renew(root)
    assert unified.read_bytes() == (root / "made").read_bytes()
    assert [file.name for file in unified.parent.iterdir()] == [unified.name]


def _dracut_conf(root: Path, text: str) -> None:
    for folder, content in (("usr/lib/dracut/dracut.conf.d", "uefi=no\n"), ("etc", "uefi=no\n"),
                            ("etc/dracut.conf.d", text)):  # fmt: skip
        (root / folder).mkdir(parents=True)
        name = "dracut.conf" if folder == "etc" else "50-uefi.conf"
        (root / folder / name).write_text(content, encoding="ascii")


@pytest.mark.parametrize(
    "made",
    [
        b"a plain initial RAM disk",
        program((".linux", b"kernel"), (".osrel", b"ID=x"), (".cmdline", b"quiet")),
        program((".linux", b"kernel"), (".initrd", b"x"), (".cmdline", b"quiet")),
    ],
    ids=["plain", "without initrd", "without os-release"],
)
def test_image_of_another_kind(root: Path, unified: Path, made: bytes) -> None:
    """It would not boot, or not be in the menu: the old one stays, and nothing else is left."""
    _dracut_conf(root, UEFI)
    (root / "made").write_bytes(made)
    before = unified.read_bytes()
    with pytest.raises(MachineError, match="another kind of image") as caught:
        renew(root)
    assert str(unified) in str(caught.value)
    assert unified.read_bytes() == before
    assert [file.name for file in unified.parent.iterdir()] == [unified.name]


def test_initial_ram_disk_where_dracut_makes_unified_images(root: Path) -> None:
    """GRUB cannot start a unified image in the place of an initial RAM disk."""
    _dracut_conf(root, UEFI)
    (root / "made").write_bytes(image())
    renew(root)
    assert _images(root) == {f"initrd.img-{version}": f"new {version}" for version in VERSIONS}


def _signed(data: bytes) -> bytes:
    """An image with a certificate: its directory in the header names one."""
    directory = 0x80 + 24 + 144
    return data[:directory] + (b"\1" * 8) + data[directory + 8 :]


def test_signature_that_would_be_lost(root: Path, unified: Path) -> None:
    """The firmware may refuse an image without: it is not made, or not put into its place."""
    unified.write_bytes(_signed(image(release=NEWEST)))
    before = unified.read_bytes()
    _dracut_conf(root, UEFI)
    with pytest.raises(MachineError, match="unknown which program makes it"):
        plan(root)
    file = root / "etc/dracut.conf.d/50-uefi.conf"
    file.write_text(f"{UEFI}uefi_secureboot_cert=/etc/cert.pem\n", encoding="ascii")
    with pytest.raises(MachineError, match="its signature is missing"):
        renew(root)
    assert unified.read_bytes() == before
    (root / "made").write_bytes(_signed((root / "made").read_bytes()))
    renew(root)
    assert unified.read_bytes() == (root / "made").read_bytes()


@pytest.mark.parametrize("layout", ["bls", "none", "uki"])
def test_unified_image_of_an_unknown_maker(
    root: Path, unified: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Nothing is made and nothing is changed, and the message says how to mend that."""
    if layout != "none":
        _install_kernel_install(root, monkeypatch, layout)
    if layout == "uki":
        (root / f"boot/vmlinuz-{NEWEST}").unlink()
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    for act in (plan, renew):
        with pytest.raises(MachineError, match="unknown which program makes it") as caught:
            act(root)
        assert str(unified) in str(caught.value)
        assert "layout=uki in /etc/kernel/install.conf" in str(caught.value.hint)
    assert {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} == before


def test_older_unified_image(root: Path, unified: Path) -> None:
    """One that is not booted next is no initial RAM disk, either; without modules it stays."""
    older = unified.with_name("debian-5.10.efi")
    older.write_bytes(image(release="5.10"))
    _dracut_conf(root, UEFI)
    renew(root)
    assert unified_images.is_program(older)
    (root / "lib/modules/5.10").mkdir()
    renew(root)
    assert older.read_bytes() == (root / "made").read_bytes()


def test_no_program_that_makes_images(root: Path) -> None:
    """The message names both."""
    (root / "bin/dracut").unlink()
    with pytest.raises(MachineError, match="neither update-initramfs nor dracut"):
        plan(root)
