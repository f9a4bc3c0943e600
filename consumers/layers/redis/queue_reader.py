"""What takes messages from a process' queues at one shard: one blocking pop for all of them.

    probe ──Redis lets it pop──► asking ──a pop is written──► blocked in Redis
                                    ▲                              │ a message, BLOCK is over, or update(), since
                                    │                              │ it should include another queue
                                    └──all that came is delivered──┘

What a pop has taken is gone from Redis. Each reply that is due is therefore read, come what may: `take_the_rest()`
does it at the end of the owner loop.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Protocol

from ..._aio.loops import checkpoint, yield_to_loop
from .commands import Commands
from .hosts import Host
from .own_queues import Wanted
from .pipelined import FAILURES, Command, PipelinedConnection
from .reconnect import ReconnectingConnection

BLOCK = 5
"""Seconds that a pop waits in Redis before it is asked again."""

NOTHING = "nothing"
"""What the key ends with that is popped from when nothing is to be taken: no queue's does."""

CHECKPOINTS = 4
"""How often it yields to the loop before that, so that whoever has received a message can ask for the next."""

Entry = tuple[bytes, bytes, float]
"""A key, a payload and the time it was sent at."""


class Source(Protocol):
    """Which queues to take messages from, and what becomes of these."""

    def wanted(self) -> Wanted:
        """Return which of the process' own queues to take from, by their keys."""

    def named(self) -> Iterable[str]:
        """Return the keys of the other queues to take from."""

    def on_entry(self, shard: int, entry: Entry) -> int:
        """Take an entry; return as `LocalChannels.send`."""

    async def after_others(self) -> None:
        """Wait until those on other event loops have ended, for a bounded time."""


class QueueReader:
    """Takes what arrives in the process' own queues, and in those of named channels that somebody waits for.

    Args:
        host: the shard.
        timeout: seconds without an answer after which the connection is given up.
        on_change: see `ReconnectingConnection`.
        commands: the shard's.
        own: the key of the queue for attached receivers.
        source: says what to take, and takes it.
        shard: the shard's index.
        predecessor: the one of an event loop that runs no more, and may not have ended its connection.

    Attributes:
        connection: what it takes by.
    """

    takes_alone: ClassVar[bool] = True

    def __init__(
        self,
        host: Host,
        timeout: float,
        on_change: Callable[[bool], object],
        commands: Commands,
        own: str,
        source: Source,
        shard: int,
        predecessor: "QueueReader | None",
    ) -> None:
        self.connection = ReconnectingConnection(host, timeout, on_change)
        self._commands = commands
        self._own = own
        self._source = source
        self._shard = shard
        self._asked: set[str] = set()
        self._turn = 0
        self._first: str | None = None  # the key of the last reply to a pop that may wait
        self._client_id: int | None = None
        self._last: tuple[Any, ...] = () if predecessor is None else predecessor._last
        self._asked_at = float("inf")
        # Replies that are due, and what was taken from Redis and not handed over: a cancellation must lose none.
        self._due: deque[Callable[[Any], None]] = deque()
        self._taken: deque[Entry] = deque()
        self._is_blocked = False  # what is due first is the reply of a pop that may wait

    async def update(self) -> None:
        """Have the pop that waits in Redis, if there is one, include all that is to be taken now."""
        turn = self._turn
        while turn == self._turn and not self.hears_all:
            if self._client_id is None:
                return
            try:
                [unblocked] = await self._commands.run([("CLIENT", "UNBLOCK", self._client_id)])
            except FAILURES:  # the pop will end by itself
                return
            if unblocked:
                return
            await asyncio.sleep(0.005)  # the pop is on its way to Redis

    @property
    def hears_all(self) -> bool:
        """Whether the pop that waits in Redis, if there is one, includes all that is to be taken now."""
        return not self.connection.is_up or self._asked.issuperset(self._wanted())

    async def run(self) -> None:
        """Take from the shard, for ever. Cancelled, it leaves its connection to `take_the_rest()`."""
        while True:
            pipelined = await self.connection.open()
            try:
                await self._take(pipelined)
            except Exception as error:
                reason = error
            await self.connection.lose(reason)  # not above: it calls functions whose errors have another cause

    async def _take(self, pipelined: PipelinedConnection) -> None:
        self._asked_at = float("inf")
        self._due.clear()
        self._is_blocked = False
        watch = asyncio.create_task(pipelined.watch(self.connection.timeout, self._overdue))
        try:
            await self._source.after_others()  # Redis forgets what it has yet to write to a connection that is killed
            await self._probe(pipelined)
            self._hand_over()
            while True:
                for _ in range(0 if self._source.wanted().heads else CHECKPOINTS):
                    await checkpoint()
                self._ask(pipelined)
                await self._read_due(pipelined)
                while self._taken:
                    await yield_to_loop(self._source.on_entry(self._shard, self._taken.popleft()))
        finally:
            watch.cancel()
            self._asked = set()

    async def take_the_rest(self, pipelined: PipelinedConnection) -> None:
        """Read the replies that are due, and hand over what is in them; a pop that waits is ended."""
        reading = asyncio.create_task(self._read_due(pipelined))
        try:
            while not reading.done():
                if self._is_blocked and self._client_id is not None:
                    with contextlib.suppress(*FAILURES):
                        await self._commands.run([("CLIENT", "UNBLOCK", self._client_id)])
                await asyncio.wait([reading], timeout=0.005)  # the pop may have been on its way to Redis
                if self._is_blocked and self._client_id is None:
                    break  # Redis forbids to end it
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._hand_over()

    def end(self) -> None:
        """Take note that it will not receive again."""
        self.connection.end()

    def _hand_over(self) -> None:
        while self._taken:
            self._source.on_entry(self._shard, self._taken.popleft())

    async def _probe(self, pipelined: PipelinedConnection) -> None:
        """End what the last connection left, and see that Redis lets this one pop.

        A pop that waits would tell only at its end.
        """
        if self._last:  # lost without Redis' knowing, it would go on taking messages
            self._write(pipelined, ("CLIENT", "KILL", *self._last), _ignore)  # a refusal changes nothing
        # Redis may forbid CLIENT
        self._write(pipelined, ("CLIENT", "ID"), self._on_client_id)
        self._write(pipelined, ("CLIENT", "INFO"), self._on_client_info)
        self._write(pipelined, ("MULTI",), _check)
        self._write(pipelined, ("BZPOPMIN", self._own + NOTHING, BLOCK), _check)  # there it does not wait
        self._write(pipelined, ("EXEC",), lambda replies: self._on_first(_checked(replies)[0]))
        self._asked_at = time.monotonic()
        await self._read_due(pipelined)
        self._asked_at = float("inf")

    def _wanted(self) -> set[str]:
        return {*self._source.named(), *self._source.wanted().heads}

    def _ask(self, pipelined: PipelinedConnection) -> None:
        wanted = self._source.wanted()
        heard, others = sorted(wanted.heads), sorted(self._source.named())
        self._asked = {*heard, *others}
        self._turn += 1
        start = self._turn % len(others) if others else 0  # Redis takes from the first key that has something
        others = [*others[start:], *others[:start]]
        keys = [*others, *heard] if self._turn % 2 else [*heard, *others]
        self._write(pipelined, ("BZPOPMIN", *(keys or [self._own + NOTHING]), BLOCK), self._on_first)
        for key in heard if wanted.at_once else ():
            if key in wanted.together or key == self._first:  # a command for each queue would cost too much
                self._write(pipelined, ("ZPOPMIN", key, wanted.at_once), partial(self._on_rest, key.encode()))
        self._is_blocked = True
        self._asked_at = time.monotonic()
        self.connection.note_up()  # what arrives from now on waits in Redis

    def _write(self, pipelined: PipelinedConnection, command: Command, on_reply: Callable[[Any], None]) -> None:
        pipelined.write(command)
        self._due.append(on_reply)

    async def _read_due(self, pipelined: PipelinedConnection) -> None:
        while self._due:
            reply = await pipelined.read()
            self._due.popleft()(reply)
        self._asked_at = float("inf")
        if len({key for key, _, _ in self._taken}) > 1:  # one channel's messages may come by several
            self._taken = deque(sorted(self._taken, key=lambda entry: entry[2]))

    def _on_client_id(self, reply: Any) -> None:
        self._client_id = None if isinstance(reply, Exception) else reply

    def _on_client_info(self, reply: Any) -> None:
        self._last = () if self._client_id is None else _kill_filter(self._client_id, reply)

    def _on_first(self, reply: Any) -> None:
        if _checked(reply):
            self._first = reply[0].decode(errors="replace")
            self._taken.append((reply[0], reply[1], float(reply[2])))

    def _on_rest(self, key: bytes, reply: Any) -> None:
        pairs = zip(_checked(reply)[::2], reply[1::2], strict=True)
        self._taken.extend((key, payload, float(score)) for payload, score in pairs)

    def _overdue(self) -> int | None:
        """Return the turn whose pop has waited for its whole time, as `PipelinedConnection.watch()` takes it."""
        return self._turn if time.monotonic() - self._asked_at > BLOCK else None


def _kill_filter(client_id: int, info: Any) -> tuple[Any, ...]:
    """Return what CLIENT KILL knows a connection by; by its id alone, another server's might be meant.

    Args:
        client_id: its id.
        info: what Redis replied to CLIENT INFO, which it has from version 6.2.
    """
    found = re.search(rb"(?:^| )addr=(\S+)", info) if isinstance(info, bytes) else None
    return ("ID", client_id, *(("ADDR", found[1]) if found else ()))


def _ignore(reply: Any) -> None:
    pass


def _check(reply: Any) -> None:
    _checked(reply)


def _checked(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
