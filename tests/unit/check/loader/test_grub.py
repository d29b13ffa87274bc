# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's next entry, from files as grub-mkconfig and grub-reboot write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mandos.check.loader.boot_entry import UnknownBootError
from mandos.check.loader.grub import next_boot

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """\
# written by grub-mkconfig
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
if [ x$feature_timeout_style = xy ] ; then
  set timeout_style=menu
  set timeout=5
else
  set timeout=5
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
\tload_video
\tif [ x$grub_platform = xxen ]; then insmod xzio; fi
\tif [ x$feature_platform_search_hint = xy ]; then
\t  search --no-floppy --fs-uuid --set=root  1
\tfi
\tlinux\t/boot/vmlinuz-6.1.0-2 root=/dev/mapper/root ro quiet mandos=off
\tinitrd\t/boot/microcode.img /boot/initrd.img-6.1.0-2
}
submenu 'Advanced options for Debian' $menuentry_id_option 'gnulinux-advanced-1' {
\tmenuentry 'Debian, with Linux 6.1.0-2' $menuentry_id_option 'gnulinux-6.1.0-2-advanced-1' {
\t\tlinux\t/boot/vmlinuz-6.1.0-2 root=/dev/mapper/root ro
\t\tinitrd\t/boot/initrd.img-6.1.0-2
\t}
\tmenuentry 'Debian, with Linux 6.1.0-1' $menuentry_id_option 'gnulinux-6.1.0-1-advanced-1' {
\t\tlinux\t/boot/vmlinuz-6.1.0-1 root=/dev/mapper/root ro \\
\t\t  ip=::::::dhcp
\t\tinitrd\t/boot/initrd.img-6.1.0-1
\t}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
\tfwsetup
}
"""
NEWEST, OLDER = "/boot/vmlinuz-6.1.0-2", "/boot/vmlinuz-6.1.0-1"


def _files(root: Path, default: str = "0", environment: str | None = None) -> Path:
    folder = root / "boot" / "grub"
    folder.mkdir(parents=True)
    text = CONFIGURATION.replace("DEFAULT", default)
    (folder / "grub.cfg").write_text(text, encoding="utf-8")
    if environment is not None:
        block = f"# GRUB Environment Block\n{environment}\n".ljust(1024, "#")
        (folder / "grubenv").write_text(block, encoding="utf-8")
    return root


def test_entry_has_kernel_images_and_words(tmp_path: Path) -> None:
    """Everything that the kernel gets is there, in order."""
    entry = next_boot(_files(tmp_path))
    assert entry is not None
    assert entry.title == "GRUB: Debian GNU/Linux"
    assert entry.kernel == NEWEST
    assert entry.images == ("/boot/microcode.img", "/boot/initrd.img-6.1.0-2")
    assert entry.words == ("root=/dev/mapper/root", "ro", "quiet", "mandos=off")


@pytest.mark.parametrize(
    ("default", "environment", "kernel"),
    [
        ("0", None, NEWEST),
        ("1>1", None, OLDER),
        ("1", None, NEWEST),  # a submenu boots its own first entry
        ("gnulinux-advanced-1>gnulinux-6.1.0-1-advanced-1", None, OLDER),
        ("Advanced options for Debian>Debian, with Linux 6.1.0-1", None, OLDER),
        ("7", None, NEWEST),  # GRUB falls back to the first entry
        ("no-such-entry", None, NEWEST),
        ("${saved_entry}", "saved_entry=1>1", OLDER),
        ("${saved_entry}", "", NEWEST),
        ("${saved_entry}", None, NEWEST),
        ("0", "next_entry=1>1", OLDER),  # grub-reboot
        ("0", "next_entry=", NEWEST),
        ("${saved_entry}", "saved_entry=0\nnext_entry=1>1", OLDER),
    ],
)
def test_entry_is_chosen_as_grub_does(
    tmp_path: Path, default: str, environment: str | None, kernel: str
) -> None:
    """By position, title or identity, for one boot or for all."""
    entry = next_boot(_files(tmp_path, default, environment))
    assert entry is not None
    assert entry.kernel == kernel


def test_continued_lines_are_one(tmp_path: Path) -> None:
    """A backslash at the end of a line joins it with the next one."""
    entry = next_boot(_files(tmp_path, "1>1"))
    assert entry is not None
    assert entry.words[-1] == "ip=::::::dhcp"


def test_machine_without_grub(tmp_path: Path) -> None:
    """No configuration is no mistake: there are other boot loaders."""
    assert next_boot(tmp_path) is None


@pytest.mark.parametrize(
    ("default", "reason"), [("2", "starts no Linux kernel"), ("$other", "the variable")]
)
def test_unknown_entries_are_refused(tmp_path: Path, default: str, reason: str) -> None:
    """Where the files do not say what is booted, nothing is guessed."""
    with pytest.raises(UnknownBootError, match=reason):
        next_boot(_files(tmp_path, default))


def test_empty_menu(tmp_path: Path) -> None:
    """A configuration without entries boots nothing."""
    (_files(tmp_path) / "boot/grub/grub.cfg").write_text("set timeout=5\n", encoding="utf-8")
    with pytest.raises(UnknownBootError, match="no entries"):
        next_boot(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "obstacle"),
    [
        ("set timeout=5", "set timeout=-1", "waits for a key"),
        ("set timeout=5", "set timeout='-1'", "waits for a key"),
        ("set timeout=5", "set other=5", "waits for a key"),
        ("set timeout=5", "timeout=0", ""),
        ("set timeout=5", "set timeout=$other", ""),
        ("set timeout=5", 'set timeout=5\nset superusers="root"', "user's name and password"),
        ("set timeout=5", "set timeout=5\nset superusers=''", ""),
        ("", "", ""),
    ],
)
def test_entry_that_waits_for_a_person(tmp_path: Path, old: str, new: str, obstacle: str) -> None:
    """No timeout, or an entry that a password protects: the machine does not come back."""
    file = _files(tmp_path) / "boot/grub/grub.cfg"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    entry = next_boot(tmp_path)
    assert entry is not None
    assert (obstacle in entry.obstacle) if obstacle else not entry.obstacle
    assert bool(entry.cure) == bool(obstacle)


def test_one_branch_with_a_timeout_is_enough(tmp_path: Path) -> None:
    """Which branch GRUB takes depends on its version and variables."""
    file = _files(tmp_path) / "boot/grub/grub.cfg"
    text = file.read_text(encoding="utf-8").replace("set timeout=5", "set timeout=-1", 1)
    file.write_text(text, encoding="utf-8")
    entry = next_boot(tmp_path)
    assert entry is not None
    assert not entry.obstacle


def test_entry_that_everybody_may_start(tmp_path: Path) -> None:
    """A password protects the editor and the other entries alone."""
    file = _files(tmp_path) / "boot/grub/grub.cfg"
    text = file.read_text(encoding="utf-8").replace(
        "--class debian", "--unrestricted --class debian"
    )
    file.write_text(f"set superusers=root\n{text}", encoding="utf-8")
    entry = next_boot(tmp_path)
    assert entry is not None
    assert not entry.obstacle
