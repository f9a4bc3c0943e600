"""What a process has taken out of a named channel's queue, and nobody there wants any more: it goes back to Redis."""

import math
import time
from collections.abc import Iterable

from ...types import Message
from ..loops import running_loop
from . import scripts
from .commands import Commands
from .places import GroupedLayer
from .popper import Entry
from .process import Process
from .running import Flow

RETURN_TIMEOUT = 0.5
"""Seconds that the end of a loop waits for what goes back to Redis; what does not get there in time stays here."""


class ReturningLayer(GroupedLayer):
    """A layer with queues, which puts back what was taken for nobody."""

    async def put_back(self, channel: str, message: Message) -> None:
        if "!" in channel:  # this process alone receives from it
            await super().put_back(channel, message)
        else:
            await self._run(self._to_front(channel, [(0.0, message)]))

    async def close(self) -> None:
        """Leave the groups, put back what was taken for nobody, close the connections.

        The layer opens again when it is next used.
        """
        await super().close()
        if await self._process.returns.wait(self.timeout):
            for commands in self._process.blocking:
                commands.close()

    def _return(self, process: Process, shard: int, queue: str, entry: Entry) -> None:
        """Put an entry back to where it was taken from."""
        process.returns.start(
            lambda: self._run_blocking(self._put_back(shard, entry)),
            lambda: self._keep(process, queue, [self._decode(entry[1])]),
        )

    def _put_back(self, shard: int, entry: Entry) -> Flow[None]:
        key, payload, sent = entry
        yield [(shard, [("ZADD", key, repr(sent), payload), ("EXPIRE", key, math.ceil(self.expiry))])]

    def _to_front(self, queue: str, stored: list[tuple[float, Message]]) -> Flow[None]:
        """Put messages into a queue before all others: oldest first, each with the seconds since it was taken."""
        key, now = self.prefix + queue, time.time()
        commands = [
            scripts.put_back(key, self._codec.encode(message), now - waited, self.expiry)
            for waited, message in reversed(stored)
        ]
        yield [(0, commands)]  # any shard will do: a named channel has a queue at each

    def _heard_from(self, process: Process, channel: str) -> None:
        if "!" in channel or not process.local.held(channel) or process.local.is_awaited(channel):
            return
        if running_loop() is not None:  # else the coroutine of receive() is thrown away, after its loop
            # It had got a message, and was cancelled. Another process may wait for that now.
            stored = process.local.remove_stored(channel)
            messages = [message for _, message in stored]
            process.returns.start(
                lambda: self._run_blocking(self._to_front(channel, stored)),
                lambda: self._keep(process, channel, messages),
            )

    def _keep(self, process: Process, channel: str, messages: Iterable[Message | None]) -> None:
        for message in reversed(list(messages)):
            if message is not None:
                process.local.put_back(channel, message)

    async def _say_farewell(self, process: Process, commands: list[Commands], is_final: bool) -> None:
        await process.returns.wait(RETURN_TIMEOUT)
        await super()._say_farewell(process, commands, is_final)

    def _farewell(self, process: Process, is_final: bool) -> Flow[None]:
        for channel in process.local.channels():
            if "!" not in channel and (stored := process.local.remove_stored(channel)):  # what could not be returned
                yield from self._to_front(channel, stored)
        yield from super()._farewell(process, is_final)
