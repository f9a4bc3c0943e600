"""Between coroutines and worker threads.

A sync consumer's handler runs, whole, in one worker thread. What it calls of the framework is the body of the
async class: `offer` steps that coroutine inside the thread, where every hook is a plain function and every send
blocks, so that it never suspends. asgiref carries context variables across and brings `async_to_sync` calls
made inside the thread back to the connection's own event loop. Threads need asyncio: asgiref knows no other loop.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import anyio
from asgiref.sync import async_to_sync, sync_to_async

P = ParamSpec("P")
R = TypeVar("R")

# A consumer that blocks must not stop the others: asyncio's default executor has as few as five threads, and
# everything else in the process shares it. Forty is anyio's and Starlette's number.
_threads = ThreadPoolExecutor(max_workers=40, thread_name_prefix="consumers")


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `function`, async or plain, and return its result."""
    result = function(*args, **kwargs)
    return await result if hasattr(result, "__await__") else result


def offer(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """Make a plain method, for worker threads, of an async one that reaches its own object through `call` alone."""

    @functools.wraps(method)
    def plain(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        coroutine = method(self, *args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            result: R = stop.value
            return result
        finally:
            coroutine.close()
        raise RuntimeError(f"{method.__qualname__}() of a sync consumer awaited something: make it a plain function")

    return cast(Callable[Concatenate[Any, P], R], plain)


def on_home_loop(function: Callable[P, Awaitable[R]]) -> Callable[P, R]:
    """Make a plain function, for worker threads, that runs the async `function` on the connection's event loop."""
    return async_to_sync(function)


class Threads:
    """The worker threads of one sync consumer.

    Args:
        thread_sensitive: run in asgiref's one thread for code that must not change threads, as Channels does,
            instead of this module's forty.
    """

    def __init__(self, thread_sensitive: bool) -> None:
        self._sensitive = thread_sensitive
        self._busy = 0
        self._lock = threading.Lock()
        self._idle: anyio.Event | None = None

    async def run(self, function: Callable[..., R], *args: Any) -> R:
        """Run a plain function in a thread. Cancelling abandons the thread; `wait()` knows when it is done."""
        loop = asyncio.get_running_loop()

        def tracked() -> R:
            with self._lock:
                self._busy += 1
            try:
                return function(*args)
            finally:
                with self._lock:
                    self._busy -= 1
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(self._finished)

        if self._sensitive:
            return await sync_to_async(tracked, thread_sensitive=True)()
        return await sync_to_async(tracked, thread_sensitive=False, executor=_threads)()

    async def wait(self) -> None:
        """Wait until no abandoned thread is running any more."""
        while self._busy:
            self._idle = anyio.Event()
            await self._idle.wait()

    def _finished(self) -> None:
        if self._idle is not None:
            self._idle.set()
