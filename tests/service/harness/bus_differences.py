# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The permitted differences between the D-Bus interfaces of the two servers (docs/original.md).

Each entry takes its difference away from the records of both sides.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from harness.bus_acts import Heard, Moment, Recorded

ALIAS = "se.bsnet.fukt."
OURS = "org.mandos_python."
STANDARD = "org.freedesktop."
ERROR = "org.freedesktop.DBus.Error."

Rule = Callable[[str, Recorded, Recorded], tuple[Recorded, Recorded]]


class Difference(NamedTuple):
    """What may differ, as docs/original.md has it, and both sides without it."""

    what: str
    without: Rule


DIFFERENCES: list[Difference] = []


def difference(what: str) -> Callable[[Rule], Rule]:
    """Add to the list what a function takes away from both sides."""

    def add(without: Rule) -> Rule:
        DIFFERENCES.append(Difference(what, without))
        return without

    return add


def only(recorded: Recorded, keep: Callable[[Heard], bool]) -> Recorded:
    """The same with these signals alone."""
    return replace(recorded, signals=[one for one in recorded.signals if keep(one)])


def says(one: Heard, name: str, *values: object) -> bool:
    """Whether a signal tells of a change of this property."""
    if one.member == "PropertyChanged":
        return bool(one.body[0] == name and (not values or one.body[1][1] in values))
    if one.member == "PropertiesChanged":
        return name in one.body[1] and (not values or one.body[1][name][1] in values)
    return False


def bare(value: Any, prefix: str) -> Any:  # noqa: ANN401 - whatever was recorded
    """Without the interfaces whose names begin so."""
    match value:
        case dict():
            return {k: bare(v, prefix) for k, v in value.items() if not str(k).startswith(prefix)}
        case list():
            kept = (v for v in value if not (isinstance(v, str) and v.startswith(prefix)))
            return [bare(v, prefix) for v in kept]
        case str() if "<node" in value:
            return parsed(value, prefix)
        case Interfaces():
            return Interfaces(one for one in value if not str(one[0]).startswith(prefix))
    return value


class Interfaces(frozenset[tuple[str, ...]]):
    """What an introspection tells: of every member its interface, arguments and annotations."""


def parsed(text: str, prefix: str = "-") -> Interfaces:
    """What an introspection tells of interfaces, unless their names begin so."""
    told = {
        (interface.get("name", ""), member.tag, *members(member))
        for interface in ET.fromstring(text).iterfind("interface")  # noqa: S314 - our own peers
        for member in interface
    }
    return Interfaces(one for one in told if not one[0].startswith(prefix))


def members(member: ET.Element) -> Iterator[str]:
    """A member's name, access, arguments in their order, and annotations."""
    yield from (f"{key}={value}" for key, value in sorted(member.attrib.items()))
    arguments = [one for one in member if one.tag == "arg"]
    outward = "out" if member.tag == "method" else ""
    yield from (f"{one.get('direction', outward)} {one.get('type')}" for one in arguments)
    yield from sorted(f"{one.get('name')}={one.get('value')}" for one in member.iter("annotation"))


def without_interfaces(recorded: Recorded, prefix: str) -> Recorded:
    """The same without all that belongs to interfaces whose names begin so."""

    def concerns(one: Heard) -> bool:
        return one.interface.startswith(prefix) or str(one.body[:1]).startswith(f"['{prefix}")

    kept = [one for one in recorded.signals if not concerns(one)]
    signals = [replace(one, body=bare(one.body, prefix)) for one in kept]
    return Recorded(bare(recorded.answer, prefix), signals)


@difference("the interfaces of before 2013")
def _aliases(_act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    return without_interfaces(theirs, ALIAS), own


@difference("the interfaces of our own")
def _additions(_act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    return theirs, without_interfaces(own, OURS)


@difference("the standard interfaces are described in full")
def _described(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if not act.startswith("introspect"):
        return theirs, own
    return without_interfaces(theirs, STANDARD), without_interfaces(own, STANDARD)


@difference("the order of clients, and of interfaces in a list")
def _order(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    return in_order(act, theirs), in_order(act, own)


def in_order(act: str, recorded: Recorded) -> Recorded:
    """The same with sorted lists of clients, and with each client's signals together."""
    answer, signals = recorded.answer, recorded.signals
    if act == "get_all_clients":
        answer = [answer[0], [sorted(answer[1][0])]]
    for one in signals:
        if one.member == "InterfacesRemoved":
            one.body[1].sort()
    if act in ("start", "restart", "end"):
        signals = sorted(signals, key=lambda one: (one.member, str(one.body[:1]), one.path))
    return Recorded(answer, signals)


@difference("signals of the object manager when the server starts and ends")
def _start(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act not in ("start", "restart"):
        return theirs, own
    return only(theirs, lambda one: not one.member.startswith("Interfaces")), own


@difference("when a client expires that was not checked since it was enabled")
def _expires(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act in ("start", "restart"):
        return only(theirs, lambda one: not says(one, "Expires")), own
    if act.startswith(("get_", "before_", "after_", "timeout_", "all_of", "enable_after_")):
        return blurred(theirs), blurred(own)
    return theirs, own


def blurred(value: Any) -> Any:  # noqa: ANN401 - whatever was recorded
    """The same, of whose expiries only whether there is one is left."""
    match value:
        case Recorded():
            return Recorded(blurred(value.answer), [blurred(one) for one in value.signals])
        case Heard():
            return replace(value, body=blurred(value.body))
        case dict():
            return {k: ["s", ...] if dated(k, v) else blurred(v) for k, v in value.items()}
        case ["Expires", (_, Moment())]:
            return ["Expires", ...]
        case list() | tuple():
            return [blurred(one) for one in value]
    return value


def dated(name: str, value: Any) -> bool:  # noqa: ANN401 - see above
    """Whether this is a client's expiry."""
    return name == "Expires" and isinstance(value, tuple) and isinstance(value[1], Moment)


@difference("a change of the interval moves the next check instead of beginning one")
def _interval(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act not in ("interval", "checker_stops_after_the_interval"):
        return theirs, own
    kept = only(theirs, lambda one: not says(one, "CheckerRunning"))
    return only(kept, lambda one: one.member != "CheckerStarted"), own


@difference("the status of a checker that a signal has ended")
def _status(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act != "checker_dies":
        return theirs, own
    for recorded, status in ((theirs, -247), (own, 9)):
        last = recorded.signals[-1]
        assert last.body == [-1, status, "kill -9 $$"]
    last = theirs.signals[-1]
    told = replace(last, body=[-1, 9, "kill -9 $$"])
    repeated = [told if one.member == "CheckerCompleted" else one for one in theirs.signals]
    return replace(theirs, signals=repeated), own


@difference("one signal, not two, of a request that waits")
def _twice(_act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    needed = [place for place, one in enumerate(theirs.signals) if one.member == "NeedApproval"]
    after = needed[-1] if needed else len(theirs.signals)
    late = [one for one in theirs.signals[after:] if not says(one, "LastApprovalRequest")]
    return replace(theirs, signals=theirs.signals[:after] + late), own


@difference("a client that was approved before it asked does not wait")
def _early(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act != "is_approved_early":
        return theirs, own
    return only(theirs, lambda one: not says(one, "ApprovalPending")), own


@difference("a request waits until it is decided, not until its secret is sent")
def _decided(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act not in ("both_are_approved", "is_disabled_while_it_waits"):
        return theirs, own
    return pending_last(theirs), pending_last(own)


def pending_last(recorded: Recorded) -> Recorded:
    """The same, with the end of the wait at the end."""
    ended = ("ApprovalPending", False)
    return replace(recorded, signals=sorted(recorded.signals, key=lambda one: says(one, *ended)))


@difference("a client that is disabled while it waits gets nothing")
def _disabled(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act != "is_disabled_while_it_waits":
        return theirs, own
    assert [one.body for one in own.signals if one.member == "Rejected"] == [["Disabled"]]
    assert any(one.member == "GotSecret" for one in theirs.signals)
    return (
        only(theirs, lambda one: one.member != "GotSecret"),
        only(own, lambda one: one.member != "Rejected"),
    )


@difference("a client is disabled before it is removed")
def _removal(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act != "is_removed_while_checked":
        return theirs, own
    ended = ("CheckerRunning", False)
    return theirs, only(own, lambda one: not says(one, "Expires", "") and not says(one, *ended))


@difference("mistakes are errors, with the names of the D-Bus specification")
def _mistakes(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act == "secret":
        return replace(theirs, answer=None), replace(own, answer=None)
    if not act.startswith("error: "):
        return theirs, own
    assert not own.signals
    assert act in NO_MISTAKES or str(own.answer).find(ERROR) >= 0
    return Recorded(), Recorded()


#: What is an error with the reference, but not with us.
NO_MISTAKES = {"error: get of no interface", "error: properties of the root"}


@difference("the server ends when it is told to")
def _end(act: str, theirs: Recorded, own: Recorded) -> tuple[Recorded, Recorded]:
    if act != "end":
        return theirs, own
    assert {one.member for one in own.signals} == {"ClientRemoved"}
    return Recorded(), Recorded()
