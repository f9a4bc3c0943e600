"""How a message is put back: one that a process has taken from a queue in Redis, and that nobody there handles.

    who has it                                                  put back by               to
    a worker, which received it and handles it no more          put_back()                the front of its queue
    a pop, after whoever waited was cancelled                   _put_back_entry()         where it was in its queue
    the process' own store, after the same                      _put_back_stored()        the front of its queue
    that store, at the end of the home loop                     _farewell()               the front of its queue

Only the queue of a named channel is meant, from which other processes receive too. A message of a channel with a "!"
is put back into the process' own store, and so is any that Redis cannot be reached for.
"""

import math
import time
from collections.abc import Iterable

from ..._aio.loops import running_loop
from ...types import Message
from . import scripts
from .commands import Commands
from .places import GroupedLayer
from .process import Process
from .queue_reader import Entry
from .running import Flow

PUT_BACK_TIMEOUT = 0.5
"""Seconds that the end of a loop waits for what is being put back; what is not in Redis in time stays here."""


class PutBackLayer(GroupedLayer):
    """A layer with queues, which puts back what was taken for nobody."""

    async def put_back(self, channel: str, message: Message) -> None:
        if "!" in channel:
            await super().put_back(channel, message)
        else:
            await self._run(self._putting_back(channel, [(0.0, message)]))

    async def close(self) -> None:
        """Leave the groups, put back what was taken for nobody, close the connections.

        The layer opens again when it is next used.
        """
        await super().close()
        if await self._process.put_backs.wait(self.timeout):
            for commands in self._process.blocking:
                commands.close()

    def _put_back_entry(self, process: Process, shard: int, queue: str, entry: Entry) -> None:
        process.put_backs.start(
            lambda: self._run_blocking(self._putting_back_entry(shard, entry)),
            lambda: self._put_back_here(process, queue, [self._decode(entry[1])]),
        )

    def _put_back_stored(self, process: Process, channel: str) -> None:
        stored = process.local.remove_stored(channel)
        messages = [message for _, message in stored]
        process.put_backs.start(
            lambda: self._run_blocking(self._putting_back(channel, stored)),
            lambda: self._put_back_here(process, channel, messages),
        )

    def _put_back_here(self, process: Process, channel: str, messages: Iterable[Message | None]) -> None:
        for message in reversed(list(messages)):
            if message is not None:
                process.local.put_back(channel, message)

    def _putting_back(self, queue: str, stored: list[tuple[float, Message]]) -> Flow[None]:
        """Put messages into a queue before all others: oldest first, each with the seconds since it was taken."""
        key, now = self.prefix + queue, time.time()
        commands = [
            scripts.put_back(key, self._codec.encode(message), now - waited, self.expiry)
            for waited, message in reversed(stored)
        ]
        yield [(0, commands)]  # any shard will do: a named channel has a queue at each

    def _putting_back_entry(self, shard: int, entry: Entry) -> Flow[None]:
        key, payload, sent = entry
        yield [(shard, [("ZADD", key, repr(sent), payload), ("EXPIRE", key, math.ceil(self.expiry))])]

    def _after_receive(self, process: Process, channel: str) -> None:
        if "!" in channel:
            process.queues.note_received(channel)
        elif process.local.held(channel) and not process.local.is_awaited(channel) and running_loop() is not None:
            # It had got a message, and was cancelled. Another process may wait for that now. (Without a running loop
            # nobody has been cancelled: the coroutine of receive() is thrown away, after its loop.)
            self._put_back_stored(process, channel)

    async def _say_farewell(self, process: Process, commands: list[Commands], is_final: bool) -> None:
        await process.put_backs.wait(PUT_BACK_TIMEOUT)
        await super()._say_farewell(process, commands, is_final)

    def _farewell(self, process: Process, is_final: bool) -> Flow[None]:
        for channel in process.local.channels():
            if "!" not in channel and (stored := process.local.remove_stored(channel)):
                yield from self._putting_back(channel, stored)
        yield from super()._farewell(process, is_final)
