# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mandos-monitor knows and shows, without a screen; the clock is turned by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.admin.client import Client
from mandos.admin.formatting import printable
from mandos.admin.monitor.cells import fit, to_left, to_right, wrapped
from mandos.admin.monitor.columns import Columns, row_boots, row_cells
from mandos.admin.monitor.detail_lines import facts
from mandos.admin.monitor.messages import KEPT, Messages, Weight, said
from mandos.admin.monitor.model import GATHERING, NO_SERVER, Model
from mandos.admin.monitor.row import ClientRow, State
from mandos.admin.monitor.view import SETTLING, Order, Show
from mandos.admin.proxy import AccessDeniedError, AuditRecord
from mandos.admin.signals import (
    Changed,
    CheckerCompleted,
    CheckerStarted,
    ClientAdded,
    ClientNotFound,
    ClientRemoved,
    Event,
    GotSecret,
    Listed,
    ListingFailed,
    NeedApproval,
    RecordAdded,
    Rejected,
    ServerAppeared,
    ServerVanished,
)

Value = bool | float | str
NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def date(moment: datetime) -> str:
    """Write a date as D-Bus has it."""
    return moment.replace(tzinfo=None).isoformat()


def client(name: str, **values: Value) -> Client:
    """Make a client that was found alive a minute ago; ``values`` are its D-Bus properties."""
    usual: dict[str, Any] = {
        "Name": name, "Host": f"{name}.example.org", "Enabled": True, "LastCheckerStatus": 0,
        "Timeout": 300_000, "Interval": 120_000, "ExtendedTimeout": 900_000,
        "Expires": date(NOW + 4 * MINUTE), "LastCheckedOK": date(NOW - MINUTE),
        "ApprovedByDefault": True, "ApprovalDelay": 0, "ApprovalDuration": 1000,
    }  # fmt: skip
    return Client(f"/clients/{name}", usual | values)


def asking(name: str, since: datetime = NOW, **values: Value) -> Client:
    """Make a client that waits two minutes for its secret."""
    waiting: dict[str, Value] = {
        "ApprovalPending": True, "ApprovalDelay": 120_000, "LastApprovalRequest": date(since),
    }  # fmt: skip
    return client(name, **(waiting | values))


def model_of(*clients: Client) -> Model:
    """Make a model of a server that has listed these."""
    model = Model()
    model.apply(ServerAppeared(), NOW)
    model.apply(Listed(clients), NOW)
    model.arrange(NOW)
    return model


def names(model: Model) -> list[str]:
    """The names in the list, from top to bottom."""
    return [row.name for row in model.view.rows]


def selected(model: Model) -> str | None:
    """The selected client's name."""
    return None if model.view.selected is None else model.view.selected.name


def log(model: Model, *, verbose: bool = False) -> list[str]:
    """The log's texts."""
    return [message.text for message in model.messages.after(0, verbose=verbose)]


@given(st.text(max_size=60), st.integers(0, 40))
def test_cells_have_their_width(text: str, width: int) -> None:
    """Whatever the text, a cell is as wide as its column."""
    from rich.cells import cell_len  # noqa: PLC0415 - the oracle

    shown = printable(text)
    assert cell_len(to_left(shown, width)) == cell_len(to_right(shown, width)) == width
    assert cell_len(fit(shown, width)) <= width


@given(st.text(max_size=120), st.integers(2, 40))
def test_wrapped_lines_lose_nothing(text: str, width: int) -> None:
    """Wrapping breaks lines at blanks or anywhere, and every other character stays."""
    from rich.cells import cell_len  # noqa: PLC0415 - the oracle

    lines = list(wrapped(printable(text), width))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == printable(text).replace(" ", "")


def test_states() -> None:
    """A client asks, fails, is overdue, is enabled or disabled: the first of these that holds."""
    failing = {"LastCheckerStatus": 1}
    for values, state in (
        ({}, State.ENABLED),
        ({"LastCheckerStatus": -2}, State.ENABLED),
        (failing, State.FAILING),
        ({"LastCheckerStatus": -1}, State.FAILING),
        ({"Enabled": False, "Expires": "", **failing}, State.DISABLED),
        ({"ApprovalPending": True, "Enabled": False}, State.ASKS),
    ):
        assert ClientRow.of(client("a", **values)).state(NOW) is state, values


def test_a_check_is_overdue_after_two_intervals() -> None:
    """A client is late when no check has succeeded for two intervals, before it is disabled."""
    row = ClientRow.of(client("a"))  # found alive a minute ago, checked every two minutes
    assert row.state(NOW + 3 * MINUTE - SECOND) is State.ENABLED
    assert row.state(NOW + 3 * MINUTE) is State.LATE
    assert row.note(NOW + 3 * MINUTE) == "no check in time"


def test_the_extended_timeout_makes_nobody_late() -> None:
    """A machine that boots is not checked for a while, and that is no failure."""
    row = ClientRow.of(client("a", Expires=date(NOW + 15 * MINUTE)))
    assert row.state(NOW + 13 * MINUTE) is State.ENABLED


def test_what_stands_in_the_columns() -> None:
    """Name, state, time left, last sign of life, and what is worth a word."""
    asks = asking("beta", NOW - 10 * SECOND)
    denied = asking("beta", NOW - 10 * SECOND, ApprovedByDefault=False)
    gone: dict[str, Value] = {"Enabled": False, "Expires": ""}
    failed, killed, fresh = ({"LastCheckerStatus": status} for status in (3, -1, -2))
    told = {"DisabledReason": "timeout", "DisabledAt": date(NOW - 3 * MINUTE)}
    for one, cells in (
        (client("alpha"), ("alpha", "enabled", "4:00", "1 min ago", "")),
        (client("a", CheckerRunning=True), ("a", "enabled", "4:00", "1 min ago", "checking")),
        (asks, ("beta", "ASKS", "4:00", "1 min ago", "sent in 1:50")),
        (denied, ("beta", "ASKS", "4:00", "1 min ago", "denied in 1:50")),
        (client("c", **failed), ("c", "FAILING", "4:00", "1 min ago", "checker exit code 3")),
        (client("c", **killed), ("c", "FAILING", "4:00", "1 min ago", "checker was killed")),
        (client("d", **gone), ("d", "disabled", "", "1 min ago", "")),
        (client("d", **gone, **told), ("d", "disabled", "", "1 min ago", "timeout 3 min ago")),
        (client("e", LastCheckedOK=""), ("e", "enabled", "4:00", "never", "")),
        (client("e", **fresh), ("e", "enabled", "4:00", "1 min ago", "not checked yet")),
        (client("\x1b[1mx"), (r"\x1b[1mx", "enabled", "4:00", "1 min ago", "")),
    ):  # fmt: skip
        assert row_cells(ClientRow.of(one), NOW) == cells


def test_silent_or_mad_servers_do_not_end_the_program() -> None:
    """A client without any property, and one with durations of a million years, are shown."""
    model = model_of(
        Client("/clients/silent", {}),
        asking("mad", Timeout=2**64 - 1, Interval=2**64 - 1, ExtendedTimeout=2**64 - 1),
        asking("mad2", ApprovalDuration=2**64 - 1, ApprovalDelay=2**64 - 1),
        client("undated", Expires="soon", LastCheckedOK="yesterday"),
    )  # fmt: skip
    for row in model.view.rows:
        assert len(row_cells(row, NOW)) == 5
        assert facts(row, NOW, UTC)
    assert names(model) == ["mad", "mad2", "silent", "undated"]


@pytest.mark.parametrize("width", [0, 1, 20, 40, 60, 79, 80, 120, 200])
@pytest.mark.parametrize("longest", [1, 12, 25, 64])
def test_columns_fill_the_line(width: int, longest: int) -> None:
    """A line is as wide as the screen, or as the three columns that are always there."""
    columns = Columns.within(width, longest)
    titles = columns.titles(Order.TIME_LEFT, backward=True)
    assert len(titles) == max(
        width, len(Columns.within(0, longest).titles(Order.NAME, backward=False))
    )
    assert "Time left-" in titles


def test_80_columns_show_everything() -> None:
    """On the usual terminal all five columns are there, with 26 characters of the name."""
    columns = Columns.within(80, 40)
    assert (columns.name, columns.note) == (26, 19)
    assert "Last alive" in columns.titles(Order.NAME, backward=False)


def test_wide_lists_show_boots() -> None:
    """The dates of the last boot and rehearsal fit beside all others; narrower lists go without."""
    shown = [Columns.within(width, 20, boots=True) for width in (97, 98)]
    assert [columns.boots for columns in shown] == [0, 11]
    assert [columns.name for columns in shown] == [20, 20]
    titles = shown[1].titles(Order.NAME, backward=False)
    assert len(titles) == 98
    assert "Last boot   Rehearsed  Note" in titles
    assert Columns.within(200, 20).boots == 0


def test_boots_in_the_list() -> None:
    """A server that reports none leaves the columns empty; one that does says never."""
    for values, cells in (
        ({}, ("", "")),
        ({"LastSecretSent": "", "LastRehearsed": ""}, ("never", "never")),
        (
            {"LastSecretSent": date(NOW - 3 * MINUTE), "LastRehearsed": date(NOW - 2 * SECOND)},
            ("3 min ago", "2 s ago"),
        ),
    ):
        row = ClientRow.of(client("a", **values))
        assert row_boots(row, NOW) == cells
        line = Columns.within(120, 20, boots=True).line(" ", row_cells(row, NOW), cells)
        assert all(cell in line for cell in cells)


def test_names_are_sorted_as_people_count() -> None:
    """Numbers in names count as numbers, and case does not matter."""
    model = model_of(*(client(name) for name in ("web10", "Web2", "alpha", "web1")))
    assert names(model) == ["alpha", "web1", "Web2", "web10"]


def test_requests_are_on_top_in_every_order() -> None:
    """Who is decided first is first; the others follow in the chosen order."""
    model = model_of(
        client("a", Expires=date(NOW + 9 * MINUTE), LastCheckedOK=date(NOW - 3 * SECOND)),
        client("b", LastCheckerStatus=1, Expires=date(NOW + MINUTE)),
        client("c", Enabled=False, Expires=""),
        asking("y", NOW - MINUTE),
        asking("x"),
    )
    for order, backward, expected in (
        (Order.NAME, False, "abc"),
        (Order.NAME, True, "cba"),
        (Order.STATE, False, "bac"),
        (Order.TIME_LEFT, False, "bac"),
        (Order.TIME_LEFT, True, "cab"),
        (Order.ALIVE, False, "bca"),
    ):
        model.view.sort(NOW, order, backward=backward)
        assert names(model) == ["y", "x", *expected], order


def test_narrowing_to_a_state() -> None:
    """Each state can be shown alone; failing counts those that are late."""
    model = model_of(
        client("a"), client("b", LastCheckerStatus=1), asking("c"), client("d", Enabled=False),
        client("e", Expires=date(NOW + MINUTE)),
    )  # fmt: skip
    counts = {show.value: count for show, count in model.view.counts.items()}
    assert counts == {"all": 5, "asks": 1, "failing": 2, "enabled": 1, "disabled": 1}
    for show, expected in (
        (Show.ASKS, "c"), (Show.FAILING, "be"), (Show.ENABLED, "a"), (Show.DISABLED, "d"),
        (Show.ALL, "cabde"),
    ):  # fmt: skip
        model.view.narrow(NOW, show=show)
        assert names(model) == list(expected)


def test_narrowing_to_a_text() -> None:
    """A text is looked for in names and hosts, without regard to case."""
    model = model_of(client("Web1"), client("db", Host="store.WEB.example"), client("mail"))
    model.view.narrow(NOW, text="wEB")
    assert names(model) == ["db", "Web1"]
    assert model.view.narrowed
    model.view.reset(NOW)
    assert names(model) == ["db", "mail", "Web1"]
    assert not model.view.narrowed


def test_the_selection_stays_on_its_client() -> None:
    """Whatever comes, goes or is sorted, the same client stays selected."""
    model = model_of(*(client(name) for name in "bdf"))
    model.view.move(1)
    model.apply(ClientAdded(client("a")), NOW)
    model.apply(ClientRemoved("/clients/b"), NOW)
    model.apply(NeedApproval("/clients/f", 1000, default=True), NOW)
    model.apply(Changed("/clients/f", {"ApprovalPending": True}), NOW)
    model.arrange(NOW)
    assert names(model) == ["f", "a", "d"]
    assert selected(model) == "d"
    assert model.view.settled(NOW)


def test_the_selection_survives_a_restart_of_the_server() -> None:
    """The list empties and fills again; the same client is selected."""
    clients = [client(name) for name in "abc"]
    model = model_of(*clients)
    model.view.move(2)
    model.apply(ServerVanished(), NOW)
    model.arrange(NOW)
    assert (names(model), selected(model), model.obstacle) == ([], None, NO_SERVER)
    model.apply(ServerAppeared(), NOW)
    model.apply(Listed(tuple(clients)), NOW)
    model.arrange(NOW)
    assert selected(model) == "c"
    assert not model.obstacle


def removed_and_added(model: Model, gone: Iterable[str], back: Iterable[str]) -> None:
    """Clients go and come one by one, as while a server ends and starts; each is seen."""
    for name in gone:
        model.apply(ClientRemoved(f"/clients/{name}"), NOW)
        model.arrange(NOW)
    for name in back:
        model.apply(ClientAdded(client(name)), NOW)
        model.arrange(NOW)


@pytest.mark.parametrize("gone", ["abc", "cba", "bca", "b"])
@pytest.mark.parametrize("back", ["abc", "cba", "acb"])
def test_the_selection_comes_back_with_its_client(gone: str, back: str) -> None:
    """In whatever order they go and come; what moved by itself has to be seen first."""
    model = model_of(*(client(name) for name in "abc"))
    model.view.move(1)
    removed_and_added(model, gone, [name for name in back if name in gone])
    assert selected(model) == "b"
    assert not model.view.settled(NOW)


def test_a_selection_that_a_person_has_moved_does_not_go_back() -> None:
    """Who is gone is forgotten then."""
    model = model_of(*(client(name) for name in "abc"))
    removed_and_added(model, "a", "")
    model.view.move(1)
    removed_and_added(model, "", "a")
    assert selected(model) == "c"
    assert model.view.settled(NOW)


def test_an_unmoved_selection_goes_to_requests() -> None:
    """As long as nobody moved it, it is on the request that is decided first, then on the next."""
    model = model_of(client("a"), client("m"), client("z"))
    assert selected(model) == "a"
    for name in "mz":
        model.apply(Changed(f"/clients/{name}", asking(name).values), NOW)
        model.arrange(NOW)
        assert selected(model) == "m"
    model.apply(Changed("/clients/m", {"ApprovalPending": False}), NOW)
    model.arrange(NOW)
    assert selected(model) == "z"


def test_a_selection_that_moved_by_itself_has_to_be_seen_first() -> None:
    """For a second no key is taken for a client that nobody chose: it could deny the wrong one."""
    model = model_of(client("a"), client("b"))
    model.apply(Changed("/clients/b", asking("b").values), NOW)
    model.arrange(NOW)
    assert selected(model) == "b"
    assert not model.view.settled(NOW + SETTLING - timedelta(microseconds=1))
    assert model.view.settled(NOW + SETTLING)
    model.apply(ClientRemoved("/clients/b"), NOW + MINUTE)
    model.arrange(NOW + MINUTE)
    assert selected(model) == "a"
    assert not model.view.settled(NOW + MINUTE)
    model.view.move(0)
    assert model.view.settled(NOW + MINUTE)


def test_the_client_that_is_worked_on_stays_in_sight() -> None:
    """One that a filter would hide now stays until the selection leaves it."""
    model = model_of(client("a"), client("b"), client("c"))
    model.view.narrow(NOW, show=Show.ENABLED)
    model.view.move(1)
    model.apply(Changed("/clients/b", {"Enabled": False}), NOW)
    model.arrange(NOW)
    assert names(model) == ["a", "b", "c"]
    model.view.move(1)
    model.arrange(NOW)
    assert names(model) == ["a", "c"]
    assert selected(model) == "c"


def test_next_request_goes_round_in_any_filter() -> None:
    """It goes from one request to the next and round, though the filter hides them."""
    model = model_of(client("a"), asking("x", NOW - SECOND), asking("y"))
    model.view.narrow(NOW, show=Show.ENABLED)
    found = [model.view.next_request(NOW) for _ in range(3)]
    assert [row and row.name for row in found] == ["x", "y", "x"]
    assert selected(model) == "x"
    assert model.view.settled(NOW)
    assert model_of(client("a")).view.next_request(NOW) is None


def test_search_goes_on_and_round() -> None:
    """Search finds the next match, or the one before, and starts again at the other end."""
    model = model_of(*(client(name) for name in ("web1", "db", "web2", "mail", "web3")))
    found = []
    for step in (1, 1, 1, -1, -1):
        assert model.view.search("WEB", step=step)
        found.append(selected(model))
    assert found == ["web1", "web2", "web3", "web2", "web1"]
    assert model.view.search("web1", here=True)
    assert selected(model) == "web1"
    assert not model.view.search("nowhere")
    assert selected(model) == "web1"
    assert not model_of().view.search("a")


acts = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-3, 3)),
        st.tuples(st.just("show"), st.sampled_from(Show)),
        st.tuples(st.just("order"), st.sampled_from(Order)),
        st.tuples(st.just("request"), st.none()),
        st.tuples(st.just("asks"), st.sampled_from("abcde")),
        st.tuples(st.just("answered"), st.sampled_from("abcde")),
        st.tuples(st.just("remove"), st.sampled_from("abcde")),
        st.tuples(st.just("add"), st.sampled_from("abcde")),
    ),
    max_size=30,
)


def _do(model: Model, what: str, value: Any, now: datetime) -> None:  # noqa: ANN401 - one of each
    """Press a key, or let the server tell something."""
    path = f"/clients/{value}"
    does: dict[str, Callable[[], object]] = {
        "move": lambda: model.view.move(value),
        "show": lambda: model.view.narrow(now, show=value),
        "order": lambda: model.view.sort(now, value, backward=False),
        "request": lambda: model.view.next_request(now),
        "asks": lambda: model.apply(Changed(path, asking(value, now).values), now),
        "answered": lambda: model.apply(Changed(path, {"ApprovalPending": False}), now),
        "remove": lambda: model.apply(ClientRemoved(path), now),
        "add": lambda: model.apply(ClientAdded(client(value)), now),
    }
    does[what]()
    model.arrange(now)


@given(acts)
def test_no_selection_slips_unseen(steps: list[tuple[str, Any]]) -> None:
    """Only keys move the selection, or the view tells that it moved by itself."""
    model = model_of(*(client(name) for name in "abcde"))
    now = NOW
    for what, value in steps:
        now += MINUTE
        before = selected(model)
        _do(model, what, value, now)
        assert (selected(model) is None) == (not names(model))
        key = what in {"move", "show", "order", "request"}
        if not key and before is not None and names(model) and selected(model) != before:
            assert not model.view.settled(now)


@pytest.mark.parametrize(
    ("event", "text", "weight"),
    [
        (CheckerStarted("/p", "fping"), "a: checker started: fping", Weight.VERBOSE),
        (CheckerCompleted("/p", 0, 0, "x"), "a: checker succeeded: x", Weight.VERBOSE),
        (
            CheckerCompleted("/p", 2, 512, "x"),
            "a: checker failed with exit code 2: x",
            Weight.NORMAL,
        ),
        (CheckerCompleted("/p", -1, 9, "x"), "a: checker was killed by SIGKILL: x", Weight.NORMAL),
        (
            CheckerCompleted("/p", -1, 99, "x"),
            "a: checker was killed by signal 99: x",
            Weight.NORMAL,
        ),
        (GotSecret("/p"), "a: was sent its secret", Weight.NORMAL),
        (
            NeedApproval("/p", 120_000, default=True),
            "a: asks for its secret; sent unless denied within 2 min",
            Weight.ALERT,
        ),
        (
            NeedApproval("/p", 2**64 - 1, default=False),
            "a: asks for its secret; denied unless approved within 999999999 d 23 h 59 min 59 s",
            Weight.ALERT,
        ),
        (
            Rejected("/p", "Approval timed out"),
            "a: asked for its secret and did not get it: nobody approved it in time",
            Weight.ALERT,
        ),
        (Rejected("/p", "New"), "a: asked for its secret and did not get it: New", Weight.ALERT),
        (
            ClientNotFound("AB", "fe80::1"),
            "fe80::1 asked with the key ID AB, which no client has",
            Weight.ALERT,
        ),
    ],
)
def test_what_events_say(event: Event, text: str, weight: Weight) -> None:
    """Each event that matters has its line; successful checks are verbose."""
    assert said(event, "a") == (text, weight)


def test_some_events_say_nothing() -> None:
    """Changed properties and audit records do not need a line."""
    assert said(Changed("/p", {}), "a") is None
    assert said(RecordAdded(AuditRecord(number=1, kind="sent")), "a") is None


def test_checks_do_not_push_out_what_matters() -> None:
    """However many checks succeed, the request before them is still in the log, in its place."""
    messages = Messages()
    messages.add(NOW, "refused", Weight.ALERT)
    for number in range(KEPT + 5):
        messages.add(NOW, f"check {number}", Weight.VERBOSE)
    messages.add(NOW, "last")
    assert [one.text for one in messages.after(0, verbose=False)] == ["refused", "last"]
    every = messages.after(0, verbose=True)
    assert len(every) == KEPT + 2
    assert [one.number for one in every] == sorted(one.number for one in every)
    assert [one.text for one in messages.after(messages.last - 1, verbose=True)] == ["last"]


def test_log_lines_are_printable() -> None:
    """A hostile name cannot steer the terminal from the log."""
    model = model_of(client("\x1b]0;x\x07"))
    model.apply(GotSecret("/clients/\x1b]0;x\x07"), NOW)
    assert log(model)[-1] == r"\x1b]0;x\x07: was sent its secret"


def test_a_server_that_ends_has_not_removed_its_clients() -> None:
    """The reference takes leave of each client when it ends; that is not told as removals."""
    model = model_of(client("a"), client("b"))
    for name in "ab":
        model.apply(ClientRemoved(f"/clients/{name}"), NOW)
    model.apply(ServerVanished(), NOW)
    model.arrange(NOW + MINUTE)
    assert log(model) == ["the server has 2 clients", "the Mandos server is not running"]


def test_a_starting_server_has_no_new_clients() -> None:
    """What the server adds before it has listed all is not new."""
    model = Model()
    model.apply(ServerAppeared(), NOW)
    model.apply(ClientAdded(client("a")), NOW)
    model.apply(Listed((client("a"),)), NOW)
    model.arrange(NOW + MINUTE)
    assert log(model) == ["the server has 1 client"]


def test_comings_and_goings_are_told_together() -> None:
    """A few are told one by one, many in one line, with the time when it began."""
    model = model_of(client("a"))
    model.apply(ClientRemoved("/clients/a"), NOW + SECOND)
    for number in range(50):
        model.apply(ClientAdded(client(f"new{number}")), NOW + SECOND)
    model.arrange(NOW + SECOND)
    assert log(model) == ["the server has 1 client"]
    model.arrange(NOW + SECOND + GATHERING)
    assert log(model)[1:] == [
        "a: removed from the server",
        "50 clients (new0, new1, new2, ...): new on the server",
    ]
    assert {message.at for message in model.messages.after(1, verbose=False)} == {NOW + SECOND}


def test_enabling_and_disabling_are_told() -> None:
    """The log says when a client is disabled, which the reference's signals do not."""
    model = model_of(client("a"))
    model.apply(Changed("/clients/a", {"Enabled": False, "Expires": ""}), NOW)
    model.apply(Changed("/clients/a", {"Enabled": False}), NOW)
    model.apply(Changed("/clients/a", {"Enabled": True}), NOW)
    assert log(model)[1:] == ["a: is DISABLED now", "a: is enabled now"]


def test_why_there_is_no_server_is_said_once() -> None:
    """Every attempt may fail for the same reason; the log has it once, until it changes."""
    model = Model()
    denied = AccessDeniedError("not allowed", "use sudo")
    for _ in range(3):
        model.apply(ServerAppeared(), NOW)
        model.apply(ListingFailed(denied), NOW)
        assert model.obstacle == ("not allowed", "use sudo")
    assert log(model) == ["not allowed"]
    model.apply(ServerAppeared(), NOW)
    assert model.obstacle == ("not allowed", "use sudo")  # no flicker
    model.apply(Listed(()), NOW)
    assert not model.obstacle


def test_changes_of_unknown_clients_are_passed_over() -> None:
    """Events about clients that were never listed change nothing, but are told."""
    model = model_of()
    model.apply(Changed("/clients/x", {"Enabled": True}), NOW)
    model.apply(ClientRemoved("/clients/x"), NOW)
    model.apply(GotSecret("/clients/x"), NOW)
    model.arrange(NOW)
    assert names(model) == []
    assert log(model)[1:] == ["x: was sent its secret"]


def test_facts_of_a_waiting_client() -> None:
    """The details say what will happen, in words."""
    values: dict[str, Value] = {
        "Checker": "fping -q -- %(host)s",
        "KeyID": "AB" * 32,
        "CheckerRunning": True,
    }
    told = dict(facts(ClientRow.of(asking("a", NOW - 5 * SECOND, **values)), NOW, UTC))
    assert told == {
        "State": "ASKS: its secret is sent in 1:55 unless denied",
        "Time left": "4:00, then disabled unless found alive",
        "Host": "a.example.org",
        "Last alive": "1 min ago, at 03:59:00",
        "Last check": "succeeded; it runs now",
        "Checker": "fping -q -- %(host)s",
        "Times": "checked every 2 min, disabled after 5 min, or 15 min after it got its secret",
        "Approval": "waits 2 min, then the secret is sent; a decision holds for 1 s",
        "Last request": "5 s ago, at 03:59:55",
        "Key ID": "AB" * 32,
    }


def test_facts_of_a_disabled_client() -> None:
    """The details say what is to be done, and why it was disabled when the server tells."""
    told = {"DisabledReason": "timeout", "DisabledAt": date(NOW - timedelta(days=1))}
    row = ClientRow.of(client("a", Enabled=False, Expires="", **told))
    shown = dict(facts(row, NOW, UTC))
    assert shown["State"] == "disabled: it does not get its secret until somebody enables it"
    assert shown["Disabled"] == "timeout, 1 d ago, at 2026-11-23 04:00"
    assert "Time left" not in shown
