# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the Boot Loader Specification, from folders as kernel-install fills them.

tests/service/test_systemd_boot.py compares the choices with those of bootctl and systemd-boot.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from mandos.check.findings import Verdict
from mandos.check.loader.kernels import boots

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.loader.boot_entry import Boot, Boots

MACHINE = "4098b3f648d74c13b1f04ccfba7798e8"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class Partition:
    """An EFI system partition below a root folder, with a menu."""

    def __init__(self, root: Path, mount: str = "efi") -> None:
        self.root = root
        self.path = root / mount
        (self.path / "loader" / "entries").mkdir(parents=True)

    def entry(self, name: str, version: str, *lines: str, sort_key: str = "debian") -> None:
        """Write an entry with a kernel and an image of its own."""
        folder = self.path / MACHINE / version
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("linux", "initrd"):
            (folder / file).write_bytes(b"no real one")
        rows = [
            "# made by a test", "title\tDebian", f"version    {version}", f"machine-id {MACHINE}",
            *([f"sort-key {sort_key}"] if sort_key else []),
            f"linux /{MACHINE}/{version}/linux", f"initrd {MACHINE}/{version}/initrd",
            "options root=/dev/mapper/root ro", *lines,
        ]  # fmt: skip
        path = self.path / "loader" / "entries" / name
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def settings(self, text: str) -> None:
        """Write loader.conf."""
        (self.path / "loader" / "loader.conf").write_text(text, encoding="utf-8")

    def variable(self, name: str, value: str, vendor: str = LOADER) -> None:
        """Set an EFI variable as the kernel shows it: attributes, then UTF-16."""
        folder = self.root / "sys/firmware/efi/efivars"
        folder.mkdir(parents=True, exist_ok=True)
        data = b"\x07\0\0\0" + f"{value}\0".encode("utf-16-le")
        (folder / f"{name}-{vendor}").write_bytes(data)


@pytest.fixture
def esp(tmp_path: Path) -> Partition:
    """A partition with an old and a new kernel."""
    partition = Partition(tmp_path)
    partition.entry("debian-6.1.0-9.conf", "6.1.0-9")
    partition.entry("debian-6.1.0-25.conf", "6.1.0-25")
    return partition


def _next(esp: Partition) -> Boot:
    found = boots(esp.root)
    assert found.next is not None, found.findings
    return found.next


def _verdicts(found: Boots) -> list[Verdict]:
    return [finding.verdict for finding in found.findings]


def test_entry_has_kernel_images_and_words(esp: Partition) -> None:
    """Several lines of images and options count all, in order; quotes hide blanks."""
    esp.entry(
        "debian-7.conf", "7.0", "initrd /more", "options quiet  mandos=off", 'options a="b c"'
    )
    (esp.path / "more").touch()
    boot = _next(esp)
    folder = esp.path / MACHINE / "7.0"
    assert (boot.name, boot.kernel) == ("7.0", folder / "linux")
    assert (boot.earlier, boot.image) == ((folder / "initrd",), esp.path / "more")
    assert boot.words == ("root=/dev/mapper/root", "ro", "quiet", "mandos=off", "a=b c")


def test_newest_entry_is_next_and_others_are_there(esp: Partition) -> None:
    """The rest of the menu are the other kernels."""
    found = boots(esp.root)
    assert found.next is not None
    assert found.next.name == "6.1.0-25"
    assert [boot.name for boot in found.others] == ["6.1.0-9"]
    assert found.others[0].words == ("root=/dev/mapper/root", "ro")
    assert _verdicts(found) == [Verdict.OK]
    assert found.findings[0].text == "systemd-boot: Debian, with the kernel 6.1.0-25"


def test_entries_of_one_kernel_are_told_apart(esp: Partition) -> None:
    """Their findings name the entry, and their images have folders of their own."""
    esp.entry("a-rescue.conf", "6.1.0-25", "options single")
    found = boots(esp.root)
    assert found.next is not None
    twin = next(boot for boot in found.others if boot.name == "6.1.0-25")
    assert twin.folder() != found.next.folder()
    finding = found.findings[0]._replace(subject="6.1.0-25")
    assert twin.fitted(finding).subject == "6.1.0-25 (a-rescue.conf)"


@pytest.mark.parametrize("mount", ["efi", "boot", "boot/efi"])
def test_places_of_the_partition(tmp_path: Path, mount: str) -> None:
    """It is found wherever bootctl looks for it."""
    esp = Partition(tmp_path, mount)
    esp.entry("debian.conf", "6.1.0-9")
    assert _next(esp).name == "6.1.0-9"


def test_entries_of_both_partitions_are_one_menu(esp: Partition) -> None:
    """The extended partition on /boot adds to the menu; the settings are those of the ESP."""
    extended = Partition(esp.root, "boot")
    extended.entry("debian-6.1.0-30.conf", "6.1.0-30")
    extended.settings("default debian-6.1.0-9.conf")
    assert _next(esp).kernel == extended.path / MACHINE / "6.1.0-30" / "linux"
    esp.settings("default debian-6.1.0-9.conf")
    assert _next(esp).name == "6.1.0-9"


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ("", "6.1.0-25"),
        ("default debian-6.1.0-9.conf", "6.1.0-9"),
        ("# default debian-6.1.0-25.conf\n default\tDEBIAN-6.1.0-?.*  \n", "6.1.0-9"),
        ("default debian-*", "6.1.0-25"),
        ("default debian-6.1.0-25.conf\ndefault debian-6.1.0-9.conf", "6.1.0-9"),
        ("default", "6.1.0-25"),
        ("default @saved", "6.1.0-25"),
    ],
)
def test_settings_choose_the_entry(esp: Partition, settings: str, version: str) -> None:
    """By name or pattern, in any case; the last line counts."""
    esp.settings(settings)
    found = boots(esp.root)
    assert found.next is not None
    assert (found.next.name, _verdicts(found)) == (version, [Verdict.OK])


@pytest.mark.parametrize("default", ["nosuch.conf", "debian-6.1.0-9", "debian-6.1.0-9+1.conf"])
def test_default_that_no_entry_matches(esp: Partition, default: str) -> None:
    """The first entry is booted, and the mistake is a warning with a cure."""
    esp.settings(f"default {default}")
    found = boots(esp.root)
    assert found.next is not None
    assert (found.next.name, _verdicts(found)) == ("6.1.0-25", [Verdict.OK, Verdict.WARNING])
    assert default in found.findings[1].text
    assert "bootctl set-default debian-6.1.0-25.conf" in found.findings[1].cure


@pytest.mark.parametrize("default", ["auto-windows", "debian-[!9]*", "debian-[[:digit:]]*"])
def test_default_that_cannot_be_judged(esp: Partition, default: str) -> None:
    """An entry that systemd-boot makes by itself, or a pattern that it does not know: not sure."""
    esp.settings(f"default {default}")
    assert _verdicts(boots(esp.root)) == [Verdict.NOT_SURE]


def test_entry_without_tries_is_the_last_choice(esp: Partition) -> None:
    """Others come first; alone it is booted all the same, with a warning."""
    folder = esp.path / "loader" / "entries"
    (folder / "debian-6.1.0-25.conf").rename(folder / "debian-6.1.0-25+0-3.conf")
    assert _next(esp).name == "6.1.0-9"
    (folder / "debian-6.1.0-9.conf").rename(folder / "debian-6.1.0-9+2-1.conf")
    assert _next(esp).name == "6.1.0-9"
    (folder / "debian-6.1.0-9+2-1.conf").unlink()
    found = boots(esp.root)
    assert found.next is not None
    assert (found.next.name, _verdicts(found)) == ("6.1.0-25", [Verdict.OK, Verdict.WARNING])
    assert "rename the file to debian-6.1.0-25.conf" in found.findings[1].cure


def test_sort_keys_come_before_versions(esp: Partition) -> None:
    """Entries with a key come first, by key; then the newest version."""
    esp.entry("zzz.conf", "9.0", sort_key="")
    assert _next(esp).name == "6.1.0-25"
    esp.entry("arch.conf", "5.0", sort_key="arch")
    assert _next(esp).name == "5.0"


def test_suffix_counts_in_the_order(esp: Partition) -> None:
    """The shorter name comes first, as systemd-boot has it."""
    esp.entry("z-6.1-2.conf", "1", sort_key="a")
    esp.entry("z-6.1.conf", "1", sort_key="a")
    found = boots(esp.root)
    assert found.next is not None
    assert found.others[0].entry == "z-6.1-2.conf"


def test_menu_that_waits_for_a_key(esp: Partition) -> None:
    """No person is there to press one."""
    esp.settings("timeout menu-force")
    found = boots(esp.root)
    assert _verdicts(found) == [Verdict.OK, Verdict.BROKEN]
    assert found.findings[1].cure


def test_missing_image_is_broken(esp: Partition) -> None:
    """The loader stops; the finding names the file and the command that makes it anew."""
    (esp.path / MACHINE / "6.1.0-25" / "initrd").unlink()
    found = boots(esp.root)
    assert (found.next, _verdicts(found)) == (None, [Verdict.BROKEN])
    assert "6.1.0-25/initrd, which does not exist" in found.findings[0].text
    assert "kernel-install add 6.1.0-25 /boot/vmlinuz-6.1.0-25" in found.findings[0].cure


def test_entry_without_its_kernel_is_hidden(esp: Partition) -> None:
    """systemd-boot takes the next one, and the check warns of the hidden one."""
    (esp.path / MACHINE / "6.1.0-25" / "linux").unlink()
    found = boots(esp.root)
    assert found.next is not None
    assert (found.next.name, _verdicts(found)) == ("6.1.0-9", [Verdict.OK, Verdict.WARNING])
    assert "6.1.0-25/linux, which does not exist" in found.findings[1].text


def test_entries_for_others_are_no_entries(esp: Partition) -> None:
    """Another architecture, no program, another suffix, a hidden file: all are left out."""
    other = "aa64" if platform.machine() != "aarch64" else "x64"
    esp.entry("debian-8.conf", "8", f"architecture {other}")
    folder = esp.path / "loader" / "entries"
    (folder / "debian-9.conf").write_text("title nothing\n", encoding="utf-8")
    (folder / "debian-9.conf.dpkg-new").write_text("linux /x\nversion 9\n", encoding="utf-8")
    (folder / ".new.conf").write_text("linux /k\nsort-key a\n", encoding="utf-8")
    (esp.path / "k").touch()
    assert _next(esp).name == "6.1.0-25"


def test_empty_menu_is_broken(esp: Partition) -> None:
    """systemd-boot is there, and has nothing to start: the finding says why."""
    for kernel in esp.path.glob(f"{MACHINE}/*/linux"):
        kernel.unlink()
    found = boots(esp.root)
    assert (found.next, _verdicts(found)) == (None, [Verdict.BROKEN])
    assert "6.1.0-9/linux, which does not exist" in found.findings[0].text
    assert "kernel-install add" in found.findings[0].cure


@pytest.mark.parametrize(
    ("variables", "settings", "version"),
    [
        ({"LoaderEntryDefault": "debian-6.1.0-9.conf"}, "", "6.1.0-9"),
        ({"LoaderEntryDefault": "debian-6.1.0-9.conf"}, "default debian-6.1.0-25.conf", "6.1.0-9"),
        ({"LoaderEntryOneShot": "Debian-6.1.0-9.conf"}, "default debian-6.1.0-25.conf", "6.1.0-9"),
        (
            {"LoaderEntryOneShot": "debian-6.1.0-25.conf", "LoaderEntryDefault": "debian-6.1.0-9*"},
            "", "6.1.0-25",
        ),
        ({"LoaderEntryLastBooted": "debian-6.1.0-9.conf"}, "default @saved", "6.1.0-9"),
        (
            {"LoaderEntryLastBooted": "debian-6.1.0-9.conf", "LoaderEntryDefault": "@saved"},
            "default debian-6.1.0-25.conf", "6.1.0-9",
        ),
        ({"LoaderEntryLastBooted": "debian-6.1.0-9.conf"}, "", "6.1.0-25"),
        (
            {
                "LoaderEntryLastBooted": "debian-6.1.0-9.conf",
                "LoaderEntryDefault": "debian-6.1.0-25.conf",
            },
            "default @saved", "6.1.0-9",
        ),
        (
            {"LoaderEntryLastBooted": "debian-6.1.0-25.conf", "LoaderEntryOneShot": "*-9.conf"},
            "default @saved", "6.1.0-9",
        ),
    ],
)  # fmt: skip
def test_variables_beat_settings(
    esp: Partition, variables: dict[str, str], settings: str, version: str
) -> None:
    """The entry for one boot, the one of the last boot if it is saved, the default, loader.conf."""
    esp.settings(settings)
    esp.variable("LoaderInfo", "systemd-boot 257.9")
    for name, value in variables.items():
        esp.variable(name, value)
    found = boots(esp.root)
    assert found.next is not None
    assert (found.next.name, _verdicts(found)) == (version, [Verdict.OK])


@pytest.mark.parametrize(
    ("name", "broken"),
    [("LoaderConfigTimeout", True), ("LoaderConfigTimeoutOneShot", True), ("Other", False)],
)
def test_variable_makes_the_menu_wait(esp: Partition, name: str, broken: bool) -> None:  # noqa: FBT001
    """The variables beat loader.conf here, too."""
    esp.settings("timeout 3")
    esp.variable(name, "menu-force")
    assert (Verdict.BROKEN in _verdicts(boots(esp.root))) is broken


@pytest.mark.parametrize("data", [b"", b"\7\0\0\0\x41", b"\7\0\0\0\x00\xd8\0\0"])
def test_damaged_variable_is_not_sure(esp: Partition, data: bytes) -> None:
    """It may name any entry."""
    esp.variable("LoaderEntryOneShot", "")
    folder = esp.root / "sys/firmware/efi/efivars"
    (folder / f"LoaderEntryOneShot-{LOADER}").write_bytes(data)
    found = boots(esp.root)
    assert _verdicts(found) == [Verdict.NOT_SURE]
    assert "LoaderEntryOneShot is damaged" in found.findings[0].text
