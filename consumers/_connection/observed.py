"""A consumer whose messages an observer sees."""

from collections.abc import Awaitable
from typing import Protocol

from ..types import ConnectionObserver, Message, handler_name


class Dispatches(Protocol):
    """Passes a message to its handler, as a consumer does."""

    def dispatch(self, message: Message) -> Awaitable[None]: ...


class ObservedConsumer:
    """Stands between a connection and its consumer, where each message passes.

    Args:
        consumer: the consumer.
        observer: the connection's.
    """

    __slots__ = ("_consumer", "_observer")

    def __init__(self, consumer: Dispatches, observer: ConnectionObserver) -> None:
        self._consumer = consumer
        self._observer = observer

    async def dispatch(self, message: Message) -> None:
        """Have the consumer handle a message."""
        ends = self._observer.begins(_name_of(message))
        try:
            await self._consumer.dispatch(message)
        except BaseException as error:
            ends(error)
            raise
        ends(None)


def _name_of(message: Message) -> str | None:
    try:
        return handler_name(message)
    except ValueError:
        return None
