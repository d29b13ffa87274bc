# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions on a client: the calls, and the message after each success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mandos.admin.formatting import all_units

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mandos.admin.client import Client
    from mandos.admin.proxy import ServerProxy

    Call = Callable[[ServerProxy, Client], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Act:
    """A call, and its success in words; ``answers`` is true for an answer to a request."""

    call: Call
    done: str
    answers: bool = False

    def words(self, client: Client) -> str:
        """The message after success; ``client`` is in its state before the action."""
        if self.answers and not client.approval_pending:
            held = all_units(client.approval_duration)
            return f"{client.short_name} does not ask now; {self.done} for {held} should it ask"
        return f"{client.short_name}: {self.done}"


def _approve(*, approved: bool) -> Call:
    return lambda server, client: server.call(client, "Approve", approved)


def _set(name: str, *, value: bool) -> Call:
    return lambda server, client: server.set(client, name, value)


ACTS: Final = {
    "approve": Act(_approve(approved=True), "approved", answers=True),
    "deny": Act(_approve(approved=False), "denied", answers=True),
    "enable": Act(_set("Enabled", value=True), "enabled"),
    "disable": Act(_set("Enabled", value=False), "disabled"),
    "start": Act(_set("CheckerRunning", value=True), "checker started"),
    "stop": Act(_set("CheckerRunning", value=False), "checker stopped"),
    "checked": Act(lambda server, client: server.call(client, "CheckedOK"), "counted as alive"),
    "remove": Act(lambda server, client: server.remove(client), "removed"),
}
