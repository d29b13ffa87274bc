# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-monitor's screen and keys, on Textual's terminal without a screen.

Screens are compared with the text files of tests/snapshots; MANDOS_NEW_SNAPSHOTS=1 writes them
anew, to be looked at before they are committed.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from textual.events import MouseScrollDown, MouseScrollUp

from mandos.admin.client import Client, NoSuchClientError
from mandos.admin.monitor import keys, main
from mandos.admin.monitor.acts import ACTS
from mandos.admin.monitor.app import MonitorApp
from mandos.admin.monitor.help import help_lines
from mandos.admin.monitor.model import WAITING
from mandos.admin.proxy import AccessDeniedError, NoBusError
from mandos.admin.signals import (
    Changed,
    CheckerCompleted,
    CheckerStarted,
    ClientNotFound,
    GotSecret,
    Listed,
    ListingFailed,
    NeedApproval,
    ServerAppeared,
    ServerChanged,
    ServerVanished,
)
from mandos.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot
    from textual.strip import Strip

    from mandos.admin.monitor.acts import Act
    from mandos.admin.signals import Event
    from mandos.errors import MandosError

ROOT = Path(__file__).parents[4]
SNAPSHOTS = ROOT / "tests" / "snapshots"
MANUAL = (ROOT / "man" / "mandos-monitor.8").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def date(moment: datetime) -> str:
    """Write a date as D-Bus has it."""
    return moment.replace(tzinfo=None).isoformat()


def client(name: str, **values: bool | float | str) -> Client:
    """Make a client that was found alive a minute ago."""
    usual: dict[str, Any] = {
        "Name": name, "Host": f"{name}.example.org", "Enabled": True, "LastCheckerStatus": 0,
        "Timeout": 300_000, "Interval": 120_000, "ExtendedTimeout": 900_000,
        "Expires": date(NOW + 4 * MINUTE), "LastCheckedOK": date(NOW - MINUTE),
        "ApprovedByDefault": True, "ApprovalDelay": 0, "ApprovalDuration": 1000,
        "Checker": "fping -q -- %(host)s", "KeyID": "0F" * 32, "Fingerprint": "A5" * 20,
        "Created": date(NOW - timedelta(days=400)), "LastEnabled": date(NOW - timedelta(hours=3)),
    }  # fmt: skip
    return Client(f"/clients/{name}", usual | values)


WAITS: dict[str, bool | float | str] = {
    "ApprovalPending": True, "ApprovalDelay": 120_000, "LastApprovalRequest": date(NOW),
}  # fmt: skip
FLEET = (
    client("web2"),
    client("alpha"),
    client("db", LastCheckerStatus=1, Expires=date(NOW + MINUTE)),
    client("stolen", Enabled=False, Expires="", DisabledReason="timeout",
           DisabledAt=date(NOW - 90 * MINUTE), LastEnabled=""),
    client("web10", CheckerRunning=True, Expires=date(NOW + timedelta(days=3))),
)  # fmt: skip


@dataclass
class Desk:
    """A session that the test tells what to say, and that notes what it was asked to do."""

    tell: Callable[[Event], None]
    fail: Callable[[MandosError], None]
    done: list[tuple[str, str]] = field(default_factory=list)
    error: MandosError | None = None

    async def run(self) -> None:
        """Say nothing by itself."""
        await asyncio.Event().wait()

    async def do(self, act: Act, client: Client) -> None:
        """Note it, or fail."""
        if self.error is not None:
            raise self.error
        name = next(name for name, known in ACTS.items() if known is act)
        self.done.append((name, client.name))


@dataclass
class Stage:
    """The program under test: its pilot, its session and its clock."""

    app: MonitorApp
    pilot: Pilot[None]
    desk: Desk
    clock: list[datetime]

    @property
    def now(self) -> datetime:
        """What the clock shows."""
        return self.clock[0]

    async def pass_time(self, duration: timedelta) -> None:
        """Turn the clock and draw."""
        self.clock[0] += duration
        await self.draw()

    async def hear(self, *events: Event) -> None:
        """Let the server say something, and draw."""
        for event in events:
            self.desk.tell(event)
        await self.draw()

    async def draw(self) -> None:
        """Do what a beat does."""
        self.app.renew()
        await self.pilot.pause()

    async def press(self, *pressed: str) -> None:
        """Press keys, one after the other."""
        for key in pressed:
            await self.pilot.press(key)
        await self.draw()

    def strips(self) -> list[Strip]:
        """The screen as lines of styled text."""
        return self.app.screen._compositor.render_strips()

    def screen(self) -> str:
        """The screen as text."""
        return "".join(f"{strip.text.rstrip()}\n" for strip in self.strips())

    def line(self, pattern: str) -> str:
        """The first line of the screen that matches."""
        for line in self.screen().splitlines():
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line matches {pattern!r}:\n{self.screen()}")

    def selected(self) -> str:
        """The name behind the mark in the list."""
        return self.line("^>").split()[0].removeprefix(">")

    def matches(self, name: str) -> None:
        """Compare the screen with a snapshot."""
        path = SNAPSHOTS / f"monitor-{name}.txt"
        if os.environ.get("MANDOS_NEW_SNAPSHOTS"):
            path.write_text(self.screen(), encoding="utf-8")
        assert self.screen() == path.read_text(encoding="utf-8")


@asynccontextmanager
async def stage(*clients: Client, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Stage]:
    """Run the program over a server that has listed these clients."""
    clock = [NOW]
    desks: list[Desk] = []

    def connect(tell: Callable[[Event], None], fail: Callable[[MandosError], None]) -> Desk:
        desks.append(Desk(tell, fail))
        return desks[0]

    app = MonitorApp(now=lambda: clock[0], zone=UTC, connect=connect)
    async with app.run_test(size=size) as pilot:
        made = Stage(app, pilot, desks[0], clock)
        if clients:
            await made.hear(ServerAppeared(), Listed(clients))
        yield made


async def test_the_usual_screen() -> None:
    """80x24: counts, columns, the list by name, the log and the most important keys."""
    async with stage(*FLEET) as on:
        await on.hear(CheckerStarted("/clients/alpha", "fping"), GotSecret("/clients/web2"))
        await on.pass_time(timedelta(seconds=10))
        on.matches("usual")


async def test_a_request_stands_out() -> None:
    """A line of its own says who asks, what will happen and which keys answer; it is on top."""
    async with stage(*FLEET) as on:
        await on.press("j")
        need = NeedApproval("/clients/web10", 120_000, default=True)
        await on.hear(Changed("/clients/web10", WAITS), need)
        await on.pass_time(timedelta(seconds=3))
        on.matches("request")
        await on.press("r")
        assert "web10 asks: sent in 1:57 unless denied" in on.screen()
        assert on.line("a approve  d deny")
        await on.press("a")
        assert on.desk.done == [("approve", "web10")]
        await on.hear(Changed("/clients/web10", {"ApprovalPending": False}))
        assert "a approve" not in on.screen()
        assert "web10: approved" in on.screen()


async def test_one_key_answers_when_nothing_else_was_selected() -> None:
    """The selection goes to a request by itself, but no key counts before that can be seen."""
    async with stage(*FLEET) as on:
        await on.hear(Changed("/clients/web10", WAITS))
        assert on.selected() == "web10"
        await on.press("d")
        assert on.desk.done == []
        assert "not done: the selection has just moved to web10; press again" in on.screen()
        await on.pass_time(timedelta(seconds=1))
        await on.press("d")
        assert on.desk.done == [("deny", "web10")]


async def test_details() -> None:
    """Enter shows all about the selected client in the log's place, and hides it again."""
    async with stage(*FLEET) as on:
        before = on.screen()
        await on.press("j", "enter")
        on.matches("details")
        await on.press("down", "down")
        assert "Details of web2" in on.screen()
        await on.press("home", "enter")
        assert on.screen() == before


async def test_details_of_a_wide_terminal() -> None:
    """There is room for the list, the details and the log on a large terminal."""
    async with stage(*FLEET, size=(160, 48)) as on:
        await on.press("j", "j", "enter")
        on.matches("wide")


async def test_help_toggles() -> None:
    """? and F1 show all keys on one screen of 80x24, and take them away again."""
    async with stage(*FLEET) as on:
        before = on.screen()
        await on.press("question_mark")
        on.matches("help")
        await on.press("f1")
        assert on.screen() == before
        await on.press("f1", "escape")
        assert on.screen() == before
        await on.press("question_mark", "q")
        assert on.screen() == before


async def test_no_server() -> None:
    """It says that there is no server, waits, and comes back to the same client by itself."""
    async with stage(*FLEET) as on:
        await on.press("j", "j")
        chosen = on.selected()
        await on.hear(ServerVanished())
        on.matches("no-server")
        await on.press("a", "plus", "R", "enter", "enter", "pagedown", "n")
        assert on.desk.done == []
        await on.hear(ServerAppeared(), Listed(FLEET))
        assert on.selected() == chosen


@pytest.mark.parametrize(
    "error",
    [
        NoBusError("cannot connect to the system bus", "start it"),
        AccessDeniedError("the bus does not let you", "use sudo"),
    ],
    ids=["no-bus", "denied"],
)
async def test_why_there_is_nothing(error: MandosError) -> None:
    """Errors are shown in the list's place with their hints; the program goes on."""
    async with stage() as on:
        assert "Looking for the Mandos server" in on.screen()
        if isinstance(error, AccessDeniedError):
            await on.hear(ListingFailed(error))
        else:
            on.desk.fail(error)
            await on.draw()
        for text in (str(error), str(error.hint), WAITING):
            assert on.line(f"^  {re.escape(text)}")


async def test_empty_lists_say_why() -> None:
    """No clients, or none that match, are two things."""
    async with stage(FLEET[0]) as on:
        await on.press("2")
        assert "Esc shows all" in on.screen()
        await on.hear(Listed(()))
        await on.press("escape")
        assert "The server has no clients." in on.screen()


@pytest.mark.parametrize(
    ("key", "act"),
    [
        *(("plus", "enable"), ("minus", "disable"), ("a", "approve"), ("d", "deny")),
        *(("s", "start"), ("S", "stop"), ("C", "checked")),
    ],
)
async def test_keys_of_a_client(key: str, act: str) -> None:
    """Each key of mandos-monitor(8), "Client List Keys", does its thing to the selected client."""
    async with stage(*FLEET) as on:
        await on.press("j", key)
        assert on.desk.done == [(act, "db")]
        assert on.line("^ db").endswith("2 of 5")


@pytest.mark.parametrize("key", ["R", "underscore", "ctrl+k"])
async def test_removing_asks_first(key: str) -> None:
    """Only y removes; any other key keeps the client."""
    async with stage(*FLEET) as on:
        await on.press("j", key)
        assert "Remove db from the server for good?" in on.screen()
        await on.press("R")
        assert "db stays" in on.screen()
        assert on.desk.done == []
        await on.press(key, "y")
        assert on.desk.done == [("remove", "db")]
        await on.press("j")
        assert on.selected() == "stolen"


async def test_the_question_is_about_the_client_that_it_names() -> None:
    """What happens to the list meanwhile does not change who is removed."""
    async with stage(*FLEET) as on:
        await on.press("j", "R")
        await on.hear(Listed(FLEET[:2]))
        await on.press("y")
        assert on.desk.done == [("remove", "db")]


async def test_failures_are_shown_and_kept() -> None:
    """An act that fails says so on the bottom line and in the log."""
    async with stage(*FLEET) as on:
        on.desk.error = NoSuchClientError("the client 'alpha' is gone", "look at the list")
        await on.press("plus")
        assert on.screen().count("the client 'alpha' is gone -- look at the list") == 2


async def test_an_answer_without_a_request_says_what_it_means() -> None:
    """Approving somebody who does not ask holds for a while; that is told."""
    async with stage(*FLEET) as on:
        await on.press("a")
        assert "alpha does not ask now; approved for 1 s should it ask" in on.screen()


@pytest.mark.parametrize(
    ("key", "place"),
    [
        *(("down", 51), ("ctrl+n", 51), ("j", 51), ("up", 49), ("ctrl+p", 49), ("k", 49)),
        *(("pagedown", 62), ("ctrl+v", 62), ("space", 62), ("f", 62)),
        *(("pageup", 38), ("alt+v", 38), ("b", 38)),
        *(("home", 1), ("g", 1), ("end", 200), ("G", 200)),
    ],
)
async def test_moving(key: str, place: int) -> None:
    """Each key of mandos-monitor(8) that moves, by lines and by pages less a line."""
    async with stage(*(client(f"m{number}") for number in range(1, 201))) as on:
        on.app.model.view.select(49)
        await on.press(key)
        assert on.line(f"{place} of 200")
        assert on.selected() == f"m{place}"


async def test_moving_stops_at_the_ends() -> None:
    """Up from the first and down from the last stay there; an empty list has no ends."""
    async with stage(*FLEET) as on:
        await on.press("up")
        assert on.selected() == "alpha"
        await on.press("end", "down", "pagedown")
        assert on.selected() == "web10"
        await on.hear(Listed(()))
        await on.press("down", "up", "home", "end")
        assert on.line("0 of 0")


async def test_moving_in_the_log() -> None:
    """Tab goes to the log, where the same keys scroll; new lines do not move what is read."""
    async with stage(*FLEET) as on:
        for number in range(30):
            on.desk.tell(ClientNotFound(f"KEY{number}", "fe80::1"))
        await on.draw()
        assert "KEY29" in on.screen()
        await on.press("tab", "home")
        assert "KEY0," in on.screen()
        await on.hear(ClientNotFound("KEY30", "fe80::1"))
        assert "KEY0," in on.screen()
        await on.press("a", "plus", "R")
        assert on.desk.done == []
        await on.press("end")
        assert "KEY30" in on.screen()
        await on.hear(ClientNotFound("KEY31", "fe80::1"))
        assert "KEY31" in on.screen()
        await on.press("tab", "j")
        assert on.selected() == "db"


@pytest.mark.parametrize("key", ["l", "D"])
async def test_the_log_can_be_hidden(key: str) -> None:
    """The list takes the room; a hidden log keeps what happens and does not keep the keys."""
    async with stage(*FLEET) as on:
        await on.press("tab", key)
        assert "Log:" not in on.screen()
        await on.hear(GotSecret("/clients/db"))
        await on.press("j")
        assert on.selected() == "db"
        await on.press(key)
        assert "db: was sent its secret" in on.screen()


async def test_long_names_are_cut() -> None:
    """As an old server may have them: in the list, in titles, in the log and in questions."""
    long = client("x" * 200_000, **WAITS)
    async with stage(client("alpha"), long) as on:
        assert on.line(r"x\.\.\. +ASKS ")
        await on.hear(GotSecret(long.path))
        assert on.screen().count("x") < 1000
        await on.press("r", "enter", "d")
        assert on.desk.done == [("deny", long.name)]
        await on.press("R")
        assert "Remove xxx" in on.screen()


@pytest.mark.parametrize("key", ["w", "i"])
async def test_long_lines_are_wrapped_or_cut(key: str) -> None:
    """At first they are wrapped."""
    async with stage(*FLEET) as on:
        await on.hear(ClientNotFound("AB" * 32, "fe80::1"))
        assert "which no client has" in on.screen()
        await on.press(key)
        assert "which no client has" not in on.screen()
        await on.press(key)
        assert "which no client has" in on.screen()


async def test_successful_checks_are_shown_when_wanted() -> None:
    """Those before the key, too."""
    async with stage(*FLEET) as on:
        await on.hear(CheckerCompleted("/clients/db", 0, 0, "fping"))
        assert "checker succeeded" not in on.screen()
        await on.press("v")
        assert "db: checker succeeded: fping" in on.screen()
        await on.press("v")
        assert "checker succeeded" not in on.screen()


async def test_the_log_tells_the_day() -> None:
    """A line with the date stands where a day begins."""
    async with stage(*FLEET) as on:
        await on.pass_time(timedelta(hours=20))
        await on.hear(GotSecret("/clients/db"))
        assert on.line("^2026-11-25$")


async def test_search() -> None:
    """The selection follows what is typed; n goes on, N back, and Enter leaves the line."""
    async with stage(*FLEET) as on:
        await on.press("slash", "w", "e", "b")
        assert on.line("^ search: web")
        assert on.selected() == "web2"
        await on.press("enter", "n")
        assert on.selected() == "web10"
        await on.press("N")
        assert on.selected() == "web2"
        await on.press("slash", "x", "y", "enter")
        assert 'no client has "xy"' in on.screen()
        assert on.selected() == "web2"


async def test_filter() -> None:
    """The list follows what is typed; Escape, or an empty text, shows all again."""
    async with stage(*FLEET) as on:
        await on.press("ampersand", *"web")
        assert on.line("^ filter: web")
        assert 'with "web"' in on.screen()
        await on.press("enter")
        assert on.line("1 of 2")
        await on.press("ampersand", "1", "enter")
        assert on.line("1 of 1")
        await on.press("ampersand", "escape")
        assert on.line("of 5")
        await on.press("ampersand", *"db", "tab", "escape")
        assert on.line("of 5")


async def test_states() -> None:
    """Digits narrow the list to a state; the choice is in brackets."""
    async with stage(*FLEET) as on:
        for key, chosen, shown in (
            ("5", "[5 disabled 1]", "stolen"),
            ("3", "[3 failing 1]", "db"),
            ("4", "[4 enabled 3]", "alpha"),
        ):
            await on.press(key)
            assert chosen in on.screen()
            assert on.selected() == shown
        await on.press("1")
        assert on.line("of 5")


async def test_sorting() -> None:
    """The next column is taken by o, the order turned by O; a sign marks the column."""
    async with stage(*FLEET) as on:
        assert "Name+" in on.screen()
        await on.press("O", "home")
        assert "Name-" in on.screen()
        assert on.selected() == "web10"
        await on.press("o", "home")
        assert "State+" in on.screen()
        assert on.selected() == "db"
        await on.press("o", "o", "o")
        assert "Name+" in on.screen()


async def test_the_mouse() -> None:
    """A click selects a client or a state; the wheel moves, and the selection stays in sight."""
    async with stage(*(client(f"m{number}") for number in range(1, 101))) as on:
        await on.pilot.click("#clients", offset=(5, 4))
        assert on.selected() == "m5"
        await on.pilot._post_mouse_events([MouseScrollDown], "#clients")
        await on.draw()
        assert on.selected() == "m8"
        await on.pilot._post_mouse_events([MouseScrollUp], "#clients")
        await on.draw()
        assert on.selected() == "m5"
        await on.pilot.click("#summary", offset=(60, 0))
        await on.draw()
        assert "[5 disabled 0]" in on.screen()


async def test_the_terminals_cursor_is_on_the_selection() -> None:
    """Screen readers and Braille displays follow the terminal's cursor."""
    async with stage(*FLEET) as on:
        await on.press("j", "j")
        lines = on.screen().splitlines()
        assert lines[on.app.cursor_position.y].startswith(">stolen")
        assert on.app.cursor_position.x == 0


async def test_colours_can_be_read_anywhere() -> None:
    """Red and magenta at most, never on a colour of our own; what they say is in words too."""
    asks = client("asks", **WAITS)
    async with stage(*FLEET, asks, client("late", Expires=date(NOW + MINUTE))) as on:
        await on.press("j")
        styles = [segment.style for strip in on.strips() for segment in strip if segment.style]
        colours = {style.color.name for style in styles if style.color}
        assert colours == {"red", "magenta"}
        assert {style.bgcolor.name for style in styles if style.bgcolor} <= {"default"}
        for word in ("ASKS", "FAILING", "LATE", "disabled"):
            assert word in on.screen()


@pytest.mark.parametrize(
    "keys_pressed", [(), ("enter",), ("question_mark",), ("slash", "x"), ("R",)]
)
async def test_without_colours(
    monkeypatch: pytest.MonkeyPatch, keys_pressed: tuple[str, ...]
) -> None:
    """NO_COLOR leaves the same text, without any colour."""
    async with stage(*FLEET) as on:
        await on.press("j", *keys_pressed)
        with_colours = on.screen()
    monkeypatch.setenv("NO_COLOR", "1")
    async with stage(*FLEET) as on:
        await on.press("j", *keys_pressed)
        assert on.screen() == with_colours
        assert on.app.no_color


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (40, 12), (60, 20), (200, 60)])
async def test_any_size(size: tuple[int, int]) -> None:
    """No terminal is too small to go on; 40 columns still show name, state and time left."""
    async with stage(*FLEET, client("asks", **WAITS), size=size) as on:
        await on.press(
            "j", "enter", "enter", "slash", "x", "escape", "question_mark", "escape", "R"
        )
        await on.press("n")
        if size == (40, 12):
            on.matches("small")


async def test_ten_thousand_clients_are_drawn_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn does not depend on how many there are: only the lines in sight are made."""
    async with stage(*(client(f"m{number}") for number in range(10_000))) as on:
        drawn = Mock(wraps=on.app._clients._line)
        monkeypatch.setattr(on.app._clients, "_line", drawn)
        await on.press("end")
        assert on.selected() == "m9999"
        assert 0 < drawn.call_count < 200


async def test_quitting() -> None:
    """Each key of mandos-monitor(8) that quits does, with status 0."""
    for key in ("q", "Q", "ctrl+c"):
        async with stage(*FLEET) as on:
            await on.pilot.press(key)
            assert not on.app.is_running or on.app._exit
            assert (on.app.return_code or 0) == 0


async def test_redrawing() -> None:
    """Ctrl-L draws the same screen again."""
    async with stage(*FLEET) as on:
        before = on.screen()
        await on.press("ctrl+l")
        assert on.screen() == before


async def test_a_request_rings_the_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks elsewhere hears that a client asks."""
    rung = []
    monkeypatch.setattr(MonitorApp, "bell", lambda _: rung.append(1))
    async with stage(*FLEET) as on:
        await on.hear(GotSecret("/clients/db"))
        assert not rung
        await on.hear(NeedApproval("/clients/db", 1000, default=True))
        assert rung


def test_all_keys_are_in_the_help_and_the_manual() -> None:
    """Neither forgets a key."""
    told = "\n".join(help_lines())
    page = MANUAL.replace("\\-", "-").replace('"', "")
    for key in (*keys.GLOBAL, *keys.MOVES, *keys.CLIENT):
        assert key.shown in told
        assert key.words in told
        for word in key.shown.split():
            assert re.search(rf"(^|[ ,]){re.escape(word)}([ ,]|$)", page, re.MULTILINE), word


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from mandos.admin.monitor.main import main; status = main(); "
        "assert 'textual' not in sys.modules; sys.exit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


def test_help_and_version_start_fast() -> None:
    """They load nothing of what draws."""
    for words, shown in (("--help", "usage: mandos-monitor"), ("--version", "mandos-monitor ")):
        done = _run(words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(shown)


def test_wrong_command_lines() -> None:
    """There are no arguments; what is wrong is said with the way out."""
    done = _run("clients")
    assert done.returncode == UsageError.exit_code
    assert done.stderr.splitlines() == [
        "mandos-monitor: unrecognized argument: clients",
        "mandos-monitor: hint: see mandos-monitor --help",
    ]


def test_without_a_terminal() -> None:
    """Scripts are told of mandos-ctl."""
    done = _run()
    assert done.returncode == MachineError.exit_code
    assert "not all a terminal" in done.stderr
    assert "mandos-ctl --watch" in done.stderr
    assert main.USAGE


async def test_problems_of_other_servers_stand_on_the_bottom_line() -> None:
    """In place of the keys, as long as they last; a key's effect comes before them."""
    values = {"DatabaseState": "connected; it is late", "ServerName": "own", "Servers": []}
    async with stage(*FLEET) as on:
        await on.hear(ServerChanged(values))
        assert on.line("^ it is late")
        await on.press("o")
        assert on.line("^ sorted by")
        await on.hear(ServerChanged({"DatabaseState": "connected"}))
        await on.pass_time(timedelta(seconds=9))
        assert on.line("^ q quit")
