# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the timeouts of a server with the times of this machine's last boot.

A server gives a client its extended timeout with the secret, and disables it unless a check
succeeds before the end.  So the time from the password until the system runs counts; the time
before it, in which a boot may have waited for a person, does not.  Before the password the usual
timeout runs.

The times are those of systemd, org.freedesktop.systemd1(5), and of the journal, in which the
programs of the initial RAM disk report the password.
"""

from __future__ import annotations

import functools
import json
import math
import time
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.check.findings import Finding, Link, Verdict
from mandos.check.view_findings import client_name, name_in_command, seconds
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mandos.check.view_findings import View

_PROPERTIES = ("Firmware", "Loader", "InitRD", "Userspace", "Finish")
#: The reports of mandos-handover and password-agent that a prompt got the password.
_REPORTS = (
    r"^(mandos-handover: )?gave the password to the prompt for |^(password-agent: )?answered: "
)
#: The journal's times: a message's own, then that of its arrival.
_TIMES = ("_SOURCE_MONOTONIC_TIMESTAMP", "__MONOTONIC_TIMESTAMP")
_LIMIT = 5.0
_MICRO = 1e-6
#: Part of a timeout that a boot may take without a warning.
_SHARE = 0.8
_MINUTE = 60


class LastBoot(NamedTuple):
    """Times of the last boot, in seconds.

    ``away`` from switching on to the initial RAM disk, as far as firmware and boot loader tell;
    ``coming`` from the password, or from the end of the initial RAM disk if ``exact`` is False,
    until the system was up.
    """

    away: float
    coming: float
    exact: bool


def judged(title: str, view: View, kernel: str, boot: LastBoot | None) -> Iterator[Finding]:
    """Findings about the timeouts in a server's view; ``title`` names the server."""
    name = name_in_command(view)
    where = f"{title}: client {client_name(view)}"
    extended, interval = seconds(view, "extended_timeout"), seconds(view, "interval")
    if boot is None:
        text = f"{where}: the extended timeout is {extended:.0f} s; the time of the last boot is"
        yield Finding(Link.SERVER, Verdict.OK, f"{text} unknown", kernel)
        return
    took = f"{'' if boot.exact else 'at least '}{boot.coming:.0f} s"
    last = f"the last boot took {took} from the password until the system was up"
    verdict = _compared(extended, boot.coming, interval)
    if verdict is Verdict.OK:
        text = f"{where}: the extended timeout of {extended:.0f} s is enough: {last}"
        yield Finding(Link.SERVER, verdict, text, kernel)
    else:
        yield Finding(
            Link.SERVER, verdict,
            f"{where}: the extended timeout of {extended:.0f} s is too short: {last}", kernel,
            "the server disables this machine before it has seen it running, and the boot after the"
            " next one gets no password",
            f"run mandos-ctl --extended-timeout {_enough(boot.coming, interval)}"
            f" {name} on the server",
        )  # fmt: skip
    usual = seconds(view, "timeout")
    verdict = _compared(usual, boot.away, interval)
    if verdict is not Verdict.OK:
        yield Finding(
            Link.SERVER, verdict,
            f"{where}: the timeout of {usual:.0f} s is too short: this machine needs"
            f" {boot.away:.0f} s from switching on to the initial RAM disk", kernel,
            "the server disables this machine before it asks for the password",
            f"run mandos-ctl --timeout {_enough(boot.away, interval)}"
            f" {name} on the server",
        )  # fmt: skip


def _compared(timeout: float, needed: float, interval: float) -> Verdict:
    """A check has to fall between the end of ``needed`` and that of the timeout."""
    if timeout < needed:
        return Verdict.BROKEN
    enough = needed <= _SHARE * timeout and needed + interval <= timeout
    return Verdict.OK if enough else Verdict.WARNING


def _enough(needed: float, interval: float) -> str:
    """Twice the time and an interval, in whole minutes, as mandos-ctl takes it."""
    return f"PT{math.ceil((2 * needed + interval) / _MINUTE)}M"


@functools.cache
def last_boot() -> LastBoot | None:
    """The times of the last boot; None without systemd, or while it is not complete."""
    names = ",".join(f"{name}TimestampMonotonic" for name in _PROPERTIES)
    try:
        shown = process.run(["systemctl", "show", f"--property={names}"], timeout=_LIMIT)
    except MachineError:
        return None
    properties = dict(line.split("=", 1) for line in _lines(shown.stdout) if "=" in line)
    return from_properties(properties, _reported_until)


def from_properties(
    properties: Mapping[str, str], reported: Callable[[float], float | None]
) -> LastBoot | None:
    """Times from systemd's properties; ``reported`` finds the password's, before another one."""
    times = {
        name: int(value) * _MICRO
        for name in _PROPERTIES
        if (value := properties.get(f"{name}TimestampMonotonic", "")).isdecimal()
    }
    finish, userspace = times.get("Finish", 0.0), times.get("Userspace", 0.0)
    if not finish:
        return None
    before_kernel = max(times.get("Firmware", 0.0), times.get("Loader", 0.0))
    password = reported(finish)
    away = before_kernel + times.get("InitRD", 0.0)
    begin = userspace if password is None else password
    return LastBoot(away, max(0.0, finish - begin), password is not None)


def _reported_until(finish: float) -> float | None:
    """The time of the first report of a password in this boot's journal, before ``finish``."""
    end = math.ceil(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + finish)
    command = [
        *("journalctl", "--boot", "--quiet", "--output=json", f"--until=@{end}"),
        *(f"--output-fields={','.join(_TIMES)}", f"--grep={_REPORTS}", "--case-sensitive=yes"),
        "_UID=0",  # no other user's words
    ]
    try:
        shown = process.run(command, timeout=_LIMIT)
    except MachineError:
        return None
    return first_report(_lines(shown.stdout), finish)


def first_report(lines: Iterable[str], finish: float) -> float | None:
    """The earliest time in lines of ``journalctl --output=json``, if it is before ``finish``."""
    found: list[float] = []
    for line in lines:
        try:
            record = json.loads(line)
            found.append(next(int(record[name]) for name in _TIMES if name in record) * _MICRO)
        except (ValueError, TypeError, StopIteration):
            continue
    return min((moment for moment in found if moment <= finish), default=None)


def _lines(output: bytes) -> list[str]:
    return output.decode(errors="replace").splitlines()
