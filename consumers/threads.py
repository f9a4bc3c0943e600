"""Threads that keep nothing alive: a handler that blocks for ever must not keep the process from ending."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

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
