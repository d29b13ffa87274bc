# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of honest clients that a server answers in a second, and the worst wait, under attack.

``under_attack.py [ROUNDS]``.  In each round the same server is asked without an attack, then beside
each kind.  The attackers are processes of their own on the same processors: part of the loss is
the work that they do themselves.  The exit status says whether every honest request was answered.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.families import ours
from harness.figures import Figures, spread
from harness.fleet import PORT, fleet
from harness.keys import TLS_KEY_TYPES
from mandos.tls.limits import RSA_BITS
from server_load import asker, asking, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.host import Host
    from harness.keys import Credentials
    from server_load import Answer, Bench

    Ask = Callable[[int, int, int], Answer]

ROUNDS = 3
SECONDS = 3.0
#: Honest clients at once; connections of an attacker, who has more of them when they are silent.
HONEST, HOSTILE, SILENT = 8, 64, 2000
#: Different keys of the attacker who floods the server with unknown ones.
UNKNOWN = 4
#: More requests than anybody makes in the time.
_ENDLESS = 1_000_000
#: Addresses of the attacker; of many that he makes up, and of many in the honest clients' network.
#: They are the server's own: a connection to one of them comes from there.
OWN, MADE_UP, NEAR = "fd00:bad::1", "fd00:bad::1:{}", "::2:{}"
#: How many he makes up.
ADDRESSES = 16
_STRANGERS = Path(__file__).with_name("load") / "strangers.py"
_ALONE = "without an attack"


class Attack(NamedTuple):
    """What attacks: programs that run until they are killed, and whether they say "ready"."""

    name: str
    programs: Sequence[Sequence[str]]
    announced: bool = False


def _bench(bench: Bench) -> None:
    """Print the table."""
    honest, holder = bench.credentials("honest"), bench.credentials("holder")
    clients = f"[DEFAULT]\nchecker = true\n\n{honest.section}\n{holder.section}"
    running = bench.stack.enter_context(fleet(ours(), clients))
    running.start()
    _give_addresses(running.host)
    attacks = _attacks(running.host, bench, holder)
    ask = asking(running.host, bench.folder, honest, SECONDS)
    _show(bench.figures, _measure(running.host, ask, attacks, bench.rounds))
    bench.figures.show("memory of the server: MB, share, peak", str(running.memory))


def _give_addresses(host: Host) -> None:
    numbered = [
        name.format(number) for name in (MADE_UP, NEAR) for number in range(1, ADDRESSES + 1)
    ]
    for address in (OWN, *numbered):
        host.run("ip", "address", "add", f"{address}/128", "dev", "lo", "nodad")


def _attacks(host: Host, bench: Bench, holder: Credentials) -> list[Attack]:
    def strangers(kind: str, count: int) -> list[Sequence[str]]:
        limit = ("prlimit", "--nofile=8192", sys.executable, "-I", str(_STRANGERS))
        return [(*limit, kind, OWN, str(PORT), str(count))]

    def askers(at_once: int, *keys: Credentials, address: str = OWN) -> list[Sequence[str]]:
        how_much = (str(at_once), str(_ENDLESS), "0", "0")
        return [(*asker(host, bench.folder, key, address), *how_much) for key in keys]

    def everywhere(addresses: str) -> list[Sequence[str]]:
        programs = []
        for number in range(1, ADDRESSES + 1):
            key, address = unknown[number % UNKNOWN], addresses.format(number)
            programs += askers(HOSTILE // ADDRESSES, key, address=address)
        return programs

    largest = _largest(holder)
    unknown = [bench.credentials(f"unknown-{number}") for number in range(UNKNOWN)]
    return [
        Attack(f"{SILENT} silent connections", strangers("silent", SILENT), announced=True),
        Attack(f"{HOSTILE} that send garbage", strangers("garbage", HOSTILE), announced=True),
        Attack(f"{HOSTILE} with unknown keys", askers(HOSTILE // UNKNOWN, *unknown)),
        Attack(f"{HOSTILE} with unknown keys, from {ADDRESSES} addresses", everywhere(MADE_UP)),
        Attack(f"{HOSTILE} from {ADDRESSES} addresses of the clients' network", everywhere(NEAR)),
        Attack(
            f"{HOSTILE} from the clients' address",
            askers(HOSTILE // UNKNOWN, *unknown, address="::1"),
        ),
        Attack(f"{HOSTILE} with a live client's key", askers(HOSTILE, holder)),
        Attack(f"{HOSTILE} with RSA keys of {RSA_BITS} bits", askers(HOSTILE, largest)),
    ]


def _largest(holder: Credentials) -> Credentials:
    """The same client with the largest TLS key that is permitted, which no server knows."""
    TLS_KEY_TYPES["largest"] = ("--key-type", "rsa", "--bits", str(RSA_BITS))
    return holder.with_tls_key("largest")


def _measure(
    host: Host, ask: Ask, attacks: Sequence[Attack], rounds: int
) -> dict[str, list[Answer]]:
    taken: dict[str, list[Answer]] = {name: [] for name in (_ALONE, *(a.name for a in attacks))}
    for _round in range(rounds):
        taken[_ALONE].append(ask(_ENDLESS, HONEST, 0))
        for attack in attacks:
            with _under(host, attack):
                taken[attack.name].append(ask(_ENDLESS, HONEST, 0))
    return taken


@contextmanager
def _under(host: Host, attack: Attack) -> Iterator[None]:
    with ExitStack() as stack:
        processes = [stack.enter_context(host.start(*program)) for program in attack.programs]
        for process in processes if attack.announced else ():
            process.wait_for("^ready$")
        yield
        for process in processes:
            if not process.running:
                sys.exit(process.report("the attacker has ended"))


def _show(figures: Figures, taken: dict[str, list[Answer]]) -> None:
    alone = [answer.rate for answer in taken[_ALONE]]
    title = f"{HONEST} honest clients at once, {len(alone)} times {SECONDS:g} s beside each attack"
    figures.title(title)
    for name, answers in taken.items():
        rates = [answer.rate for answer in answers]
        figures.show(f"{name}: requests in a second", spread(rates))
        if name != _ALONE:
            shares = [rate / before for rate, before in zip(rates, alone, strict=True)]
            figures.show("  share of the rate without an attack", spread(shares))
        figures.show("  worst wait in seconds", spread([answer.worst for answer in answers]))
        figures.hold("  requests that failed", [sum(answer.failed for answer in answers)], 0)


if __name__ == "__main__":
    if missing := [name for name in ("gcc", "prlimit", "certtool") if not shutil.which(name)]:
        sys.exit(f"bench: not installed: {', '.join(missing)}")
    sys.exit(run(_bench, ROUNDS))
