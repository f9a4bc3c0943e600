"""The running event loop, and calls into others: asyncio's and trio's alike."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary, ref

import anyio
from anyio import lowlevel
from anyio.abc import TaskGroup

EXTRA_CHECKPOINTS = 8
"""How often a sender yields to the loop when a receiver's mailbox is over half full, beyond once per waiting message.

The more messages wait, the more often it yields, so that some 30 senders in loops do not overrun a receiver whose
handler suspends three times. This constant is for mailboxes so small that their messages alone make no difference.
"""

MOST_CHECKPOINTS = 1000
"""How often a sender yields to the loop at most.

Between two messages of one sender, a receiver whose handler suspends three times handles some 300 then: it needs no
more to keep up. A channel with a far larger capacity is meant to hold many messages, not to hold its senders up.
"""


def running_loop() -> object | None:
    """Return the native token of the event loop running in this thread (asyncio: the loop), or None."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        pass
    else:
        if task is not None:  # else it may be trio, as a guest of asyncio's loop
            return task.get_loop()  # as below, at a tenth of the cost
    try:
        token: Any = lowlevel.current_token()
    except RuntimeError:
        return None
    native: object = getattr(token, "native_token", token)  # anyio before 4.11 returns the native one itself
    return native


def loop_here() -> object | None:
    """Return as `running_loop()`, also in what asyncio calls by itself, which is in no task."""
    here = running_loop()
    if here is None:
        with suppress(RuntimeError):
            return asyncio.get_running_loop()
    return here


Value = TypeVar("Value")


class PerLoop(Generic[Value]):
    """One value for each event loop, as long as the loop lives: the value may refer to it only weakly.

    Args:
        make: returns a new one, given the loop, as what `running_loop()` returns.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[Any, Value] = WeakKeyDictionary()
        self._last: tuple[Callable[[], object], Value] | None = None  # most processes have one loop, and ask often

    def get(self, loop: object) -> Value:
        """Return the value of an event loop."""
        last = self._last  # read once: there may be other threads
        if last is not None and last[0]() is loop:
            return last[1]
        value = self._values.get(loop)
        if value is None:
            value = self._values[loop] = self._make(loop)
        self._last = ref(loop), value
        return value


class _AsyncioLoop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object], *, context: Context) -> object: ...


class _TrioToken(Protocol):
    def run_sync_soon(self, callback: Callable[[], object]) -> None: ...


def call_soon(loop: object, callback: Callable[[], object]) -> None:
    """Have another event loop, given by its native token, call a function soon. Never blocks.

    The function runs in a context without any of the caller's variables.

    Raises:
        RuntimeError: if that loop is closed.
    """
    if hasattr(loop, "call_soon_threadsafe"):
        cast(_AsyncioLoop, loop).call_soon_threadsafe(callback, context=Context())
    else:
        cast(_TrioToken, loop).run_sync_soon(callback)


def is_closed(loop: object) -> bool:
    """Tell whether an event loop, given by its native token, will never run again."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.is_closed()
    try:
        call_soon(loop, lambda: None)
    except RuntimeError:
        return True
    return False


def checkpoint() -> Awaitable[None]:
    """Do as anyio's `checkpoint()`, which takes longer, on asyncio, to look up what to do."""
    return asyncio.sleep(0) if isinstance(running_loop(), asyncio.AbstractEventLoop) else lowlevel.checkpoint()


async def checkpoints(times: int) -> None:
    """Yield to the loop so many times."""
    for _ in range(times):
        await checkpoint()


async def yield_to_loop(waiting: int) -> None:
    """Yield to the loop, as a sender; so often that receivers can take most of what waits for the fullest of them."""
    await checkpoint()
    if waiting:
        await checkpoints(min(waiting + EXTRA_CHECKPOINTS, MOST_CHECKPOINTS))


def call_later(loop: object, seconds: float, callback: Callable[[], object]) -> None:
    """Have the event loop that is running, given by its native token, call a function later, if it still runs then."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        loop.call_later(seconds, callback, context=Context())
        return

    async def sleep() -> None:
        await anyio.sleep(seconds)
        callback()

    import_module("trio.lowlevel").spawn_system_task(sleep, context=Context())


class Alarm(Protocol):
    """What rings later unless it is cancelled."""

    def cancel(self) -> object: ...


def set_alarm(seconds: float, ring: Callable[[], None], tasks: TaskGroup, loop: object) -> Alarm:
    """Call a function later, unless the alarm that is returned is cancelled before.

    Args:
        seconds: when.
        ring: the function.
        tasks: the connection's, for where the event loop has no alarms.
        loop: what `running_loop()` returns.
    """
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.call_later(seconds, ring)
    scope = anyio.CancelScope()

    async def sleep() -> None:
        with scope:
            await anyio.sleep(seconds)
            ring()

    tasks.start_soon(sleep)
    return scope
