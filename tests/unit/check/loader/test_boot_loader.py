# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several boot loaders starts next, by EFI variables in the format of efivarfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.efi_files import (
    image,
    program,
    set_numbers,
    set_option,
    set_text,
    set_variable,
)
from mandos.check.findings import Verdict
from mandos.check.loader import boot_loader, boot_partitions
from mandos.check.loader.boot_entry import UnknownBootError
from mandos.check.loader.boot_loader import Loader
from mandos.check.loader.boot_partitions import BootPartitions, Partition
from mandos.check.loader.efi_variables import FOLDER, UnreadableVariableError, Variables
from mandos.check.loader.kernels import boots
from mandos.errors import MandosError

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.loader.boot_loader import NextLoader

SYSTEMD_BOOT = program((".text", b"x"), (".sdmagic", b"#### LoaderInfo: systemd-boot 257 ####"))
GRUB = program((".text", b"x"), ("mods", b"modules"))
SHIM = program((".text", b"x"), (".sbat", b"shim"))
OURS, OTHERS = "00000000-1111-4222-8333-444444444444", "99999999-1111-4222-8333-444444444444"
#: Numbers of load options, and their programs.
SD, SHIMMED, UNIFIED, FALLBACK, CARD, GONE = 1, 2, 3, 4, 5, 6
PATHS = {
    SD: r"\EFI\systemd\systemd-bootx64.efi",
    SHIMMED: r"\EFI\debian\shimx64.efi",
    UNIFIED: r"\EFI\Linux\debian.efi",
    FALLBACK: r"\EFI\BOOT\BOOTX64.EFI",
    CARD: "",
    GONE: r"\EFI\other\gone.efi",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with GRUB, systemd-boot and a unified image, as after a change of the loader."""
    files = {
        "efi/EFI/systemd/systemd-bootx64.efi": SYSTEMD_BOOT,
        "efi/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT,
        "efi/EFI/debian/shimx64.efi": SHIM,
        "efi/EFI/debian/grubx64.efi": GRUB,
        "efi/EFI/Linux/debian.efi": image(),
        "efi/loader/entries/debian.conf": b"linux /k\nversion 6.1\nsort-key a\n",
        "efi/k": b"",
        "boot/vmlinuz-5.10": b"",
        "boot/grub/grub.cfg": b"timeout=1\nmenuentry 'x' {\nlinux /boot/vmlinuz-5.10 quiet\n}\n",
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for number, name in PATHS.items():
        set_option(tmp_path, number, name)
    return tmp_path


def _next(root: Path, identity: str = "") -> NextLoader | None:
    partitions = boot_partitions.find(root)
    if partitions is not None:
        partitions = partitions._replace(identity=identity)
    return boot_loader.next_loader(root, Variables(root / FOLDER), partitions)


@pytest.mark.parametrize(
    ("order", "kind", "kernel"),
    [
        ([SD, SHIMMED], Loader.SYSTEMD_BOOT, "6.1"),
        ([SHIMMED, SD], Loader.GRUB, "5.10"),
        ([UNIFIED, SD], Loader.UNIFIED_IMAGE, "6.12.1-amd64"),
        ([FALLBACK, SHIMMED], Loader.SYSTEMD_BOOT, "6.1"),
        ([GONE, SHIMMED], Loader.GRUB, "5.10"),
        ([99, SHIMMED], Loader.GRUB, "5.10"),
    ],
)
def test_first_of_the_boot_order_starts(
    root: Path, order: list[int], kind: Loader, kernel: str
) -> None:
    """It is known by its program, whatever its name; such as do not exist are passed over."""
    set_numbers(root, "BootOrder", *order)
    found = _next(root)
    assert found is not None
    assert found.kind is kind
    checked = boots(root)
    assert checked.next is not None
    assert checked.next.name == kernel
    assert checked.findings[0].verdict is Verdict.OK


def test_shim_starts_the_program_beside_it(root: Path) -> None:
    """Under the name of GRUB systemd-boot may stand, also beside the fallback's name."""
    (root / "efi/EFI/debian/grubx64.efi").write_bytes(SYSTEMD_BOOT)
    set_numbers(root, "BootOrder", SHIMMED)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT
    (root / "efi/EFI/BOOT/BOOTX64.EFI").write_bytes(SHIM)
    (root / "efi/EFI/BOOT/grubx64.efi").write_bytes(GRUB)
    set_numbers(root, "BootOrder", FALLBACK)
    assert getattr(_next(root), "kind", None) is Loader.GRUB


def test_boot_next_beats_the_order(root: Path) -> None:
    """It counts for the next boot, the one that is checked."""
    set_numbers(root, "BootOrder", SHIMMED, SD)
    set_numbers(root, "BootNext", SD)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_options_that_are_switched_off(root: Path) -> None:
    """The firmware passes over them."""
    set_option(root, SHIMMED, PATHS[SHIMMED], active=False)
    set_numbers(root, "BootOrder", SHIMMED, SD)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_network_card_before_the_disk(root: Path) -> None:
    """It may boot anything, unless the running system came from behind it in the order."""
    set_numbers(root, "BootOrder", CARD, SD)
    with pytest.raises(UnknownBootError, match="tries 'option 5' first"):
        _next(root)
    set_numbers(root, "BootCurrent", SD)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_whole_disk_that_started_the_system(root: Path) -> None:
    """The firmware has no entry for a program: it starts the one for removable disks."""
    set_numbers(root, "BootOrder", CARD, SHIMMED)
    set_numbers(root, "BootCurrent", CARD)
    (root / "efi/EFI/BOOT/fbx64.efi").write_bytes(SHIM)  # stands beside shim
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT
    (root / "efi/EFI/BOOT/BOOTX64.EFI").write_bytes(GRUB)
    assert getattr(_next(root), "kind", None) is Loader.GRUB
    (root / "efi/EFI/BOOT/BOOTX64.EFI").unlink()
    set_text(root, "LoaderInfo", "systemd-boot 257")
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_programs_of_the_firmware(root: Path) -> None:
    """Its set-up stands in the order, too, and starts only when a person chooses it."""
    set_option(root, CARD, "", category=1)
    set_numbers(root, "BootOrder", CARD, SD)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_program_on_another_disk(root: Path) -> None:
    """It may be another system, unless the running one was started by it."""
    set_option(root, SD, PATHS[SD], partition=OTHERS)
    set_numbers(root, "BootOrder", SD)
    with pytest.raises(
        UnknownBootError, match="tries 'option 1' first, which is the network or an"
    ):
        _next(root, OURS)
    set_numbers(root, "BootCurrent", SD)
    set_text(root, "LoaderInfo", "systemd-boot 257.9-1~deb13u1")
    assert getattr(_next(root, OURS), "kind", None) is Loader.SYSTEMD_BOOT
    set_option(root, SD, PATHS[SD], partition=OURS)
    set_numbers(root, "BootCurrent", SHIMMED)
    assert getattr(_next(root, OURS), "kind", None) is Loader.SYSTEMD_BOOT


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"LoaderInfo": "systemd-boot 252.39"}, Loader.SYSTEMD_BOOT),
        ({"LoaderInfo": "systemd-boot 257", "StubInfo": "systemd-stub 257"}, Loader.SYSTEMD_BOOT),
        ({"LoaderInfo": "GRUB 2.12"}, Loader.GRUB),
        (
            {"StubInfo": "systemd-stub 257", "LoaderImageIdentifier": r"\EFI\Linux\debian.efi"},
            Loader.UNIFIED_IMAGE,
        ),
    ],
)
def test_loader_of_the_running_system(root: Path, variables: dict[str, str], kind: Loader) -> None:
    """Where the firmware has no order, the loader that named itself starts again."""
    for name, value in variables.items():
        set_text(root, name, value)
    found = _next(root)
    assert found is not None
    assert found.kind is kind
    if kind is not Loader.UNIFIED_IMAGE:
        assert found.program is None
    else:
        assert found.program == root / "efi/EFI/Linux/debian.efi"


def test_unknown_loader_of_the_running_system(root: Path) -> None:
    """It is none of ours, though it started a unified image."""
    set_text(root, "LoaderInfo", "rEFInd 0.14.0")
    set_text(root, "StubInfo", "systemd-stub 257")
    set_text(root, "LoaderImageIdentifier", r"\EFI\refind\refind_x64.efi")
    with pytest.raises(UnknownBootError, match="both installed"):
        _next(root)


def test_program_that_is_gone_since_the_last_boot(root: Path) -> None:
    """The firmware comes to the one behind it."""
    set_numbers(root, "BootOrder", GONE, SHIMMED)
    set_numbers(root, "BootCurrent", GONE)
    set_text(root, "LoaderInfo", "systemd-boot 257")
    assert getattr(_next(root), "kind", None) is Loader.GRUB


def test_running_loader_says_nothing_of_another_one(root: Path) -> None:
    """An unknown program that the firmware starts next is not the one that is running."""
    (root / "efi/EFI/debian/grubx64.efi").unlink()
    set_text(root, "LoaderInfo", "systemd-boot 257")
    set_numbers(root, "BootOrder", SHIMMED, SD)
    set_numbers(root, "BootCurrent", SD)
    with pytest.raises(UnknownBootError, match="both installed"):
        _next(root)
    set_numbers(root, "BootCurrent", SHIMMED)
    assert getattr(_next(root), "kind", None) is Loader.SYSTEMD_BOOT


def test_both_loaders_and_no_variable(root: Path) -> None:
    """The check is not sure, says why, and goes on with the newest kernel."""
    for path in (root / FOLDER).iterdir():
        path.unlink()
    found = boots(root)
    assert [finding.verdict for finding in found.findings] == [Verdict.NOT_SURE]
    assert "GRUB and systemd-boot are both installed" in found.findings[0].text
    assert found.findings[0].cure == "remove the one that is not used"
    assert found.next is not None


def test_machine_without_efi(root: Path) -> None:
    """It cannot start systemd-boot."""
    for path in (root / FOLDER).iterdir():
        path.unlink()
    (root / FOLDER).rmdir()
    (root / FOLDER).parent.rmdir()
    assert getattr(_next(root), "kind", None) is Loader.GRUB
    (root / "boot/grub/grub.cfg").unlink()
    with pytest.raises(UnknownBootError, match="started without EFI"):
        _next(root)


def test_partition_that_is_not_mounted(root: Path) -> None:
    """GRUB reads its configuration from elsewhere; of others nothing can be read."""
    (root / "efi").rename(root / "away")
    set_numbers(root, "BootOrder", SHIMMED)
    assert getattr(_next(root), "kind", None) is Loader.GRUB
    for number in (SD, UNIFIED):
        set_numbers(root, "BootOrder", number)
        with pytest.raises(UnknownBootError, match="no EFI system partition is mounted"):
            _next(root)


def test_damaged_image_that_the_firmware_starts(root: Path) -> None:
    """The machine does not come back; it is known that this file is the next."""
    path = root / "efi/EFI/Linux/debian.efi"
    set_text(root, "StubInfo", "systemd-stub 257")
    set_text(root, "LoaderImageIdentifier", r"\EFI\Linux\debian.efi")
    path.write_bytes(path.read_bytes()[:-0x200])
    found = boots(root)
    assert found.next is None
    assert [finding.verdict for finding in found.findings] == [Verdict.BROKEN]
    assert "goes beyond the end of the file" in found.findings[0].text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BootOrder", b"\x01"),
        ("Boot0001", b"\x01\0\0\0"),
        ("Boot0001", b"\x01\0\0\0\x04\0a\0b\0"),
        ("Boot0001", b"\x01\0\0\0\x08\0a\0\0\0\x04\x04\x00\x00a\0\0\0"),
        ("Boot0001", b"\x01\0\0\0\x08\0a\0\0\0\x04\x04\x99\x00a\0\0\0"),
        ("Boot0001", b"\x01\0\0\0\x20\0a\0\0\0\x04\x04\x06\x00a\0"),
        ("Boot0001", b"\x01\0\0\0\x06\0a\0\0\0\x04\x04\x06\x00\x00\xd8"),
    ],
)
def test_damaged_variables(root: Path, name: str, value: bytes) -> None:
    """Nothing is guessed, and nothing crashes."""
    set_numbers(root, "BootOrder", SD)
    set_variable(root, name, value)
    with pytest.raises(UnreadableVariableError, match=f"{name} is damaged"):
        _next(root)
    assert [finding.verdict for finding in boots(root).findings] == [Verdict.NOT_SURE]


def test_every_cut_of_an_option(root: Path) -> None:
    """A variable that is cut off anywhere never crashes the reader."""
    set_option(root, SD, PATHS[SD], partition=OURS)
    path = next((root / FOLDER).glob("Boot0001-*"))
    set_numbers(root, "BootOrder", SD)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            _next(root, OURS)
        except MandosError:
            continue


def test_partition_by_folders(tmp_path: Path) -> None:
    """In a change root no partition has a type; an empty mount point is none."""
    (tmp_path / "boot/efi").mkdir(parents=True)
    (tmp_path / "efi").mkdir()
    assert boot_partitions.find(tmp_path) is None
    (tmp_path / "boot/efi/EFI").mkdir()
    assert boot_partitions.find(tmp_path) == BootPartitions(tmp_path / "boot/efi")
    (tmp_path / "boot/loader/entries").mkdir(parents=True)
    assert boot_partitions.find(tmp_path) == BootPartitions(
        tmp_path / "boot/efi", tmp_path / "boot"
    )


ESP_TYPE, EXTENDED_TYPE = (
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "bc13c2ff-59e6-4262-a352-b275fd6f7172",
)  # fmt: skip
LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@pytest.mark.parametrize(
    ("types", "esp", "extended"),
    [
        ({"efi": ESP_TYPE, "boot": EXTENDED_TYPE}, "efi", "boot"),
        ({"boot": ESP_TYPE}, "boot", None),
        ({"boot": LINUX_TYPE, "boot/efi": ESP_TYPE}, "boot/efi", None),
        ({"boot": "", "boot/efi": ESP_TYPE}, "boot/efi", None),
        ({"boot": "", "boot/efi": ""}, "boot/efi", "boot"),
        ({"boot": "0xea", "boot/efi": "0xef"}, "boot/efi", "boot"),
        ({"efi": "", "boot": LINUX_TYPE}, "efi", None),
        ({"boot": LINUX_TYPE}, None, None),
    ],
)
def test_partitions_by_type(
    tmp_path: Path, types: dict[str, str], esp: str | None, extended: str | None
) -> None:
    """A folder on the root file system is none beside a real partition."""
    if "boot/efi" in types:
        (tmp_path / "boot/efi/EFI").mkdir(parents=True)
    found = boot_partitions.choose(
        {tmp_path / name: Partition(kind, OURS) for name, kind in types.items()}
    )
    if esp is None:
        assert found is None
    else:
        assert found == BootPartitions(
            tmp_path / esp, None if extended is None else tmp_path / extended, OURS
        )
