# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unified kernel images, whole and damaged.

tests/service/test_systemd_boot.py reads images that ukify and objcopy made.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from harness.efi_files import image, program, set_text, set_variable
from mandos.check import initrd
from mandos.check.archive import ArchiveError
from mandos.check.findings import Finding, Link, Verdict
from mandos.check.loader import pe_sections, unified_images
from mandos.check.loader.kernels import boots
from mandos.check.loader.pe_sections import DamagedProgramError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Where the program of ``efi_files`` has its headers and its first section.
HEADER, TABLE = 0x80, 0x80 + 24 + 0xF0
#: An archive with the file "greeting", by hand: cpio(5).
FILE = b"070701" + b"".join(
    b"%08X" % number for number in (1, 0o100644, 0, 0, 1, 0, 6, 0, 0, 0, 0, 9, 0)
) + b"greeting\0\0hello\n\0\0"  # fmt: skip
END = b"070701" + b"".join(
    b"%08X" % number for number in (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0)
) + b"TRAILER!!!\0\0\0\0"  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of images of a partition."""
    folder = tmp_path / "efi" / "EFI" / "Linux"
    folder.mkdir(parents=True)
    return folder


def test_image_has_everything_in_one_file(tmp_path: Path, folder: Path) -> None:
    """Kernel, initial RAM disk, words and release come from its sections."""
    (folder / "debian.efi").write_bytes(image(words='root=/dev/x  mandos=off a="b c"\n\0'))
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.name == "6.12.1-amd64"
    assert found.next.image == found.next.kernel == folder / "debian.efi"
    assert found.next.words == ("root=/dev/x", "mandos=off", "a=b c")
    assert found.findings[0].text == (
        "systemd-boot: Debian GNU/Linux 13, with the kernel 6.12.1-amd64"
    )


def test_cures_are_those_of_images(tmp_path: Path, folder: Path) -> None:
    """A new initial RAM disk alone does not help; neither does GRUB's configuration."""
    (folder / "debian.efi").write_bytes(image())
    found = boots(tmp_path)
    assert found.next is not None
    made_anew = "run kernel-install add 6.12.1-amd64 /boot/vmlinuz-6.12.1-amd64"
    cure = "run update-initramfs -u -k 6.12.1-amd64"
    finding = Finding(Link.KEYS, Verdict.BROKEN, "other keys", cure=cure)
    chmod = finding._replace(cure="run chown root: /efi/x && chmod 600 /efi/x")
    assert "umask=0077" in found.next.fitted(chmod).cure
    assert found.next.fitted(finding).cure == f"{cure}, then {made_anew}"
    cure = "correct ip= in /etc/default/grub, then run update-grub"
    fitted = found.next.fitted(finding._replace(cure=cure))
    assert fitted.cure == f"correct ip= in /etc/kernel/cmdline, then {made_anew}"


def test_order_among_entries(tmp_path: Path, folder: Path) -> None:
    """Images stand in one menu with entries of type #1, by the fields of os-release(5)."""
    (folder / "a-9.efi").write_bytes(image(release="9"))
    (folder / "a-10.efi").write_bytes(image(release="10"))
    (folder / "a-11+0-3.efi").write_bytes(image(release="11"))
    found = boots(tmp_path)
    assert found.next is not None
    assert [found.next.name, *(boot.name for boot in found.others)] == ["10", "9", "11"]
    entries = tmp_path / "efi" / "loader" / "entries"
    entries.mkdir(parents=True)
    (entries / "x.conf").write_text("linux /k\nversion 14\nsort-key debian\n", encoding="utf-8")
    (tmp_path / "efi" / "k").touch()
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.name == "14"  # newer than the image's VERSION_ID


def test_initial_ram_disk_is_unpacked(tmp_path: Path) -> None:
    """It is unpacked after those before it, as any other."""
    first = tmp_path / "first"
    first.write_bytes(FILE.replace(b"hello", b"howdy") + END)
    unified = tmp_path / "debian.efi"
    unified.write_bytes(program((".osrel", b""), (".linux", b"kernel"), (".initrd", FILE + END)))
    tree = tmp_path / "tree"
    tree.mkdir()
    initrd.unpack((first, unified), tree)
    assert (tree / "greeting").read_bytes() == b"hello\n"


def test_image_that_cannot_be_unpacked(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "debian.efi"
    path.write_bytes(image())
    with pytest.raises(ArchiveError, match=r"debian\.efi cannot be unpacked: unknown compression"):
        initrd.unpack([path], tmp_path)


def test_image_without_initial_ram_disk(tmp_path: Path, folder: Path) -> None:
    """The kernel starts, and opens nothing; the chain reports it."""
    (folder / "debian.efi").write_bytes(program((".osrel", b"ID=x"), (".linux", b"kernel")))
    found = boots(tmp_path)
    assert found.next is not None
    assert (found.next.image, found.next.words) == (None, ())


def test_first_profile_is_the_default(tmp_path: Path, folder: Path) -> None:
    """Its sections replace those before all profiles; other profiles do not count."""
    profiles = (
        (".profile", b"ID=main"), (".cmdline", b"first"), (".profile", b"ID=other"),
        (".cmdline", b"second"), (".initrd", b"other"),
    )  # fmt: skip
    (folder / "debian.efi").write_bytes(image(*profiles))
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.words == ("first",)
    unified = unified_images.read(folder / "debian.efi")
    assert unified is not None
    assert unified.initrd() == b"no archive"
    settings = tmp_path / "efi" / "loader" / "loader.conf"
    settings.parent.mkdir()
    (folder / "zzz.efi").write_bytes(image())
    settings.write_text("default debian.efi@main\n", encoding="ascii")
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.words == ("first",)
    settings.write_text("default debian.efi@other\n", encoding="ascii")
    assert [finding.verdict for finding in boots(tmp_path).findings] == [Verdict.NOT_SURE]


def test_addons_append_words(tmp_path: Path, folder: Path) -> None:
    """Those for all images come first, then those for one, by name; not those of other kernels."""
    (folder / "debian.efi").write_bytes(image(words="root=/dev/x"))
    general, own = tmp_path / "efi" / "loader" / "addons", folder / "debian.efi.extra.d"
    for path, name, words, release in [
        (own, "b", "mandos=off", ""), (own, "a", "two", "6.12.1-amd64"), (own, "c", "no", "6.1"),
        (general, "z", "one", ""),
    ]:  # fmt: skip
        path.mkdir(parents=True, exist_ok=True)
        sections = [
            (".cmdline", words.encode()),
            *([(".uname", release.encode())] if release else []),
        ]
        (path / f"{name}.addon.efi").write_bytes(program(*sections))
    (own / "key.cred").write_bytes(b"no program")
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.words == ("root=/dev/x", "one", "two", "mandos=off")


@pytest.mark.parametrize("key", ["efi", "uki", "linux"])
@pytest.mark.parametrize(
    ("options", "secure", "words"),
    [
        ("", b"\0", ("embedded",)),
        ("options given", b"\0", ("given",)),
        ("options given", b"\1", ("embedded",)),
    ],
)
def test_entry_that_starts_an_image(
    tmp_path: Path, key: str, options: str, secure: bytes, words: tuple[str, ...]
) -> None:
    """Its options replace the image's words, unless secure boot is on."""
    entries = tmp_path / "efi" / "loader" / "entries"
    entries.mkdir(parents=True)
    unified = tmp_path / "efi" / "x.efi"
    unified.write_bytes(image(words="embedded"))
    (entries / "x.conf").write_text(f"{key} /x.efi\n{options}\n", encoding="utf-8")
    set_variable(tmp_path, "SecureBoot", secure)
    set_text(tmp_path, "LoaderInfo", "systemd-boot 257")
    found = boots(tmp_path)
    assert found.next is not None
    assert (found.next.image, found.next.words) == (unified, words)


def _no_signature(data: bytearray) -> None:
    data[HEADER : HEADER + 2] = b"XX"


def _header_outside(data: bytearray) -> None:
    data[0x3C:0x40] = struct.pack("<I", 0xFFFFFFF0)


def _too_many_sections(data: bytearray) -> None:
    data[HEADER + 6 : HEADER + 8] = struct.pack("<H", 97)


def _table_outside(data: bytearray) -> None:
    data[HEADER + 20 : HEADER + 22] = b"\xff\xff"


def _section_outside(data: bytearray) -> None:
    data[TABLE + 20 : TABLE + 24] = struct.pack("<I", 0xFFFFFF00)


def _cut_off(data: bytearray) -> None:
    del data[-0x200:]


DAMAGES: dict[Callable[[bytearray], None], str] = {
    _no_signature: "no PE header",
    _header_outside: "goes beyond the end",
    _too_many_sections: "97 sections",
    _table_outside: "the section table goes beyond the end",
    _section_outside: "the section .text goes beyond the end",
    _cut_off: "the section .initrd goes beyond the end",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_image_is_hidden(
    tmp_path: Path, folder: Path, damage: Callable[[bytearray], None]
) -> None:
    """systemd-boot shows none; a warning has the reason, and with no other entry it is broken."""
    data = bytearray(image())
    damage(data)
    (folder / "new.efi").write_bytes(data)
    found = boots(tmp_path)
    assert found.next is None
    assert [finding.verdict for finding in found.findings] == [Verdict.BROKEN]
    assert DAMAGES[damage] in found.findings[0].text
    (folder / "old.efi").write_bytes(image(release="6.1"))
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.name == "6.1"
    assert [finding.verdict for finding in found.findings] == [Verdict.OK, Verdict.WARNING]
    assert DAMAGES[damage] in found.findings[1].text


def test_image_that_names_no_system_is_hidden(tmp_path: Path, folder: Path) -> None:
    """As systemd-boot does, which needs a title."""
    (folder / "a.efi").write_bytes(program((".linux", b"kernel"), (".cmdline", b"x")))
    (folder / "b.efi").write_bytes(program((".text", b"another program")))
    (folder / "c.efi").write_bytes(image())
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.image == folder / "c.efi"
    assert [finding.verdict for finding in found.findings] == [Verdict.OK, *2 * [Verdict.WARNING]]


def test_long_command_line_has_a_limit(tmp_path: Path, folder: Path) -> None:
    """A section of any size may be called .cmdline."""
    (folder / "a.efi").write_bytes(image(words="x" * 100_000))
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.words == ("x" * 65536,)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    """A file that a full disk has cut off anywhere is damaged, and never a crash."""
    whole = image()
    path = tmp_path / "cut.efi"
    for size in [*range(0, 0x400, 7), *range(0x400, len(whole) - 0x200, 101)]:
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedProgramError):
            pe_sections.sections(path)


def test_damaged_image_of_an_entry(tmp_path: Path) -> None:
    """An entry of type #1 shows it, and its boot fails."""
    entries = tmp_path / "efi" / "loader" / "entries"
    entries.mkdir(parents=True)
    (tmp_path / "efi" / "x.efi").write_bytes(image()[:-0x200])
    (entries / "x.conf").write_text("efi /x.efi\n", encoding="utf-8")
    found = boots(tmp_path)
    assert found.next is None
    assert [finding.verdict for finding in found.findings] == [Verdict.BROKEN]
    assert found.findings[0].cure
    (tmp_path / "efi" / "k").touch()
    (entries / "y.conf").write_text("linux /k\nversion 7\nsort-key a\n", encoding="utf-8")
    found = boots(tmp_path)
    assert found.next is not None
    assert (found.next.name, found.others) == ("7", [])
    assert [finding.verdict for finding in found.findings] == [Verdict.OK, Verdict.WARNING]


@pytest.mark.parametrize("release", ["..", "../../etc", "a/b", "x" * 500, "."])
def test_release_is_no_path(tmp_path: Path, folder: Path, release: str) -> None:
    """The name of a folder is made of it."""
    (folder / "debian.efi").write_bytes(image(release=release))
    found = boots(tmp_path)
    assert found.next is not None
    name = found.next.folder()
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert len(name) < 255


def test_kernel_and_images_of_a_virtual_machine(tmp_path: Path) -> None:
    """Files are taken as they are, sections are taken out; each archive begins at four bytes."""
    unified, microcode, kernel = (tmp_path / name for name in ("debian.efi", "microcode", "linux"))
    unified.write_bytes(program((".linux", b"the kernel"), (".initrd", FILE + END)))
    microcode.write_bytes(b"odd")
    kernel.write_bytes(program((".text", b"MZ as well")))
    assert initrd.packed((microcode, unified)) == b"odd\0" + FILE + END
    assert initrd.packed((unified, microcode)) == FILE + END + b"odd"
    assert initrd.kernel(unified) == b"the kernel"
    assert initrd.kernel(kernel) == kernel.read_bytes()
