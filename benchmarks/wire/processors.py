"""Processors of their own for the clients' process and the servers, and a clients' process that never sleeps.

A frame to a process that sleeps costs whoever sends it the waking, about as much again as handing the frame over. The
clients here stand for others on a thousand machines, to whom a server pays nothing of the kind.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

CLIENTS, SERVERS = set(_ALL[:1]), set(_ALL[1:])

ARE_ENOUGH = len(_ALL) > 1
"""Whether there are processors for both, and the system lets a process choose."""


@contextmanager
def on(processors: set[int]) -> Iterator[None]:
    """Run on these processors only, as do the processes that are started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[None]:
    """Look for frames all the time, on the clients' processor, instead of sleeping until one comes."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        nonlocal handle
        handle = loop.call_soon(look)

    handle = loop.call_soon(look)
    try:
        with on(CLIENTS):
            yield
    finally:
        handle.cancel()
