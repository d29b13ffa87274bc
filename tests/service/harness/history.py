# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of servers that share their state: everything that was done to them, and their rules.

A history has each call with its begin, its end and its answer, by CLOCK_MONOTONIC in seconds.
``broken_rules`` reads it and finds what must not have happened.  Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How a call has ended: answered; answered with an error, so that it may take effect later; never
#: answered; and without a server that could have heard it.
ACKNOWLEDGED, FAILED, LOST, VOID = "acknowledged", "failed", "lost", "void"
GOT, NOTHING = "got", "nothing"
ENABLE, DISABLE, APPROVE, DENY = "enable", "disable", "approve", "deny"
#: The kinds of the records that acts leave in the audit trail.
RECORDS = {ENABLE: "enabled", DISABLE: "disabled", APPROVE: "approved", DENY: "denied"}
SENT, TIMEOUT = "secret-sent", "timeout"
#: Seconds in which an answer may still leave that was decided before an act was acknowledged.
IN_FLIGHT = 1.0
#: Seconds by which the ends of an approval's or a denial's time are not exact: the servers' common
#: time is corrected once a second, and servers that stand still are late with it.
BLUR = 2.0


class Ask(NamedTuple):
    """A request for a secret; ``outcome`` is ``got``, ``nothing``, or wrong bytes' description."""

    client: str
    server: str
    begin: float
    end: float
    outcome: str


class Act(NamedTuple):
    """An administrator's act."""

    kind: str
    client: str
    server: str
    begin: float
    end: float
    outcome: str


class Sight(NamedTuple):
    """A look into the database that found a client disabled."""

    client: str
    begin: float
    end: float


class Record(NamedTuple):
    """A record of the audit trail."""

    kind: str
    client: str
    server: str
    detail: str
    times: int = 1


class Answer(NamedTuple):
    """A server's answer about a client at the end."""

    enabled: bool
    last_secret: str


@dataclass
class History:
    """A history; the last fields are from its end, when all was healed.

    ``approved_only`` are the clients that get nothing without an administrator's approval, which
    counts for ``approval_duration`` seconds.  ``died`` has the first time at which a client stopped
    answering its checks.  ``alone`` is how many seconds a server decides without the database.
    ``forgets``: one server with SQLite.  A kill ends its approvals and denials, and the record of a
    secret may be lost when the same address had one within a second.  ``kills`` are their times.
    """

    approval_duration: float
    approved_only: frozenset[str] = frozenset()
    alone: float = 0.0
    forgets: bool = False
    kills: list[float] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    last_asks: list[Ask] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    died: dict[str, float] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    enabled: dict[str, bool] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)


def broken_rules(history: History) -> list[str]:
    """Return a line for each thing that must not have happened."""
    return [
        *_wrong_secrets(history),
        *_given_to_disabled(history),
        *_given_to_denied(history),
        *_given_unapproved(history),
        *_unrecorded_acts(history),
        *_undone_acts(history),
        *_disabled_alive(history),
        *_unrecorded_secrets(history),
        *_disagreements(history),
        *_refused_healthy(history),
    ]


def _wrong_secrets(history: History) -> Iterator[str]:
    """Nobody gets anything but the whole secret of its own."""
    for ask in history.asks:
        if ask.outcome not in (GOT, NOTHING):
            yield f"wrong secret: {ask}"


def _given_to_disabled(history: History) -> Iterator[str]:
    """Once a disabling is acknowledged, or was seen in the database, no server gives the secret."""
    enables = [act for act in history.acts if act.kind == ENABLE and act.outcome != VOID]
    for act in history.acts:
        if act.kind == DISABLE and act.outcome == ACKNOWLEDGED:
            later = [enable for enable in enables if _may_follow(enable, act)]
            yield from _given_after(history, act, later)
    for sight in history.sights:
        later = [enable for enable in enables if _may_come_after(enable, sight)]
        yield from _given_after(history, sight, later)


def _given_after(history: History, stop: Act | Sight, enables: Iterable[Act]) -> Iterator[str]:
    begins = (enable.begin for enable in enables if enable.client == stop.client)
    until = min(begins, default=math.inf)
    for ask in _got(history, stop.client):
        late = IN_FLIGHT if ask.begin <= stop.end else 0.0
        if ask.end > stop.end + late + history.alone and ask.end < until:
            yield f"given after the client was disabled: {ask}, {stop}"


def _may_follow(later: Act, earlier: Act) -> bool:
    """Whether an act may take effect after another one: it had not ended before that began."""
    return later.client == earlier.client and _end(later) >= earlier.begin


def _may_come_after(enable: Act, sight: Sight) -> bool:
    """Whether an enabling may take effect after a look: one that failed is done when it can be."""
    return enable.outcome != ACKNOWLEDGED or enable.end >= sight.begin


def _end(act: Act) -> float:
    """The end of an act; a call without an answer may have been heard at any time."""
    return math.inf if act.outcome == LOST else act.end


def _given_to_denied(history: History) -> Iterator[str]:
    """A denial refuses for its time, unless a later act has another effect."""
    for deny in history.acts:
        if deny.kind != DENY or deny.outcome != ACKNOWLEDGED:
            continue
        ends = [act.begin for act in history.acts if _may_lift(act, deny)]
        if history.forgets:
            ends += [kill for kill in history.kills if kill > deny.begin]
        until = min((deny.begin + history.approval_duration - BLUR, *ends))
        for ask in _got(history, deny.client):
            late = IN_FLIGHT if ask.begin <= deny.end else 0.0
            if deny.end + late + history.alone < ask.end < until:
                yield f"given after a denial: {ask}, {deny}"


def _may_lift(act: Act, deny: Act) -> bool:
    """Whether an act may have ended a denial; a denial of a disabled client has no effect."""
    if act.client != deny.client or act.outcome == VOID or act.kind == DENY:
        return False
    pending = act.kind != APPROVE and act.outcome == FAILED
    return pending or _may_follow(act, deny)


def _given_unapproved(history: History) -> Iterator[str]:
    """A client that needs approval gets nothing without one."""
    approvals = [act for act in history.acts if act.kind == APPROVE and act.outcome != VOID]
    for ask in history.asks:
        if ask.outcome != GOT or ask.client not in history.approved_only:
            continue
        if not any(_approves(act, ask, history) for act in approvals):
            yield f"given without an approval: {ask}"


def _approves(act: Act, ask: Ask, history: History) -> bool:
    until = act.end + history.approval_duration + BLUR
    if act.outcome != ACKNOWLEDGED:
        until = math.inf
    return act.client == ask.client and act.begin < ask.end and ask.begin < until


def _unrecorded_acts(history: History) -> Iterator[str]:
    """Each act that was acknowledged and certainly had an effect is in the audit trail."""
    found: Counter[tuple[str, str, str]] = Counter()
    for record in history.records:
        if record.detail != TIMEOUT:
            found[record.kind, record.client, record.server] += record.times
    wanted: Counter[tuple[str, str, str]] = Counter()
    for act in history.acts:
        if act.outcome == ACKNOWLEDGED and _has_effect(act, history):
            wanted[RECORDS[act.kind], act.client, act.server] += 1
    for (kind, client, server), times in wanted.items():
        if found[kind, client, server] < times:
            yield (
                f"not in the audit trail: {client} was {kind} {times} times over {server},"
                f" recorded {found[kind, client, server]} times"
            )


def _has_effect(act: Act, history: History) -> bool:
    """Whether an act must have changed the client, by the acts before it that are certain."""
    client = act.client
    others = [one for one in history.acts if one.client == client and one != act]
    switches = [one for one in others if one.kind in (ENABLE, DISABLE) and one.outcome != VOID]
    if any(one.begin < act.end and _overlaps(one, act.begin) for one in switches):
        return False
    if history.died.get(client, math.inf) < act.end and act.kind != ENABLE:
        return False
    before = max((one for one in switches if one.end < act.begin), key=_began, default=None)
    if before is None:
        return act.kind != ENABLE
    certain = before.outcome == ACKNOWLEDGED and not any(
        _overlaps(one, before.begin) for one in switches if one != before and one.begin < before.end
    )
    return certain and before.kind == (DISABLE if act.kind == ENABLE else ENABLE)


def _overlaps(one: Act, begin: float) -> bool:
    """Whether an act that began before another one's end may take effect after its ``begin``."""
    return one.outcome in (FAILED, LOST) or one.end >= begin


def _began(act: Act) -> float:
    return act.begin


def _undone_acts(history: History) -> Iterator[str]:
    """The last act stands in the end."""
    for client, enabled in history.enabled.items():
        switches = [
            act
            for act in history.acts
            if act.client == client and act.kind in (ENABLE, DISABLE) and act.outcome != VOID
        ]
        if not switches:
            if not enabled and client not in history.died:
                yield f"not enabled in the end, though nobody disabled it: {client}"
            continue
        last = max(switches, key=_began)
        if last.outcome != ACKNOWLEDGED:
            continue
        if any(one != last and _may_stand(one, last) for one in switches):
            continue
        if last.kind == DISABLE and enabled:
            yield f"enabled in the end, in spite of {last}"
        if last.kind == ENABLE and not enabled and client not in history.died:
            yield f"disabled in the end, in spite of {last}"


def _may_stand(one: Act, last: Act) -> bool:
    """Whether an act may stand instead of the last one: a disabling that failed wins later on."""
    return _end(one) >= last.begin or (one.kind == DISABLE and one.outcome == FAILED)


def _disabled_alive(history: History) -> Iterator[str]:
    """No client that always answered its checks was disabled because of its timeout."""
    for record in history.records:
        expired = record.kind == RECORDS[DISABLE] and record.detail == TIMEOUT
        if expired and record.client not in history.died:
            yield f"disabled by its timeout though it was alive: {record}"


def _unrecorded_secrets(history: History) -> Iterator[str]:
    """Each secret that was given has a record."""
    found: Counter[tuple[str, str]] = Counter()
    for record in history.records:
        if record.kind == SENT:
            found[record.client, record.server] += record.times
    wanted: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], float] = {}
    for ask in sorted(history.asks, key=lambda ask: ask.end):
        if ask.outcome == GOT:
            key = ask.client, ask.server
            again = ask.end - last.get(key, -math.inf) < 1.0 + IN_FLIGHT
            wanted[key] += not (history.forgets and again)
            last[key] = ask.end
    for (client, server), times in wanted.items():
        if found[client, server] < times:
            yield (
                f"secrets without a record: {client} got {times} from {server},"
                f" recorded {found[client, server]}"
            )


def _disagreements(history: History) -> Iterator[str]:
    """In the end all servers answer the same about every client, and so does the database."""
    for client, answers in history.answers.items():
        if len(set(answers.values())) > 1:
            yield f"the servers do not agree about {client}: {answers}"
        for server, answer in answers.items():
            if answer.enabled != history.enabled[client]:
                yield f"{server} and the database do not agree about {client}: {answer}"


def _refused_healthy(history: History) -> Iterator[str]:
    """In the end every server serves each client that has a right to its secret."""
    last = {(ask.client, ask.server): ask for ask in history.last_asks}
    for ask in last.values():
        if ask.outcome == NOTHING and has_right(history, ask):
            yield f"refused in the end: {ask}"


def has_right(history: History, ask: Ask) -> bool:
    """Whether a request in the end must be successful: its client is enabled, and not denied."""
    if ask.client in history.died or ask.client in history.approved_only:
        return False
    over = ask.begin - history.approval_duration - BLUR
    denied = any(
        act.client == ask.client and (act.end > over or act.outcome != ACKNOWLEDGED)
        for act in history.acts
        if act.kind == DENY
    )
    return history.enabled[ask.client] and not denied


def _got(history: History, client: str) -> Iterator[Ask]:
    return (ask for ask in history.asks if ask.client == client and ask.outcome == GOT)
