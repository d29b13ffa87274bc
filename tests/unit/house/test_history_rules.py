# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules by which histories of servers are judged, each with histories that break it."""

from __future__ import annotations

import itertools

import pytest

from harness.history import (
    ACKNOWLEDGED,
    APPROVE,
    DENY,
    DISABLE,
    ENABLE,
    FAILED,
    GOT,
    LOST,
    NOTHING,
    VOID,
    Act,
    Answer,
    Ask,
    History,
    Record,
    Sight,
    broken_rules,
)  # fmt: skip
from harness.history_plan import JUMP, KILL, LOSE_PRIMARY, PARTITION, PAUSE, plan

CLIENT, HERE, THERE = "alpha", "one", "two"


def history(*events: Ask | Act | Sight | Record, **values: object) -> History:
    """A history with these events; the records of its acts and secrets are there by themselves."""
    made = History(10.0, **values)  # type: ignore[arg-type]  # the fields' own types
    for event in events:
        if isinstance(event, Ask):
            made.asks.append(event)
        elif isinstance(event, Act):
            made.acts.append(event)
        elif isinstance(event, Sight):
            made.sights.append(event)
        else:
            made.records.append(event)
    return made


def recorded(*events: Ask | Act | Sight | Record, **values: object) -> History:
    """A history with records for all of its acts and secrets."""
    kinds = {ENABLE: "enabled", DISABLE: "disabled", APPROVE: "approved", DENY: "denied"}
    made = history(*events, **values)
    for ask in made.asks:
        made.records.append(Record("secret-sent", ask.client, ask.server, ""))
    for act in made.acts:
        made.records.append(Record(kinds[act.kind], act.client, act.server, "administrator"))
    return made


def ask(begin: float, end: float | None = None, outcome: str = GOT, server: str = THERE) -> Ask:
    """A request, which takes 0.1 s."""
    return Ask(CLIENT, server, begin, begin + 0.1 if end is None else end, outcome)


def act(kind: str, begin: float, end: float | None = None, outcome: str = ACKNOWLEDGED) -> Act:
    """An act, which takes 0.1 s."""
    return Act(kind, CLIENT, HERE, begin, begin + 0.1 if end is None else end, outcome)


def test_a_quiet_history_breaks_no_rule() -> None:
    """Each call has its effect, and each effect its record."""
    made = recorded(
        ask(1), act(DISABLE, 2), ask(3, outcome=NOTHING), act(ENABLE, 4), ask(5), act(DENY, 6),
        ask(7, outcome=NOTHING), act(APPROVE, 8), ask(9),
    )  # fmt: skip
    made.enabled = {CLIENT: True}
    made.answers = {CLIENT: {HERE: Answer(True, "x"), THERE: Answer(True, "x")}}  # noqa: FBT003
    assert broken_rules(made) == []


@pytest.mark.parametrize("outcome", ["wrong", "part"])
def test_other_bytes_than_the_secret_are_a_fault(outcome: str) -> None:
    """Nobody may get them."""
    assert "wrong secret" in broken_rules(recorded(ask(1, outcome=outcome)))[0]


@pytest.mark.parametrize(
    "events",
    [
        (act(DISABLE, 1), ask(2)),
        (act(DISABLE, 1), ask(1, end=2.2)),  # a second too late for one that was decided before
        (act(ENABLE, 0), act(DISABLE, 1), ask(2)),
        (act(ENABLE, 0, outcome=FAILED), act(DISABLE, 1), ask(2)),  # written afterwards
        (act(DISABLE, 1), ask(2), act(ENABLE, 3)),
        (act(DISABLE, 1), act(ENABLE, 1.5, outcome=VOID), ask(2)),
        (Sight(CLIENT, 1, 1.1), ask(2)),
        (act(ENABLE, 0), Sight(CLIENT, 1, 1.1), ask(2)),
    ],
)
def test_a_secret_after_a_disabling_is_a_fault(events: tuple[Ask | Act | Sight, ...]) -> None:
    """Acknowledged, or seen in the database; an enabling before that excuses nothing."""
    assert any("was disabled" in line for line in broken_rules(recorded(*events)))


@pytest.mark.parametrize(
    "events",
    [
        (act(DISABLE, 1, outcome=FAILED), ask(2)),
        (act(DISABLE, 1, outcome=LOST), ask(2)),
        (act(DISABLE, 1), ask(1, end=1.9)),
        (act(DISABLE, 1), act(ENABLE, 1.5), ask(2)),
        (act(DISABLE, 1), act(ENABLE, 2.05), ask(2)),
        (act(ENABLE, 1, end=1.05), act(DISABLE, 1), ask(2)),
        (act(ENABLE, 0, outcome=LOST), act(DISABLE, 1), ask(2)),
        (act(DISABLE, 1), act(ENABLE, 1.5, outcome=FAILED), ask(2)),
        (act(ENABLE, 0, outcome=FAILED), Sight(CLIENT, 1, 1.1), ask(2)),
        (Sight("beta", 1, 1.1), ask(2)),
    ],
)
def test_a_secret_that_may_have_been_given_is_none(events: tuple[Ask | Act | Sight, ...]) -> None:
    """The disabling was not acknowledged, or an enabling may have come after it."""
    made = recorded(*events)
    assert not any("was disabled" in line for line in broken_rules(made))


def test_a_server_alone_may_give_for_its_time() -> None:
    """It has said for how long it decides without the database."""
    assert broken_rules(recorded(act(DISABLE, 1), ask(4), alone=5.0)) == []
    assert broken_rules(recorded(act(DISABLE, 1), ask(7), alone=5.0))


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((act(DENY, 1), ask(5)), True),
        ((act(DENY, 1), ask(12)), False),  # its time is over
        ((act(DENY, 1), act(APPROVE, 2), ask(5)), False),
        ((act(DENY, 1), act(ENABLE, 2), ask(5)), False),
        ((act(APPROVE, 0), act(DENY, 1), ask(5)), True),
        ((act(APPROVE, 0, outcome=FAILED), act(DENY, 1), ask(5)), True),
        ((act(ENABLE, 0, outcome=FAILED), act(DENY, 1), ask(5)), False),
        ((act(DENY, 1, outcome=FAILED), ask(5)), False),
    ],
)
def test_a_denial_refuses_for_its_time(events: tuple[Ask | Act, ...], fault: bool) -> None:  # noqa: FBT001
    """Unless another act may have come after it."""
    assert any("after a denial" in line for line in broken_rules(recorded(*events))) is fault


def test_a_killed_server_with_sqlite_forgets_a_denial() -> None:
    """Only there: servers that share a database keep it."""
    events = (act(DENY, 1), ask(5))
    assert not broken_rules(recorded(*events, forgets=True, kills=[2.0]))
    assert broken_rules(recorded(*events, forgets=True, kills=[0.5]))
    assert broken_rules(recorded(*events, kills=[2.0]))


def test_a_client_that_needs_approval_gets_nothing_without() -> None:
    """An approval counts for its time."""
    needs = frozenset((CLIENT,))
    assert broken_rules(recorded(ask(1), approved_only=needs))
    assert broken_rules(recorded(act(APPROVE, 1, outcome=VOID), ask(2), approved_only=needs))
    assert broken_rules(recorded(act(APPROVE, 1), ask(14), approved_only=needs))
    assert not broken_rules(recorded(act(APPROVE, 1), ask(2), approved_only=needs))
    assert not broken_rules(recorded(act(APPROVE, 2), ask(1, end=3), approved_only=needs))


@pytest.mark.parametrize("kind", [DISABLE, DENY, APPROVE])
def test_an_act_without_a_record_is_a_fault(kind: str) -> None:
    """It was acknowledged, and certainly had an effect."""
    assert any("audit trail" in line for line in broken_rules(history(act(kind, 1))))
    assert not broken_rules(history(act(kind, 1, outcome=FAILED)))


def test_an_act_that_changed_nothing_needs_no_record() -> None:
    """A second disabling, an enabling of an enabled client, or a denial of a disabled one."""
    record = Record("disabled", CLIENT, HERE, "administrator")
    assert not broken_rules(history(act(ENABLE, 0)))
    assert not broken_rules(history(act(DISABLE, 1), record, act(DISABLE, 2), act(DENY, 3)))
    assert broken_rules(history(act(DISABLE, 1), record, act(ENABLE, 2)))
    assert not broken_rules(history(act(DISABLE, 2), died={CLIENT: 1.0}))


def test_the_last_act_stands() -> None:
    """Also against an earlier one that had failed."""
    for earlier in ((), (act(ENABLE, 0, outcome=FAILED),)):
        made = recorded(*earlier, act(DISABLE, 1))
        made.enabled = {CLIENT: True}
        assert any("in spite of" in line for line in broken_rules(made))
    made = recorded(act(DISABLE, 1), act(ENABLE, 2))
    made.enabled = {CLIENT: False}
    assert any("in spite of" in line for line in broken_rules(made))
    made.died = {CLIENT: 1.0}
    assert not broken_rules(made)
    made = recorded(act(DISABLE, 1, outcome=FAILED), act(ENABLE, 2))
    made.enabled = {CLIENT: False}
    assert not broken_rules(made)
    made = recorded(act(ENABLE, 1, end=3), act(DISABLE, 2))
    made.enabled = {CLIENT: True}
    assert not broken_rules(made)


def test_a_living_client_is_not_disabled() -> None:
    """Neither as the audit trail says, nor as the database says in the end."""
    expired = Record("disabled", CLIENT, HERE, "timeout")
    assert any("though it was alive" in line for line in broken_rules(history(expired)))
    assert not broken_rules(history(expired, died={CLIENT: 1.0}))
    made = history()
    made.enabled = {CLIENT: False}
    assert any("though nobody disabled it" in line for line in broken_rules(made))


def test_a_secret_without_a_record_is_a_fault() -> None:
    """Records that were repeated count as often as they say."""
    sent = Record("secret-sent", CLIENT, THERE, "", 2)
    assert any("without a record" in line for line in broken_rules(history(ask(1))))
    assert not broken_rules(history(ask(1), ask(4), sent))
    assert broken_rules(history(ask(1), ask(4), ask(7), sent))
    assert broken_rules(history(ask(1, server=HERE), sent))
    one = Record("secret-sent", CLIENT, THERE, "")
    assert not broken_rules(history(ask(1), ask(1.5), one, forgets=True))
    assert broken_rules(history(ask(1), ask(1.5), one))


def test_servers_that_do_not_agree_are_a_fault() -> None:
    """With each other, or with the database."""
    made = history(act(DISABLE, 1), Record("disabled", CLIENT, HERE, "administrator"))
    made.enabled = {CLIENT: False}
    made.answers = {CLIENT: {HERE: Answer(False, "x"), THERE: Answer(False, "x")}}  # noqa: FBT003
    assert not broken_rules(made)
    made.answers[CLIENT][THERE] = Answer(False, "y")  # noqa: FBT003
    assert any("do not agree" in line for line in broken_rules(made))
    made.answers = {CLIENT: {HERE: Answer(True, "x"), THERE: Answer(True, "x")}}  # noqa: FBT003
    assert any("the database do not agree" in line for line in broken_rules(made))


def test_a_healthy_client_is_served_in_the_end() -> None:
    """By each server, at the latest when it asks again."""
    made = history()
    made.enabled = {CLIENT: True}
    made.last_asks = [ask(20, outcome=NOTHING), ask(21, outcome=NOTHING, server=HERE)]
    assert len([line for line in broken_rules(made) if "refused in the end" in line]) == 2
    made.last_asks += [ask(22), ask(22, server=HERE)]
    assert not broken_rules(made)
    made.last_asks = [ask(20, outcome=NOTHING)]
    made.acts = [act(DENY, 15, outcome=FAILED)]
    assert not broken_rules(made)
    made.acts = []
    made.enabled = {CLIENT: False}
    assert not any("refused" in line for line in broken_rules(made))


def test_a_seed_makes_the_same_plan_every_time() -> None:
    """And another seed another one; accidents of one server never overlap."""
    servers = (HERE, THERE, "three")
    assert plan(1, servers, shared=True) == plan(1, servers, shared=True)
    assert plan(1, servers, shared=True) != plan(2, servers, shared=True)
    steps = [step for seed in range(50) for step in plan(seed, servers, shared=True)]
    assert {KILL, LOSE_PRIMARY, ENABLE, DENY} <= {step.kind for step in steps}
    for seed in range(50):
        for server in servers:
            troubles = [
                step
                for step in plan(seed, servers, shared=True)
                if step.server == server and not step.client
            ]
            assert all(
                one.at + one.seconds < other.at for one, other in itertools.pairwise(troubles)
            )


def test_most_servers_see_a_jump() -> None:
    """Only the first one has accidents while the clock jumps, or shortly before or after that."""
    servers = (HERE, THERE, "three")
    for seed in range(50):
        steps = plan(seed, servers, shared=True)
        for jump in (step for step in steps if step.kind == JUMP):
            assert {
                step.server
                for step in steps
                if step.kind in (KILL, PAUSE, PARTITION)
                and step.at < jump.at < step.at + step.seconds
            } <= {HERE}
