# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a server's view of this machine: whether it is enabled, and needs a person's approval.

A view is the answer to the request ``status``: ``docs/protocol.md`` lists its fields.  Servers send
them, so a field may be missing or have any type.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from mandos.check.findings import Finding, Link, Verdict
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    View = Mapping[str, Any]

#: Seconds that an approval must last so that a boot can use it: a slow machine asks after minutes.
REBOOT_TIME = 600.0
#: Longest wait of a check for the end of an approval delay, in seconds.
WAIT_LIMIT = 120.0
_NAME_LIMIT = 255
_CENTURY = 100 * 366 * 86400


def seconds(view: View, field: str) -> float:
    """A time of the view, at most a century; 0 when it has none."""
    value = view.get(field)
    return float(min(value, _CENTURY)) if isinstance(value, int | float) and value > 0 else 0.0


def client_name(view: View) -> str:
    """The client's name, fit for a terminal."""
    name = str(view.get("name", ""))
    return "".join(letter for letter in name if letter.isprintable())[:_NAME_LIMIT]


def name_in_command(view: View) -> str:
    """The client's name as one word of a shell: a server may send any text."""
    return shlex.quote(client_name(view))


def wait_for_approval(view: View) -> float:
    """Seconds that the server waits for a person before it answers a request; 0 if it does not."""
    return 0.0 if isinstance(view.get("verdict"), bool) else seconds(view, "approval_delay")


def judged(title: str, view: View, kernel: str) -> Finding:
    """The finding about a view.  ``title`` names the server, ``kernel`` the version of the kernel.

    A server whose finding is broken or not sure need not be asked for the password.
    """
    name = name_in_command(view)
    where = f"{title}: client {client_name(view)}"
    if not view.get("enabled"):
        return _broken(
            f"{where} is disabled", kernel, "the next boot gets no password from this server",
            f"run mandos-ctl --why {name} on the server; if the machine may have its password,"
            f" mandos-ctl --enable {name}",
        )  # fmt: skip
    if view.get("overdue"):
        return _broken(
            f"{where} is overdue: no check has succeeded in time", kernel,
            "the next boot gets no password before a check succeeds",
            f"run mandos-ctl --why {name} on the server",
        )  # fmt: skip
    return _of_approval(where, name, view, kernel) or Finding(
        Link.SERVER, Verdict.OK, f"{where} is enabled{_details(view)}", kernel
    )


def _of_approval(where: str, name: str, view: View, kernel: str) -> Finding | None:
    """Whether a person has to act, or has acted; None if all goes by itself."""
    verdict, delay = view.get("verdict"), seconds(view, "approval_delay")
    lasts = seconds(view, "verdict_seconds")
    if verdict is False:
        return Finding(
            Link.SERVER, Verdict.NOT_SURE,
            f"{where}: a person has denied its requests for the next {lasts:.0f} s", kernel,
            "until then this server gives no password",
            f"run mandos-check again later, or mandos-ctl --approve {name} on the server",
        )  # fmt: skip
    if not view.get("approved_by_default", True):
        return _of_needed_approval(where, name, view, kernel)
    if verdict is None and delay >= grammar.APPROVAL_TIME:
        return _broken(
            f"{where} waits {delay:.0f} s for a person before it is approved", kernel,
            f"the client at boot waits {grammar.APPROVAL_TIME:.0f} s at most",
            f"give {name} a shorter approval_delay on the server",
        )  # fmt: skip
    if verdict is None and delay > WAIT_LIMIT:
        return Finding(
            Link.SERVER, Verdict.NOT_SURE,
            f"{where} waits {delay:.0f} s for a person before it is approved: the check waits"
            f" {WAIT_LIMIT:.0f} s at most", kernel,
            "the next boot waits that long; it is unknown whether the password is the right one",
            f"run mandos-ctl --approve {name} on the server, and mandos-check again",
        )  # fmt: skip
    return None


def _of_needed_approval(where: str, name: str, view: View, kernel: str) -> Finding:
    verdict, delay = view.get("verdict"), seconds(view, "approval_delay")
    lasts = seconds(view, "verdict_seconds")
    forever = f"or run mandos-ctl --approve-by-default {name} on the server"
    if verdict is True and lasts >= REBOOT_TIME:
        return Finding(
            Link.SERVER, Verdict.WARNING,
            f"{where} needs an approval; one was given, and lasts {lasts:.0f} s", kernel,
            "a boot after that waits until a person approves it", f"reboot before, {forever}",
        )  # fmt: skip
    if verdict is True:
        return _broken(
            f"{where} needs an approval; the one that was given lasts {lasts:.0f} s", kernel,
            "that is over when the next boot asks, and it waits until a person approves it",
            f"give {name} an approval_duration of {REBOOT_TIME:.0f} s or more, {forever}",
        )  # fmt: skip
    if not delay:
        return _broken(
            f"{where} is refused without an approval that was given before", kernel,
            "the next boot gets no password from this server",
            f"give {name} an approval_delay, in which a person can approve, {forever}",
        )  # fmt: skip
    return _broken(
        f"{where} needs an approval for each request", kernel,
        f"the next boot waits until a person approves it, {delay:.0f} s for each request",
        f"be there with mandos-ctl --approve {name}, {forever}",
    )  # fmt: skip


def _details(view: View) -> str:
    left, wait = seconds(view, "seconds_left"), wait_for_approval(view)
    shown = f", with {left:.0f} s left" if left else ""
    return shown + (f"; each request waits {wait:.0f} s for an objection" if wait else "")


def _broken(text: str, kernel: str, meaning: str, cure: str) -> Finding:
    return Finding(Link.SERVER, Verdict.BROKEN, text, kernel, meaning, cure)
