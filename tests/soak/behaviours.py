"""What the clients do: one function per kind, a session of which is played again and again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from .records import Recorder
from .wire import Connection

PAUSE = 8.0
"""Mean seconds between two messages of a client that talks."""

BREATH = 30.0
"""Mean seconds between two floods of a client."""

HANDSHAKE = 15.0
"""Seconds that a client waits for its handshake."""

FAREWELL = 20.0
"""Seconds that a client waits for the end of a connection that it closes."""

BURST = 150
"""Frames that a flooding client writes at once."""

SMALL = 2048
"""Bytes that a client that does not read lets wait in its socket."""

PLEASANTRY = "a line of chat, neither long nor short"
LONG = "x" * 1000

BINARY = "binary to a text consumer"

BROKEN = {
    "reserved opcode": b"\x83\x80\0\0\0\0",
    "reserved bit": b"\xc1\x80\0\0\0\0",
    "not masked": b"\x81\x02hi",
    "text that is no UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "a ping in parts": b"\x09\x80\0\0\0\0",
    "a continuation of nothing": b"\x80\x80\0\0\0\0",
    "longer than allowed": b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0",
    "a long ping": b"\x89\xfe\x01\x00\0\0\0\0" + b"x" * 256,
    "a close code that nobody may send": b"\x88\x82\0\0\0\0\x03\xed",
    "half a frame": b"\x81\xfe\x03",
    BINARY: b"\x82\x81\0\0\0\0x",
    "no HTTP any more": b"GET / HTTP/1.1\r\n\r\n" * 3,
}


@dataclass
class World:
    """What all clients share.

    Args:
        ports: the servers'.
        rooms: how many rooms there are; messages come in floods in the first tenth of them.
        until: when to stop, by the event loop's clock.
        life: mean seconds of a session.
        record: where the clients note what comes.
        numbers: gives each connection its number.
    """

    ports: list[int]
    rooms: int
    until: float
    life: float
    record: Recorder
    numbers: Iterator[int]

    @property
    def hot_rooms(self) -> int:
        """How many rooms floods go to."""
        return max(1, self.rooms // 10)


class Client:
    """One of the crowd.

    Args:
        world: what it shares with the others.
        chance: its own random numbers.
    """

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self._said = 0

    @property
    def left(self) -> float:
        """Seconds until all stop."""
        return self.world.until - asyncio.get_running_loop().time()

    def any_room(self) -> int:
        return self.chance.randrange(self.world.hot_rooms, max(self.world.rooms, self.world.hot_rooms + 1))

    def hot_room(self) -> int:
        return self.chance.randrange(self.world.hot_rooms)

    async def connect(self, room: int, manner: str = "plain", receive_buffer: int | None = None) -> Connection:
        """Connect, without a handshake, to one of the servers."""
        conn = next(self.world.numbers)
        if manner == "plain" and conn % 2:
            manner = "shared"
        self._said = 0
        port = self.chance.choice(self.world.ports)
        return await Connection.to(port, conn, f"/soak/{conn}/{room}/{manner}", self.world.record, receive_buffer)

    async def open(self, room: int, manner: str = "plain", receive_buffer: int | None = None) -> Connection | None:
        """Connect and finish the handshake; return None if the server does not accept."""
        connection = await self.connect(room, manner, receive_buffer)
        connection.handshake()
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDSHAKE):
                await connection.answered.wait()
        if connection.is_open:
            return connection
        connection.abort()
        return None

    def say(self, connection: Connection, room: int, text: str = PLEASANTRY) -> None:
        """Send the next message to a room."""
        self._said += 1
        connection.say(f"say {room} {self._said} {text}")

    async def pause(self, connection: Connection, mean: float) -> bool:
        """Wait for a random time; return whether the session goes on."""
        seconds = self.chance.expovariate(1 / mean)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, min(seconds, self.left))):
                await connection.closed.wait()
        return not connection.closed.is_set() and not connection.got_close and self.left > 0

    async def part(self, connection: Connection) -> None:
        """Close in order."""
        connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await connection.closed.wait()
        if not connection.closed.is_set():
            connection.abort()

    def lifetime(self) -> float:
        """Return how long a session is to last, by the event loop's clock until when."""
        seconds = min(self.chance.expovariate(1 / self.world.life), 4 * self.world.life)
        return asyncio.get_running_loop().time() + seconds


async def talk(client: Client, room: int, manner: str = "plain") -> Connection | None:
    """Talk in a room for a session's time; return the connection, if it still stands."""
    connection = await client.open(room, manner)
    until = client.lifetime()
    while connection is not None and asyncio.get_running_loop().time() < until:
        if not await client.pause(connection, PAUSE):
            break
        client.say(connection, room)
    return connection


async def chatting(client: Client) -> None:
    if connection := await talk(client, client.any_room()):
        await client.part(connection)


async def slow(client: Client) -> None:
    """Chat, with a consumer that takes its time, where messages come in floods."""
    if connection := await talk(client, client.hot_room(), "slow"):
        await client.part(connection)


async def moving(client: Client) -> None:
    """Leave rooms and join others all the time."""
    room = client.any_room()
    connection = await client.open(room)
    until = client.lifetime()
    while connection is not None and asyncio.get_running_loop().time() < until:
        if not await client.pause(connection, PAUSE / 2):
            break
        connection.say(f"leave {room}")
        room = client.any_room()
        connection.say(f"join {room}")
        client.say(connection, room)
    if connection is not None:
        if client.chance.random() < 0.5:
            connection.say("bye")
        await client.part(connection)


async def half_open(client: Client) -> None:
    """Talk for a while, then be gone without a word."""
    if connection := await talk(client, client.any_room()):
        connection.vanish()


async def never_reading(client: Client) -> None:
    """Join a room with much to read, and read nothing."""
    if connection := await client.open(client.hot_room(), receive_buffer=SMALL):
        connection.stop_reading()
        await client.pause(connection, client.world.life)
        connection.abort()


async def flooding(client: Client) -> None:
    """Write faster than anybody can answer."""
    room = client.hot_room()
    connection = await client.open(room)
    until = client.lifetime()
    while connection is not None and asyncio.get_running_loop().time() < until:
        for _ in range(BURST):
            client.say(connection, room, LONG)
        if not await client.pause(connection, BREATH):
            break
    if connection is not None:
        if client.chance.random() < 0.5:
            connection.abort()
        await client.part(connection)


async def malformed(client: Client) -> None:
    """Send what is no frame."""
    room = client.any_room()
    if connection := await client.open(room):
        client.say(connection, room)
        await client.pause(connection, 2.0)
        name = client.chance.choice(list(BROKEN))
        connection.transport.write(BROKEN[name])
        connection.frames += name == BINARY  # a whole frame, which the consumer gets
        with suppress(TimeoutError):
            async with asyncio.timeout(client.chance.uniform(0.1, 5)):
                await connection.closed.wait()
        connection.abort()


async def slow_handshake(client: Client) -> None:
    """Send the handshake byte by byte; some never finish it."""
    room = client.any_room()
    connection = await client.connect(room)
    patience = len(connection.request) if client.chance.random() < 0.5 else client.chance.randrange(100)
    for place in range(patience):
        if connection.closed.is_set() or client.left < 0:
            break
        connection.transport.write(connection.request[place : place + 1])
        await asyncio.sleep(client.chance.uniform(0, 0.2))
    else:
        if patience == len(connection.request):
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDSHAKE):
                    await connection.answered.wait()
            client.say(connection, room)
            await client.part(connection)
    connection.abort()


async def reconnect_storm(client: Client) -> None:
    """Come all at the same moment, over and over, and leave at any point of the handshake or after it."""
    period = max(5.0, client.world.life / 2)
    await asyncio.sleep(max(0, min(period - asyncio.get_running_loop().time() % period, client.left)))
    for _ in range(6):
        if client.left < 0:
            return
        connection = await client.connect(client.any_room())
        connection.handshake()
        with suppress(TimeoutError):
            async with asyncio.timeout(client.chance.choice([0, 0.005, 0.05, 5])):
                await connection.answered.wait()
        if connection.is_open and client.chance.random() < 0.5:
            await client.part(connection)
        else:
            connection.abort()


async def crashing(client: Client) -> None:
    """Make the handler raise, with more to be handled."""
    room = client.any_room()
    if connection := await talk(client, room):
        client.say(connection, room)
        connection.say("crash")
        for _ in range(3):  # which nobody will handle
            client.say(connection, room)
        await client.part(connection)


Behaviour = Callable[[Client], Awaitable[None]]

KINDS: dict[str, tuple[float, Behaviour]] = {
    "chatting": (0.64, chatting),
    "moving": (0.10, moving),
    "slow": (0.01, slow),
    "half-open": (0.05, half_open),
    "never-reading": (0.03, never_reading),
    "flooding": (0.02, flooding),
    "malformed": (0.05, malformed),
    "slow-handshake": (0.04, slow_handshake),
    "reconnect-storm": (0.05, reconnect_storm),
    "crashing": (0.01, crashing),
}
"""The kinds of clients: which part of the crowd, and what they do."""


def crowd(size: int) -> dict[str, int]:
    """Return how many clients of each kind there are, at least one; the first kind are the rest."""
    first, *others = KINDS
    counts = {kind: max(1, round(size * KINDS[kind][0])) for kind in others}
    return {first: max(1, size - sum(counts.values())), **counts}
