# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a boot has come, from consoles as kernels and images print them."""

from __future__ import annotations

import pytest

from mandos.check.trial.console import Console

AUDIT = (
    b"[    8.954311] audit: type=1338 audit(1796033237.211:6): module=crypt op=ctr ppid=295 pid=296"
    b" auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none)"
    b' ses=4294967295 comm="cryptsetup" exe="/usr/sbin/cryptsetup" subj=unconfined dev=253:%d'
    b" error_msg='success' res=%d\r\n"
)


def _console(*pieces: bytes) -> Console:
    console = Console()
    for piece in pieces:
        console.add(piece)
    return console


@pytest.mark.parametrize(
    "text",
    [
        AUDIT % (0, 1),
        b"cryptsetup: cryptroot: set up successfully\r\n",
        b"[  OK  ] Finished \x1b[0;1;39mCryptography Setup for cryptroot\x1b[0m.\r\n",
        b"[  OK  ] Finished systemd-cryptsetup@cr\xe2\x80\xa6tography Setup for cryptroot.\r\n",
    ],
    ids=["kernel", "initramfs-tools", "systemd 252", "systemd 257"],
)
def test_unlocked(text: bytes) -> None:
    """Each of the signs is one volume, also when it comes in two pieces and when it is repeated."""
    assert _console(text[:-9], text[-9:]).progress().unlocked == 1
    assert _console(text, text).progress().unlocked == 1


def test_two_volumes() -> None:
    """They are told apart by their devices."""
    assert _console(AUDIT % (0, 1), AUDIT % (1, 1)).progress().unlocked == 2


def test_signs_of_one_volume_do_not_add_up() -> None:
    """The kernel's word and the image's are about the same volume."""
    text = AUDIT % (0, 1) + b"cryptsetup: cryptroot: set up successfully\r\n"
    assert _console(text).progress().unlocked == 1


def test_failed_set_up() -> None:
    """The kernel reports failures in the same words, but for the result."""
    assert _console(AUDIT % (0, 0)).progress().unlocked == 0


def test_start_of_the_unlocking_is_no_sign() -> None:
    """Systemd names the unit before it has done its work."""
    text = b"         Starting systemd-cryptsetup@cr...tography Setup for cryptroot...\r\n"
    assert _console(text).progress().unlocked == 0


@pytest.mark.parametrize(
    "text",
    [
        b"Please unlock disk cryptroot: ",
        b"Please enter passphrase for disk QEMU (cryptroot)::",
        b"Enter passphrase for /dev/vda: ",
    ],
)
def test_prompt(text: bytes) -> None:
    """A person could type the password now."""
    assert _console(text).progress().asked
    assert not _console(b"Begin: Mounting root file system ...").progress().asked


@pytest.mark.parametrize(
    "text",
    [
        b"No key available with this passphrase.\r\n",
        b"mandos-handover: the password from the server does not unlock cryptroot; asking again\n",
        b"Please enter passphrase for disk cryptroot: (press TAB for no echo) \r\n" * 2,
    ],
)
def test_refused_password(text: bytes) -> None:
    """The words of cryptsetup, those of ours, and systemd's second question for one disk."""
    assert _console(text).progress().refused
    assert (
        not _console(
            b"Please enter passphrase for disk cryptroot: (press TAB for no echo)\r\n",
            b"Please enter passphrase for disk cryptdata: (press TAB for no echo)\r\n",
        )
        .progress()
        .refused
    )
    assert not _console(b"Please unlock disk cryptroot: ").progress().refused


def test_end_of_the_tries() -> None:
    """Systemd's unit has failed; a unit of something else has not been the unlocking."""
    text = b"[FAILED] Failed to start \x1b[0;1;39mCryptography Setup for cryptroot\x1b[0m.\r\n"
    assert _console(text).progress().failed
    assert not _console(b"[FAILED] Failed to start Network Setup.\r\n").progress().failed


def test_last_lines() -> None:
    """Empty lines, colours and audit messages are skipped."""
    assert _console(AUDIT % (0, 1), b"one\r\n", AUDIT % (1, 1)).last_lines(2) == ["one"]
    assert _console(b"one\r\n\r\n\x1b[1mtwo\x1b[0m\r\nthree: ").last_lines(2) == ["two", "three:"]
