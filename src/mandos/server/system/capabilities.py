# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux capabilities: the C functions that we call, each declared once.

Manual pages capabilities(7), capset(2), prctl(2); numbers from linux/capability.h, linux/prctl.h
and linux/securebits.h.  A failure is an OSError, as everywhere in the standard library.  All
changes apply to the calling thread alone, and to the threads and programs that it starts later.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from ctypes import POINTER, byref, c_int, c_uint32, c_ulong
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: CAP_NET_RAW: raw sockets, which ping programs need.
NET_RAW: Final = 13

_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits for each set
_WORD_BITS = 32

_SET_KEEPCAPS = 8
_CAPBSET_READ = 23
_CAPBSET_DROP = 24
_SET_SECUREBITS = 28
_SET_NO_NEW_PRIVS = 38
_GET_NO_NEW_PRIVS = 39
_CAP_AMBIENT = 47
_CAP_AMBIENT_RAISE = 2
_CAP_AMBIENT_CLEAR_ALL = 4

#: User ID 0 gives programs no capabilities, a change of user takes none, and this cannot be undone:
#: NOROOT, NO_SETUID_FIXUP and the lock of each, and KEEP_CAPS locked at 0.
_SECURE_BITS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct; process 0 is the calling thread."""

    _fields_ = (("version", c_uint32), ("pid", c_int))


class _Word(ctypes.Structure):
    """struct __user_cap_data_struct."""

    _fields_ = (("effective", c_uint32), ("permitted", c_uint32), ("inheritable", c_uint32))


_Words = _Word * 2
_library = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, function: Any, _arguments: object) -> int:  # noqa: ANN401
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


def _call(name: str, *arguments: Any) -> Callable[..., int]:  # noqa: ANN401
    function = getattr(_library, name)
    function.restype, function.argtypes = c_int, arguments
    function.errcheck = _checked
    return function  # type: ignore[no-any-return]


_capget = _call("capget", POINTER(_Header), POINTER(_Word))
_capset = _call("capset", POINTER(_Header), POINTER(_Word))
_prctl = _call("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def lock(*kept: int) -> None:
    """Make a change of user keep the capabilities, and forbid all but ``kept`` to later programs.

    To forbid them needs CAP_SETPCAP.  Without it later programs may gain them as before, until
    ``forbid_new_privileges``.
    """
    with contextlib.suppress(PermissionError):
        _prctl(_SET_KEEPCAPS, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        for capability in _bounding_set():
            if capability not in kept:
                _prctl(_CAPBSET_DROP, capability, 0, 0, 0)
        _prctl(_SET_SECUREBITS, _SECURE_BITS, 0, 0, 0)


def keep_only(*kept: int) -> frozenset[int]:
    """Drop all capabilities but ``kept``; returns those of ``kept`` that we have.

    Every program that we start gets them too, even if its file has no capabilities (ambient set).
    """
    left = frozenset(kept) & _permitted()
    _prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    words = _Words()
    for capability in left:
        word, bit = words[capability // _WORD_BITS], 1 << capability % _WORD_BITS
        word.effective |= bit
        word.permitted |= bit
        word.inheritable |= bit
    _capset(byref(_Header(_VERSION_3, 0)), words)
    for capability in left:
        _prctl(_CAP_AMBIENT, _CAP_AMBIENT_RAISE, capability, 0, 0)
    return left


def forbid_new_privileges() -> None:
    """Keep all later programs from gaining rights that we lack, by set-user-ID bit or file."""
    _prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def new_privileges_forbidden() -> bool:
    """Return whether later programs already cannot gain new rights."""
    return bool(_prctl(_GET_NO_NEW_PRIVS, 0, 0, 0, 0))


def _permitted() -> frozenset[int]:
    words = _Words()
    _capget(byref(_Header(_VERSION_3, 0)), words)
    return frozenset(
        number * _WORD_BITS + bit
        for number, word in enumerate(words)
        for bit in range(_WORD_BITS)
        if word.permitted & 1 << bit
    )


def _bounding_set() -> list[int]:
    """Return the capabilities that programs may gain; the kernel's EINVAL marks the last one."""
    found = []
    for capability in range(2 * _WORD_BITS):
        try:
            if _prctl(_CAPBSET_READ, capability, 0, 0, 0):
                found.append(capability)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break
    return found
