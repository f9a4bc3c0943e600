"""How a message is put back: one that a process has taken from a queue in Redis, and that nobody there handles.

    who has it                                                  put back by         to
    a worker, which received it and handles it no more          putting_back()      the front of its queue
    a pop, after whoever waited was cancelled                   entry()             where it was in its queue
    the process' own store, after the same                      stored()            the front of its queue
    that store, at the end of the owner loop                    all_stored()        the front of its queue

Only the queue of a named channel is meant, from which other processes receive too. A message of a channel with a "!"
is put back into the process' own store, and so is any that Redis cannot be reached for.
"""

import asyncio
import concurrent.futures
import math
import time
from collections.abc import Callable, Iterable
from functools import partial

from ...types import Message
from .._local import LocalChannels
from ..codec import Codec
from . import scripts
from .dropped import DroppedLog
from .queue_reader import Entry
from .round_trips import Flow, RoundTrips
from .settings import Settings


class PutBack:
    """Puts messages back for one process, in threads: no end of an event loop cuts it short.

    Args:
        local: the process' channels, where they go if Redis cannot be reached.
        trips: the process'.
        settings: the layer's.
        codec: the layer's.
        dropped: told of what cannot be decoded.
    """

    def __init__(
        self, local: LocalChannels, trips: RoundTrips, settings: Settings, codec: Codec, dropped: DroppedLog
    ) -> None:
        self._local = local
        self._trips = trips
        self._settings = settings
        self._codec = codec
        self._dropped = dropped
        self._outcomes: set[concurrent.futures.Future[None]] = set()

    def entry(self, shard: int, queue: str, entry: Entry) -> None:
        """Put back what was taken from a queue, to where it was, beside."""
        self._start(
            self._putting_back_entry(shard, entry),
            lambda: self._put_back_entry_here(queue, entry[1]),
        )

    def stored(self, channel: str) -> None:
        """Put back what is stored here for a channel, beside."""
        stored = self._local.remove_stored(channel)
        messages = [message for _, message in stored]
        self._start(self.putting_back(channel, stored), lambda: self._put_back_here(channel, messages))

    def all_stored(self) -> Flow[None]:
        """Put back what is stored here for named channels."""
        for channel in self._local.channels():
            if "!" not in channel and (stored := self._local.remove_stored(channel)):
                yield from self.putting_back(channel, stored)

    def putting_back(self, queue: str, stored: list[tuple[float, Message]]) -> Flow[None]:
        """Put messages into a queue before all others: oldest first, each with the seconds since it was taken."""
        key, now = self._settings.prefix + queue, time.time()
        commands = [
            scripts.put_back(key, self._codec.encode(message), now - waited, self._settings.expiry)
            for waited, message in reversed(stored)
        ]
        yield [(0, commands)]  # any shard will do: a named channel has a queue at each

    async def wait(self, timeout: float) -> bool:
        """Wait until all that is beside has ended; return whether there was any.

        Args:
            timeout: seconds that it may take.
        """
        outcomes = [asyncio.wrap_future(outcome) for outcome in self._outcomes.copy()]
        if outcomes:
            await asyncio.wait(outcomes, timeout=timeout)
            await asyncio.gather(*(outcome for outcome in outcomes if outcome.done()), return_exceptions=True)
        return bool(outcomes)

    def _putting_back_entry(self, shard: int, entry: Entry) -> Flow[None]:
        key, payload, sent = entry
        yield [(shard, [("ZADD", key, repr(sent), payload), ("EXPIRE", key, math.ceil(self._settings.expiry))])]

    def _put_back_entry_here(self, channel: str, payload: bytes) -> None:
        try:
            self._local.put_back(channel, self._codec.decode(payload))
        except ValueError as error:
            self._dropped.note(str(error))

    def _put_back_here(self, channel: str, messages: Iterable[Message]) -> None:
        for message in reversed(list(messages)):
            self._local.put_back(channel, message)

    def _start(self, flow: Flow[None], put_back_here: Callable[[], object]) -> None:
        outcome = self._trips.threads.submit(self._trips.run_blocking, flow)
        self._outcomes.add(outcome)
        outcome.add_done_callback(partial(self._on_end, put_back_here))

    def _on_end(self, put_back_here: Callable[[], object], outcome: "concurrent.futures.Future[None]") -> None:
        if outcome.cancelled() or outcome.exception() is not None:
            put_back_here()
        self._outcomes.discard(outcome)
