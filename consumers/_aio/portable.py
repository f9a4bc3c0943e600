"""The mailbox that is understood at first sight: a queue and an event, on every event loop that anyio knows."""

from collections.abc import Awaitable, Coroutine
from typing import Any

import anyio

from ..types import Message
from .mailbox import Failed, Handle, Mailbox, Owner


class PortableMailbox(Mailbox):
    """The reference; see `Mailbox`."""

    __slots__ = ("_news",)

    def __init__(self, client_limit: int, byte_limit: int, layer_limit: int, owner: Owner | None = None) -> None:
        super().__init__(client_limit, byte_limit, layer_limit, owner)
        self._news: anyio.Event | None = None  # what the worker waits for

    def put(self, message: Message) -> bool:
        has_room = super().put(message)
        self.notify()
        return has_room

    def notify(self) -> None:
        if self._news is not None:
            self._news.set()
            self.is_idle = False

    async def wait(self) -> None:
        self._news = anyio.Event()
        self.is_idle = True
        try:
            await self._news.wait()
        finally:
            self._news = None
            self.is_idle = False

    def serve(self, handle: Handle, failed: Failed, yields_between: int = 0) -> Awaitable[None]:
        return self.serve_in_turn(handle, failed, yields_between)

    def feed(self, reading: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return reading
