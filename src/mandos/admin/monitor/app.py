# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program's screen: wires the model, the session and the widgets."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from textual.app import App
from textual.binding import Binding
from textual.containers import Container

from mandos.admin.monitor import keys
from mandos.admin.monitor.acts import ACTS
from mandos.admin.monitor.client_list import ClientList
from mandos.admin.monitor.column_titles import ColumnTitles
from mandos.admin.monitor.details import Details
from mandos.admin.monitor.help import HelpScreen
from mandos.admin.monitor.log_pane import LogPane
from mandos.admin.monitor.model import Model
from mandos.admin.monitor.prompt import Prompt
from mandos.admin.monitor.question import Question
from mandos.admin.monitor.request_bar import RequestBar
from mandos.admin.monitor.session import MonitorSession
from mandos.admin.monitor.status import Status
from mandos.admin.monitor.summary import Summary
from mandos.admin.monitor.title_bar import TitleBar
from mandos.admin.monitor.view import Order, Show
from mandos.admin.signals import Listed, NeedApproval
from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from mandos.admin.client import Client
    from mandos.admin.monitor.acts import Act
    from mandos.admin.monitor.row import ClientRow
    from mandos.admin.signals import Event

    Connect = Callable[[Callable[[Event], None], Callable[[MandosError], None]], "Following"]

#: How often the screen is drawn while things happen, and how often else: times go on.
_BEAT: Final = 0.2  # seconds
_SECOND: Final = 5  # beats
_SEARCH, _FILTER = "search", "filter"


class Following(Protocol):
    """The part of a session that the app needs."""

    async def run(self) -> None:
        """Follow the server."""

    async def do(self, act: Act, client: Client) -> None:
        """Do something with a client."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MonitorApp(App[None]):
    """mandos-monitor; clock, zone and session are the real ones unless a test has others."""

    CSS_PATH = "monitor.tcss"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-middle"), (45, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.names, key.action, key.words, priority=key.urgent) for key in keys.GLOBAL
    ]

    def __init__(
        self,
        now: Callable[[], datetime] = _utc_now,
        zone: tzinfo | None = None,
        connect: Connect = MonitorSession,
    ) -> None:
        # Said here too: without colours, Textual chooses before it knows the theme.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.now = now
        self.model = Model()
        self.session = connect(self.hear, self.fail)
        self._searched = ""
        self._beats = 0
        self._summary = Summary(self.model, now, zone)
        self._request = RequestBar(self.model, now)
        self._clients = ClientList(self.model, now)
        self._titles = ColumnTitles(self.model, self._clients)
        self._details = Details(self.model, now, zone)
        self._details_title = TitleBar(self._details, id="details-title")
        self._log_pane = LogPane(self.model.messages, zone, id="log")
        self._log_title = TitleBar(self._log_pane, id="log-title")
        self._status = Status(self.model, now)
        self._prompt = Prompt()
        self._question = Question()

    def compose(self) -> ComposeResult:
        """From top to bottom; the details are beside the list where there is room."""
        yield self._summary
        yield self._request
        with Container(id="upper"):
            with Container(id="list-side"):
                yield self._titles
                yield self._clients
            with Container(id="details-side"):
                yield self._details_title
                yield self._details
        with Container(id="log-side"):
            yield self._log_title
            yield self._log_pane
        yield self._status
        yield self._prompt
        yield self._question

    def on_mount(self) -> None:
        """Begin to follow the server."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
        self._clients.focus()
        self.renew()
        self.set_interval(_BEAT, self._beat)
        self.run_worker(self.session.run(), exit_on_error=True)

    def hear(self, event: Event) -> None:
        """Take an event from the server; the next beat draws it."""
        self.model.apply(event, self.now())
        if isinstance(event, NeedApproval):
            self.bell()
        elif isinstance(event, Listed):
            self.renew()

    def fail(self, error: MandosError) -> None:
        """Say why there is no server."""
        self.model.fail(error, self.now())

    def renew(self) -> None:
        """Draw everything as the model has it now."""
        self.model.arrange(self.now())
        self._clients.renew()
        self._titles.refresh()
        self._log_pane.catch_up()
        self._after_move()

    def _beat(self) -> None:
        self._beats += 1
        if self.model.changed or self._beats % _SECOND == 0:
            self.renew()

    def _after_move(self) -> None:
        """Draw the parts that depend on the selection."""
        self._summary.refresh()
        self._request.renew()
        self._status.refresh()
        if self.screen_stack[0].has_class("-details"):
            self._details.renew()
            self._details_title.refresh()

    def say(self, text: str) -> None:
        """Say something on the bottom line for a while."""
        self._status.say(text)

    def on_descendant_focus(self) -> None:
        """Show which window takes the keys."""
        self._clients.refresh()
        self._log_title.refresh()
        self._details_title.refresh()

    def on_client_list_moved(self) -> None:
        """Follow the selection."""
        self._after_move()

    def on_client_list_wanted(self, wanted: ClientList.Wanted) -> None:
        """Do something with the selected client, unless it was not chosen by anybody."""
        row = self.model.view.selected
        if row is None:
            self.say("there is no client to do that with")
        elif not self.model.view.settled(self.now()):
            self.say(f"not done: the selection has just moved to {row.name}; press again")
        elif wanted.act == "remove":
            self.model.view.keep()
            self._question.ask(row)
            self._status.display = False
        else:
            self._do(wanted.act, row)

    def on_question_answered(self, answer: Question.Answered) -> None:
        """Remove the client, or not."""
        self._question.display = False
        self._status.display = True
        self._clients.focus()
        if answer.yes:
            self._do("remove", answer.row)
        else:
            self.say(f"{answer.row.name} stays")

    def _do(self, name: str, row: ClientRow) -> None:
        if not ACTS[name].answers:
            self.model.view.keep()
        self.run_worker(self._call(name, row))

    async def _call(self, name: str, row: ClientRow) -> None:
        act = ACTS[name]
        try:
            await self.session.do(act, row.client)
        except MandosError as error:
            text = self.model.refuse(error, self.now())
        else:
            text = act.words(row.client)
        self.say(text)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen())

    def action_toggle_log(self) -> None:
        """Show or hide the log."""
        self._toggle("-no-log", self._log_pane)

    def action_toggle_details(self) -> None:
        """Show or hide the details."""
        self._toggle("-details", self._details)
        self._after_move()

    def _toggle(self, name: str, window: LogPane | Details) -> None:
        """Toggle a class of the screen that shows or hides a window, which may have the focus."""
        if window.has_focus:
            self._clients.focus()
        self.screen.toggle_class(name)

    def action_toggle_wrap(self) -> None:
        """Wrap or cut the log's lines."""
        self._log_pane.wrap = not self._log_pane.wrap
        self._renew_log()

    def action_toggle_verbose(self) -> None:
        """Show successful checks in the log, or hide them."""
        self._log_pane.verbose = not self._log_pane.verbose
        self._renew_log()

    def _renew_log(self) -> None:
        self._log_pane.renew()
        self._log_title.refresh()
        self.say(self._log_pane.title[0])

    def action_next_request(self) -> None:
        """Select the next client that asks."""
        if self.model.view.next_request(self.now()) is None:
            self.say("no client asks for its secret now")
        self._clients.focus()
        self.renew()

    def action_show(self, show: str) -> None:
        """Narrow the list to a state."""
        self.model.view.narrow(self.now(), show=Show(show))
        self.renew()

    def action_order(self) -> None:
        """Sort by the next column."""
        orders = list(Order)
        order = orders[(orders.index(self.model.view.order) + 1) % len(orders)]
        self._sort(order, backward=False)

    def action_turn(self) -> None:
        """Sort the other way round."""
        view = self.model.view
        self._sort(view.order, backward=not view.backward)

    def _sort(self, order: Order, *, backward: bool) -> None:
        self.model.view.sort(self.now(), order, backward=backward)
        self.renew()
        self.say(f"sorted by {order.value.lower()}{', backward' if backward else ''}")

    def action_reset(self) -> None:
        """Show all clients, and let the selection follow requests."""
        self.model.view.reset(self.now())
        self.renew()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Whether a key may do this now: in a text, and over the help, these keys are letters."""
        free = len(self.screen_stack) == 1 and not self._prompt.display
        return free and not self._question.display if action in ("search", "filter") else True

    def action_search(self) -> None:
        """Ask for the text to search for."""
        self._open_prompt(_SEARCH, "")

    def action_filter(self) -> None:
        """Ask for the text to filter by."""
        self._open_prompt(_FILTER, self.model.view.text)

    def action_search_on(self, step: int) -> None:
        """Search the same text again."""
        if not self._searched:
            self.say("nothing was searched for: / does that")
        elif not self.model.view.search(self._searched, step=step):
            self.say(f'no client has "{self._searched}"')
        self.renew()

    def _open_prompt(self, purpose: str, text: str) -> None:
        self._status.display = False
        self._prompt.open(purpose, text)

    def on_prompt_typed(self, typed: Prompt.Typed) -> None:
        """Search or filter as far as it is typed."""
        if typed.purpose == _FILTER:
            self.model.view.narrow(self.now(), text=typed.text)
        elif typed.text:
            self._searched = typed.text
            found = self.model.view.search(typed.text, here=True)
            if typed.done and not found:
                self.say(f'no client has "{typed.text}"')
        if typed.done:
            self._prompt.display = False
            self._status.display = True
            self._clients.focus()
        self.renew()

    def action_redraw(self) -> None:
        """Draw the screen anew, over any output of other programs."""
        self.screen.refresh(layout=True, repaint=True)
        self.renew()
