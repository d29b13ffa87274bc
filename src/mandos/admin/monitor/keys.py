# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key, once: for the programs's bindings, its help and the manual page.

Keys of the reference's mandos-monitor(8) are all here and do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Key:
    """Keys that do one thing: Textual's names, as people write them, the action, and its words.

    One that is ``urgent`` acts before the next key is looked at, which may be part of a text.
    """

    names: str
    shown: str
    action: str
    words: str
    urgent: bool = False


#: Keys that work everywhere.
GLOBAL: Final = (
    Key("q,Q,ctrl+c", "q Q", "quit", "quit"),
    Key("question_mark,f1", "? F1", "help", "show or hide this help"),
    Key("l,D", "l D", "toggle_log", "show or hide the log"),
    Key("w,i", "w i", "toggle_wrap", "wrap or cut long log lines"),
    Key("v", "v", "toggle_verbose", "log successful checks too"),
    Key("enter", "Enter", "toggle_details", "show or hide details"),
    Key("tab", "Tab", "app.focus_next", "go to the next window"),
    Key("r", "r", "next_request", "go to the next request"),
    Key("slash", "/", "search", "search for a name or host", urgent=True),
    Key("n", "n N", "search_on(1)", "search on, or backward"),
    Key("N", "", "search_on(-1)", ""),
    Key("ampersand", "&", "filter", "show only those with a text", urgent=True),
    Key("o", "o O", "order", "sort by next column, turn"),
    Key("O", "", "turn", ""),
    Key("escape", "Esc", "reset", "show all, follow requests"),
    Key("1", "1 .. 5", "show('all')", "all, or one state only"),
    Key("2", "", "show('asks')", ""),
    Key("3", "", "show('failing')", ""),
    Key("4", "", "show('enabled')", ""),
    Key("5", "", "show('disabled')", ""),
    Key("ctrl+l", "Ctrl-L", "redraw", "draw the screen anew"),
    Key("ctrl+z", "", "suspend_process", ""),
)
#: Keys that move in the list, the log and the details.
MOVES: Final = (
    Key("up,ctrl+p,k", "Up k Ctrl-P", "go_up", "up a line"),
    Key("down,ctrl+n,j", "Down j Ctrl-N", "go_down", "down a line"),
    Key("pageup,alt+v,b", "PgUp b Meta-V", "go_page_up", "up a page"),
    Key("pagedown,ctrl+v,space,f", "PgDn f Space Ctrl-V", "go_page_down", "down a page"),
    Key("home,g", "Home g", "go_first", "to the start"),
    Key("end,G", "End G", "go_last", "to the end"),
)
#: Keys that do something with the selected client, in the list.
CLIENT: Final = (
    Key("a", "a", "act('approve')", "approve its request"),
    Key("d", "d", "act('deny')", "deny its request"),
    Key("plus", "+", "act('enable')", "enable"),
    Key("minus", "-", "act('disable')", "disable"),
    Key("s", "s", "act('start')", "start a checker"),
    Key("S", "S", "act('stop')", "stop its checker"),
    Key("C", "C", "act('checked')", "count as found alive"),
    Key("R,underscore,ctrl+k", "R _ Ctrl-K", "remove", "remove, after a question"),
)
