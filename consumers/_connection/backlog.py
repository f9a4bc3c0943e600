"""What a worker has taken from its layer and no handler has got: it is kept until one does, or given back."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import anyio

from ..layers.base import Layer
from ..types import Message
from . import events

logger = logging.getLogger("consumers.worker")

GIVE_BACK_TIME = 5.0
"""Seconds that the layer has, when the worker stops, to take back what no handler has got."""


class ChannelSource(Protocol):
    """Where a consumer of a named channel has its messages from: `scope["extensions"]["consumers.worker"]`.

    A consumer waits in `receive()` all the time, so that it sees the worker's end at once. It gets a message there when
    one of its handlers is free, and no earlier.
    """

    def serve(self, free: Callable[[], int]) -> None:
        """Begin to give messages.

        Args:
            free: tells how many messages the consumer has handlers for at this moment.
        """

    def changed(self) -> None:
        """Hear that a handler is free; `free()` is called again."""

    def give_back(self, messages: list[Message]) -> None:
        """Take back, when the consumer has ended, what no handler of its has got: oldest first."""


class Taken:
    """What a consumer has from its source, of which some may wait for a handler.

    Args:
        source: the source.
        most: how many may wait at once.
    """

    def __init__(self, source: ChannelSource, most: int) -> None:
        self.source = source
        self._last: deque[Message] = deque(maxlen=most)

    def add(self, message: Message) -> None:
        """Take note of a message."""
        self._last.append(message)

    def among(self, waiting: Iterable[object]) -> list[Message]:
        """Return which of the messages that wait are the source's; a consumer has others, too."""
        return [entry for entry in waiting if isinstance(entry, dict) and any(entry is one for one in self._last)]


class Backlog:
    """The messages of one channel.

    Args:
        layer: where they come from, as `adapt()` returns it.
        channel: the channel's name.

    Attributes:
        messages: those that were taken from the layer, oldest first.
    """

    def __init__(self, layer: Layer, channel: str) -> None:
        self.messages: deque[Message] = deque()
        self._layer = layer
        self._channel = channel
        self._is_taking = False
        self._rest: int | None = None  # how many more to take; None: all that come

    @property
    def waits_here(self) -> bool:
        """Whether a message is in this process that would be lost with it: here, or in the layer when it was closed."""
        if self._rest is None and not self._is_taking:
            self.close()
        return bool(self.messages or (self._rest and self._layer.held(self._channel)))

    def close(self) -> None:
        """Take no more than what waits in the layer now."""
        if not self._is_taking:  # else it is about to be cancelled, and to give back what it has got
            self._rest = self._layer.held(self._channel)

    async def take(self) -> None:
        """Wait for the layer's next message."""
        if self._rest is not None:
            self._rest -= 1
        self._is_taking = True
        try:
            message = await self._layer.receive(self._channel)
        finally:
            self._is_taking = False
        kind = message.get("type") if isinstance(message, dict) else None
        if isinstance(kind, str) and kind not in events.DISCONNECTS:
            self.messages.append(message)
        else:
            logger.warning("channel %r: a message was dropped, its type is %.80r", self._channel, kind)

    async def give_back(self) -> None:
        """Put what no handler has got back into the layer; say in the log how many are lost with this process."""
        with anyio.move_on_after(GIVE_BACK_TIME, shield=True):
            while self.messages:
                message = self.messages[-1]  # the newest first, as each is put before the others
                with suppress(Exception):  # the layer is lost, or takes none back: they are counted below
                    await self._layer.put_back(self._channel, message)
                    self.messages.pop()
                    continue
                break
        left = len(self.messages) + self._layer.held(self._channel)
        if left:
            logger.error("channel %r: %d message(s) are left that no handler has got", self._channel, left)
