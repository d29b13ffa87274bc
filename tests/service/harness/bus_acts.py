# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acts on a server over its bus, each recorded with its answer and the signals that came of it.

The same acts are done to both families; what they recorded can then be compared.  A date is
recorded as a Moment, since the two cannot act at the same microsecond, nor at the same speed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dbus_fast import MessageType, Variant

from harness.bus import PROPERTIES, BusPeer, UnheardError, start_system_bus
from harness.bus_server import BusServer
from harness.families import Family, ours
from harness.host import Host
from harness.keys import Credentials
from harness.peers import start_client
from harness.process import Process

MANDOS, CLIENT = "se.recompile.Mandos", "se.recompile.Mandos.Client"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
_ADDRESS = re.compile(r"fe80:[0-9a-f:]+")
#: Seconds within which two moments to come are the same: as far as the two may be apart on a busy
#: machine, and less than any time that the acts know.
_TOLERANCE = 300.0
#: Seconds that the reference needs until a request really waits.
_DEAF = 1.5
#: How often the reference may play.  What one of its children says as the last thing before it
#: ends (that a request waits no more, say) is lost now and then when the machine is busy, for
#: good; black-box runs under load show it.
_ATTEMPTS = 5
#: Seconds between two acts.  A timeout of 1 ms makes dates that are so much later than a check;
#: they belong to the act of that check, however quickly it ended.
_APART = 0.002

#: The acts so far, each with the time when it began.
Begun = Sequence[tuple[str, datetime]]


@dataclass(frozen=True, eq=False)
class Moment:
    """A date: the act in which it was, if that has begun, and seconds from the present act."""

    act: str | None
    offset: float

    @classmethod
    def of(cls, date: datetime, begun: Begun) -> Moment:
        """What a date is to the acts that have begun, the present one last."""
        offset = (date - begun[-1][1]).total_seconds()
        if date > datetime.now(UTC):
            return cls(None, offset)
        return cls([name for name, began in begun if began <= date][-1], offset)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Moment) or self.act != other.act:
            return False
        return self.act is not None or abs(self.offset - other.offset) < _TOLERANCE

    __hash__ = None  # type: ignore[assignment]  # equality is not transitive

    def __repr__(self) -> str:
        return f"<{self.offset:+.0f} s>" if self.act is None else f"<in {self.act!r}>"


def normal(value: Any, begun: Begun) -> Any:  # noqa: ANN401 - whatever D-Bus carries
    """A value with its types, that can be compared with another run's."""
    match value:
        case Variant():
            return (value.signature, normal(value.value, begun))
        case dict():
            return {key: normal(one, begun) for key, one in value.items()}
        case list() | tuple():
            return [normal(one, begun) for one in value]
        case str() if _DATE.fullmatch(value):
            return Moment.of(datetime.fromisoformat(value).replace(tzinfo=UTC), begun)
        case str() if _ADDRESS.fullmatch(value):
            return "ADDRESS"
    return value


@dataclass(frozen=True)
class Heard:
    """A signal that can be compared."""

    path: str
    interface: str
    member: str
    body: list[Any]

    def __str__(self) -> str:
        return f"{self.path} {self.interface.rpartition('.')[2]}.{self.member} {self.body}"


@dataclass
class Recorded:
    """What came of an act."""

    answer: Any = None
    signals: list[Heard] = field(default_factory=list)


class Stage:
    """A server with clients that may ask it for secrets."""

    def __init__(
        self, server: BusServer, peer: BusPeer, client: Host, keys: dict[str, Credentials]
    ) -> None:
        self.server = server
        self.peer = peer
        self.client = client
        self.keys = keys
        self.asking: dict[str, Process] = {}
        self._begin = 0
        self._begun: list[tuple[str, datetime]] = []

    async def heard(self, member: str, *values: object, path: str | None = None) -> None:
        """Wait for a signal of this act."""
        await self.peer.heard(member, *values, path=path, after=self._begin)

    async def changed(self, path: str, name: str, value: object) -> None:
        """Wait for a property's change in this act."""
        await self.heard("PropertiesChanged", CLIENT, {name: value}, path=path)

    async def call(
        self, path: str, interface: str | None, member: str, signature: str = "", *body: object
    ) -> Any:  # noqa: ANN401 - by signature
        """The answer, with its types, or the error's name."""
        answer = await self.peer.send(path, interface, member, signature, *body)
        if answer.message_type is MessageType.ERROR:
            return answer.error_name
        return (answer.signature, answer.body)

    async def give_verdict(self, name: str, *, approved: bool) -> Any:  # noqa: ANN401 - see call
        """Approve or deny a client that waits."""
        path = f"/clients/{name}"
        if self.server.family.name == "reference":
            # It hangs, or hears nothing, for a while after it has said that approval is needed,
            # and nothing tells when that is over.
            await asyncio.sleep(_DEAF)
        answer = await self.call(path, CLIENT, "Approve", "b", approved)
        await self.heard("GotSecret" if approved else "Rejected", path=path)
        await self.changed(path, "ApprovalPending", value=False)
        return answer

    async def get(self, path: str, name: str, interface: str = CLIENT) -> Any:  # noqa: ANN401
        """A property."""
        return await self.call(path, PROPERTIES, "Get", "ss", interface, name)

    async def set(
        self, path: str, name: str, signature: str, value: object, interface: str = CLIENT
    ) -> Any:  # noqa: ANN401
        """Set a property."""
        variant = Variant(signature, value)
        return await self.call(path, PROPERTIES, "Set", "ssv", interface, name, variant)

    async def ask(self, name: str, *, number: int = 1) -> None:
        """Let a client ask for its secret, once."""
        self.asking[f"{name}-{number}"] = start_client(
            self.client,
            ours(),
            self.keys[name],
            connect=self.server.address,
            options=("--retry", "3600"),
        )

    async def served(self, name: str, *, number: int = 1) -> bytes:
        """What a client that asked has got, once it has ended."""
        client = self.asking[f"{name}-{number}"]
        status = await asyncio.to_thread(client.wait)
        assert status == 0, client.report("no secret")
        return client.stdout

    def hang_up(self, name: str, *, number: int = 1) -> None:
        """Let a client that asks go away."""
        self.asking[f"{name}-{number}"].end()

    async def play(self, name: str, act: Callable[[Stage], Awaitable[Any]]) -> Recorded:
        """Do an act, return what came of it; a failure says where it was, and the server's log."""
        try:
            return await self._record(name, act)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"in the act {name!r} on the server of {self.server.family.name}")
            error.add_note("\n".join(self.server.log[-30:]))
            raise

    async def _record(self, name: str, act: Callable[[Stage], Awaitable[Any]]) -> Recorded:
        await asyncio.sleep(_APART)
        self._begin = len(self.peer.signals)
        self._begun.append((name, datetime.now(UTC)))
        answer = await act(self)
        if self.peer.owner:  # what was sent before this answer has come when it has
            await self.peer.call("/", MANDOS, "GetAllClients")
        heard = [
            Heard(one.path, one.interface, one.member, normal(one.body, self._begun))
            for one in self.peer.signals[self._begin :]
        ]
        return Recorded(normal(answer, self._begun), heard)


async def play(
    family: Family,
    clients: str,
    keys: dict[str, Credentials],
    acts: dict[str, Callable[[Stage], Awaitable[Any]]],
) -> dict[str, Recorded]:
    """Do all acts, from the server's start to its end, on hosts of their own."""
    attempts = _ATTEMPTS if family.name == "reference" else 1
    while True:
        attempts -= 1
        try:
            with Host("server") as host, Host("client") as client:
                host.connect(client)
                start_system_bus(host)
                server = BusServer(host, family, clients)
                async with BusPeer.connect(host) as peer:
                    stage = Stage(server, peer, client, keys)
                    return {name: await stage.play(name, act) for name, act in acts.items()}
        except (UnheardError, TimeoutError):
            if not attempts:
                raise


def another(keys: Credentials, name: str) -> Credentials:
    """A client of another name with a TLS key of its own."""
    there = f"{keys.directory}-{name}"
    maker = keys.maker
    if not maker.path(there).exists():
        maker.run("cp", "-a", keys.directory, there)
        private = f"{there}/tls-privkey.pem"
        maker.run("certtool", "--generate-privkey", "--key-type=ed25519", "--no-text",
                  "--outfile", private)  # fmt: skip
        maker.run("certtool", "--load-privkey", private, "--pubkey-info", "--no-text",
                  "--outfile", f"{there}/tls-pubkey.pem")  # fmt: skip
    changed = replace(keys, directory=there, name=name)
    section = keys.section.replace(keys.key_id, changed.key_id)
    return replace(changed, section=section.replace(f"[{keys.name}]", f"[{name}]"))
