"""Between coroutines and worker threads.

A sync consumer's handler runs, whole, in one worker thread. What it calls of the framework is the body of the
async class: `sync_method` steps that coroutine inside the thread, where every hook is a plain function and every send
blocks, so that it never suspends. asgiref carries context variables across and brings `async_to_sync` calls
made inside the thread back to the connection's own event loop. Threads need asyncio: asgiref knows no other loop.
"""

import asyncio
import contextlib
import contextvars
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import anyio
from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async

from ._aio.loops import running_loop

P = ParamSpec("P")
R = TypeVar("R")


class DaemonThreads(Executor):
    """Does as `concurrent.futures.ThreadPoolExecutor`; but the interpreter does not wait for these threads at its exit.

    Whoever has work that must not be cut off there waits for its future.

    Args:
        max_workers: how many threads there may be. They are started when they are needed, and kept.
        name: what their names begin with.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self._max_workers = max_workers
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)  # how many threads have nothing to do, less the calls on their way to them
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a thread call `function(*args, **kwargs)`, as soon as one is free."""
        future: Future[R] = Future()
        self._calls.put((future, lambda: function(*args, **kwargs)))
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._threads < self._max_workers:
                    name = f"{self._name}_{self._threads + 1}"
                    try:
                        threading.Thread(target=self._run, name=name, daemon=True).start()
                    except RuntimeError:  # the system has no more threads
                        if not self._threads and future.cancel():
                            raise
                    else:
                        self._threads += 1
        return future

    def _run(self) -> None:
        while True:
            future, call = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:
                    future.set_exception(error)
                    del error
                else:
                    future.set_result(result)
                    del result
            del future, call  # while it waits, nothing of a connection is kept
            self._idle.release()


# A consumer that blocks must not stop the others: asyncio's default executor has as few as five threads, and
# everything else in the process shares it. Forty is anyio's and Starlette's number.
_threads = DaemonThreads(40, "consumers")
# Handlers that block every one of those must not keep the others' endings from running.
_ending_threads = DaemonThreads(40, "consumers-ending")

_thread = threading.local()
"""`context`: the context that the handler running in this thread was called in, on its loop."""


def maybe_await(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
    """Call `function`, async or plain; what is returned, and to be awaited at once, has its result.

    Raises:
        TypeError: it is a plain one without a result, outside a worker thread: a `def` that lacks its `async`.
    """
    result = function(*args, **kwargs)
    if result is None and getattr(_thread, "context", None) is None:
        raise TypeError(f"{function.__qualname__}() must be `async def`: this is an async consumer")
    return awaitable(result)


def awaitable(result: Any) -> Awaitable[Any]:
    """Return what to await for the result of a function that may be async or plain, given what a call returned."""
    return result if type(result) is CoroutineType or hasattr(result, "__await__") else _Result(result)


class _Result:
    """Awaited, gives a value without suspending. A coroutine would cost more, and it is in every frame's way."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield


def sync_method(method: Callable[Concatenate[Any, P], Awaitable[Any]]) -> Callable[Concatenate[Any, P], Any]:
    """Make a plain method, for worker threads, of an async one that reaches its own object's methods through this room.

    On an event loop, in a background task of a sync consumer, the method is to be awaited.
    """

    @functools.wraps(method, updated=())  # nor is it a coroutine function, which may be noted in its attributes
    def plain(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        awaitable = method(self, *args, **kwargs)
        if _on_a_loop() or running_loop() is not None:  # trio's, for what a class that is no consumer has declared
            return awaitable
        steps = awaitable.__await__()
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()
        raise RuntimeError(f"{method.__qualname__}() of a sync consumer awaited something: make it a plain function")

    return cast(Callable[Concatenate[Any, P], Any], plain)


def run_on_loop(function: Callable[Concatenate[Any, P], Awaitable[R]]) -> Callable[Concatenate[Any, P], Any]:
    """Make a plain function, for worker threads, that runs the async `function` on the connection's event loop.

    On an event loop it returns the coroutine.
    """
    blocking = async_to_sync(function)

    @functools.wraps(function, updated=())
    def dual(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) if _on_a_loop() else blocking(*args, **kwargs)

    return dual


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class LoopScope:
    """A cancel scope of an event loop that may be cancelled from any thread.

    Args:
        scope: the scope.
        loop: its event loop.
    """

    def __init__(self, scope: anyio.CancelScope, loop: asyncio.AbstractEventLoop) -> None:
        self._scope = scope
        self._loop = loop

    def cancel(self) -> None:
        """Cancel the scope; from a thread, as soon as the loop gets to it."""
        if _on_a_loop():
            self._scope.cancel()
        else:
            self._loop.call_soon_threadsafe(self._scope.cancel)

    @property
    def cancel_called(self) -> bool:
        """Whether the scope has been cancelled."""
        return self._scope.cancel_called


class Threads:
    """The worker threads of one sync consumer.

    Args:
        thread_sensitive: run in asgiref's one thread for code that must not change threads, as Channels does,
            instead of this module's forty.

    Raises:
        RuntimeError: the event loop is not asyncio's.
    """

    def __init__(self, thread_sensitive: bool) -> None:
        if not _on_a_loop():
            raise RuntimeError("sync consumers need asyncio: use an async consumer on trio")
        self.loop = asyncio.get_running_loop()
        self._sensitive = thread_sensitive
        self._busy = 0
        self._lock = threading.Lock()
        self._idle: anyio.Event | None = None

    async def run(self, function: Callable[..., R], *args: Any, ending: bool = False) -> R:
        """Run a plain function in a thread. Cancelling abandons the thread; `wait()` knows when it is done.

        Args:
            function: the function.
            args: its arguments.
            ending: use the threads that are kept for endings.
        """
        context = contextvars.copy_context()
        is_given_up = False

        def tracked() -> R:
            with self._lock:
                if is_given_up:  # while the executor was about to start it: `wait()` may be over already
                    return cast(R, None)
                self._busy += 1
            outer, _thread.context = getattr(_thread, "context", None), context
            try:
                return function(*args)
            except StopIteration as error:  # a future cannot carry it
                raise RuntimeError(f"{getattr(function, '__qualname__', function)} raised StopIteration") from error
            finally:
                _thread.context = outer  # the thread outlives the connection
                with self._lock:
                    self._busy -= 1
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    self.loop.call_soon_threadsafe(self._finished)

        try:
            return await self._call(tracked, ending)
        finally:
            with self._lock:
                is_given_up = True

    async def _call(self, function: Callable[[], R], ending: bool) -> R:
        if self._sensitive:
            executor_above = getattr(AsyncToSync.executors, "current", None)
            try:
                return await sync_to_async(function, thread_sensitive=True)()
            except BaseException:
                # Of a thread that is cancelled inside `async_to_sync`, asgiref has brought back the executor of that
                # call, which ends with it: the next handler, and disconnect(), could not run.
                AsyncToSync.executors.current = executor_above
                raise
        # Its annotation is narrower than what it passes on to the event loop: any executor.
        executor = cast(ThreadPoolExecutor, _ending_threads if ending else _threads)
        return await sync_to_async(function, thread_sensitive=False, executor=executor)()

    def start_on_loop(self, function: Callable[[], R]) -> R:
        """Call, from a thread, a plain function that starts tasks, on the loop and in the calling handler's context.

        The thread's own context holds what asgiref knows of this thread, which no task may inherit.
        """
        if _on_a_loop():
            return function()
        result: Future[R] = Future()

        async def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)
                raise

        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(run()), context=_thread.context.copy())
        return result.result()

    async def wait(self) -> None:
        """Wait until no abandoned thread is running any more."""
        while self._busy:
            self._idle = anyio.Event()
            await self._idle.wait()

    def _finished(self) -> None:
        if self._idle is not None:
            self._idle.set()
