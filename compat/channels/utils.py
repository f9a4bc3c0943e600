"""Channels' helpers."""

from collections.abc import Awaitable, Callable, Sequence
from inspect import isfunction, ismethod
from typing import Any

import anyio


def name_that_thing(thing: object) -> str:
    """Return a dotted name for the log: a class's, a function's, or for another object that of its class."""
    if ismethod(thing):
        return f"{name_that_thing(thing.__self__)}.{thing.__name__}"
    named: Any = thing if isinstance(thing, type) or isfunction(thing) else type(thing)
    return f"{named.__module__}.{named.__name__}"


async def await_many_dispatch(
    consumer_callables: Sequence[Callable[[], Awaitable[Any]]], dispatch: Callable[[Any], Awaitable[Any]]
) -> None:
    """Await several sources for ever and dispatch, one at a time, what comes from any of them.

    Args:
        consumer_callables: each returns an awaitable for its source's next message.
        dispatch: takes a message.

    Raises:
        Exception: what a source or `dispatch` raised. The sources are cancelled then.
    """
    turn = anyio.Lock()

    async def pump(source: Callable[[], Awaitable[Any]]) -> None:
        while True:
            message = await source()
            async with turn:
                await dispatch(message)

    try:
        async with anyio.create_task_group() as tasks:
            for source in consumer_callables:
                tasks.start_soon(pump, source)
    except BaseExceptionGroup as group:
        raise _only(group) from None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception in a group, as it would have left a single task."""
    first = group.exceptions[0]
    return _only(first) if isinstance(first, BaseExceptionGroup) else first
