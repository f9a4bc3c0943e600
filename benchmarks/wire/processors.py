"""Processors of their own for the clients' process and the servers, and a clients' process that never sleeps.

Whoever sends a frame to a process that sleeps pays for waking it: up to half as much again as for handing the frame
over, and more often the later the frame comes. So waking costs slower servers more, and without it they come nearer to
faster ones. But the clients stand for others on a thousand machines, none of which a server wakes.
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
    """Run on these processors only, if there are enough, as do the processes that are started meanwhile."""
    if not ARE_ENOUGH:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[None]:
    """Look for frames all the time, instead of sleeping until one comes."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        nonlocal handle
        handle = loop.call_soon(look)

    handle = loop.call_soon(look)
    try:
        yield
    finally:
        handle.cancel()
