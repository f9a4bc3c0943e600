"""A rolling restart under load: two workers are replaced, and no client misses a message or gets one twice.

Each client speaks the protocol of docs/reference/protocol.md. It says where it was, comes back when it is asked to, and
sends again what nobody has answered. At the end, all clients of a room must have heard the same, and each message once.
"""

import asyncio
import json
import random
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ..support.redis_server import running_redis
from ..support.served import Served, serving
from .limits import raise_limit_on_files

ROOM = 20
"""Clients in a room."""

AT_ONCE = 50
"""Clients that connect at the same moment, at the start."""

PATIENCE = 60.0
"""Seconds that clients may take to hear everything."""

ERROR = re.compile(r"^[\w.]+(?:Error|Exception)\b.*", re.MULTILINE)
"""The last line of a traceback."""

HINT = re.compile(r"retry=([\d.]+)-([\d.]+)")


@dataclass
class Rolling:
    """What came out.

    Attributes:
        counts: of messages, and of what became of connections.
        seconds: how long it took to replace the workers.
        wrong: what is wrong; nothing, if all is well.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Client:
    """One member of a room.

    Args:
        port: the server's.
        room: the room's number.
        counts: where to count.

    Attributes:
        heard: the texts of the room's messages, in order.
        waiting: what it has said and nobody has answered, by id.
    """

    def __init__(self, port: int, room: int, counts: Counter[str]) -> None:
        self.room = room
        self.heard: list[str] = []
        self.waiting: dict[str, str] = {}
        self.joined = asyncio.Event()
        self._counts = counts
        self._url = f"ws://127.0.0.1:{port}/{room}"
        self._key = secrets.token_urlsafe(16)
        self._position: str | None = None
        self._said = 0
        self._socket: ClientConnection | None = None  # once it has joined

    async def live(self) -> None:
        """Be connected, until this is cancelled."""
        while True:
            low, high = 0.5, 2.0
            try:
                close = await self._connection()
            except (OSError, InvalidHandshake) as error:
                self._counts[f"handshakes refused: {type(error).__name__}"] += 1
            else:
                self._counts[f"closed: {close}"] += 1
                if hint := HINT.search(close):
                    low, high = map(float, hint.groups())
            await asyncio.sleep(random.uniform(low, high))

    async def say(self) -> None:
        """Say something to the room."""
        self._said += 1
        number, text = str(self._said), f"{self._key} {self._said}"
        self.waiting[number] = text
        self._counts["messages said"] += 1
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._send(self._socket, number, text)

    async def _send(self, socket: ClientConnection, number: str, text: str) -> None:
        await socket.send(json.dumps({"type": "say", "text": text, "id": number}))

    async def _connection(self) -> str:
        """Live through one connection; return its close code and reason."""
        query = {"client": self._key} | ({"since": f"room:{self._position}"} if self._position else {})
        async with connect(
            f"{self._url}?{urlencode(query)}", proxy=None, compression=None, ping_interval=None
        ) as socket:
            try:
                async for frame in socket:
                    await self._on_message(socket, json.loads(frame))
            except ConnectionClosed:
                pass
            finally:
                self._socket = None
                self.joined.clear()
        return f"{socket.close_code} {socket.close_reason}".strip()

    async def _on_message(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        match message:
            case {"type": "joined", "recovered": recovered, "missed": missed, "position": position}:
                if self._position is not None:
                    self._counts["connections resumed"] += 1
                    self._counts["messages caught up with"] += missed
                    self._counts["gaps"] += not recovered
                if not missed:
                    self._position = position
                self._socket = socket
                self.joined.set()
                for number, text in list(self.waiting.items()):
                    self._counts["messages sent again"] += bool(self.heard)
                    await self._send(socket, number, text)
            case {"type": "said", "text": text, "at": [_, position]}:
                self.heard.append(text)
                self._position = position
            case {"type": "ack", "to": number}:
                self.waiting.pop(number, None)
            case _:
                self._counts[f"unexpected: {message['type']}"] += 1


async def rolling_restart(clients: int, rate: float, seconds: float, say: Callable[[str], object]) -> Rolling:
    """Let clients talk, replace the workers meanwhile, and compare what the clients have heard.

    Args:
        clients: how many.
        rate: messages that are said in a second, by all of them.
        seconds: how long they talk before and after the workers are replaced.
        say: told what goes on.
    """
    outcome = Rolling()
    if raise_limit_on_files() < 2 * clients:
        raise RuntimeError(f"{clients} clients need a limit of {2 * clients} open files")
    options = "--retry", "1-3", "--spread", "2"
    with running_redis() as redis:
        environment = {"SOAK_REDIS": redis.url}
        app = "tests.soak.rolling_app:app"
        async with serving(*options, workers=2, app=app, environment=environment) as served:
            members = [Client(served.port, index // ROOM, outcome.counts) for index in range(clients)]
            living = []
            for start in range(0, clients, AT_ONCE):
                batch = members[start : start + AT_ONCE]
                living += [asyncio.create_task(member.live()) for member in batch]
                await asyncio.wait_for(asyncio.gather(*(member.joined.wait() for member in batch)), PATIENCE)
            talking = asyncio.create_task(_talk(members, rate))
            await asyncio.sleep(seconds)
            outcome.seconds = await _replace(served, say)
            await asyncio.sleep(seconds)
            talking.cancel()
            await _until_quiet(members)
            for task in [*living, talking]:
                task.cancel()
            await asyncio.gather(*living, talking, return_exceptions=True)
            served.signal(signal.SIGTERM)
            if (status := await served.end()) != 0:
                outcome.wrong.append(f"the server's status is {status}")
            outcome.wrong += [f"in the log: {error}" for error in ERROR.findall(served.text())]
    _compare(members, outcome)
    return outcome


async def _talk(members: list[Client], rate: float) -> None:
    while True:
        await random.choice(members).say()
        await asyncio.sleep(random.expovariate(rate))


async def _replace(served: Served, say: Callable[[str], object]) -> float:
    """Replace both workers; return how many seconds that took."""
    say("rolling restart: two workers are replaced")
    began, before = time.monotonic(), set(served.workers())
    served.signal(signal.SIGHUP)
    await served.until(lambda: len(served.lines("down")) == 2 and len(served.workers()) == 2, PATIENCE)
    assert not before & set(served.workers())
    return time.monotonic() - began


async def _until_quiet(members: list[Client]) -> None:
    """Wait until all are back, all is answered, and no more comes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            for member in members:
                await member.joined.wait()
            while any(member.waiting for member in members) or not _agree(members):
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)


def _agree(members: list[Client]) -> bool:
    lengths: dict[int, set[int]] = {}
    for member in members:
        lengths.setdefault(member.room, set()).add(len(member.heard))
    return all(len(found) == 1 for found in lengths.values())


def _compare(members: list[Client], outcome: Rolling) -> None:
    """Note what a client has missed, or heard twice or in another order."""
    rooms: dict[int, list[Client]] = {}
    for member in members:
        rooms.setdefault(member.room, []).append(member)
    heard = 0
    for room, there in rooms.items():
        order = max((member.heard for member in there), key=len)
        heard += len(set(order))
        if twice := [text for text, count in Counter(order).items() if count > 1]:
            outcome.wrong.append(f"room {room}: {len(twice)} messages came twice")
        for member in there:
            outcome.counts["messages heard"] += len(member.heard)
            if member.heard != order:
                missed, more = Counter(order) - Counter(member.heard), Counter(member.heard) - Counter(order)
                outcome.wrong.append(f"room {room}: a client missed {missed.total()} and has {more.total()} too many")
    counts = outcome.counts
    if unanswered := sum(len(member.waiting) for member in members):
        outcome.wrong.append(f"{unanswered} messages were not answered")
    if heard != counts["messages said"]:
        outcome.wrong.append(f"{counts['messages said']} messages were said, and {heard} of them heard")
    if counts["gaps"]:
        outcome.wrong.append(f"{counts['gaps']} clients were told to load anew")
    if (others := len(members) - counts["closed: 1012 retry=1-3"]) > 0:
        outcome.wrong.append(f"{others} clients were not asked to come back")
    outcome.wrong += [f"{count} times {what}" for what, count in counts.items() if what.startswith("unexpected")]
