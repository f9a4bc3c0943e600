"""Channels' helpers."""

import asyncio
import threading

import pytest
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch, name_that_thing


class Thing:
    def method(self):
        pass

    @classmethod
    def class_method(cls):
        pass


def function():
    pass


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Thing, "tests.parity.test_utils.Thing"),
        (function, "tests.parity.test_utils.function"),
        (Thing(), "tests.parity.test_utils.Thing"),
        (asyncio.Queue, "asyncio.queues.Queue"),
    ],
)
def test_things_have_names(thing, name):
    assert name_that_thing(thing) == name


async def test_several_sources_are_dispatched_one_at_a_time():
    first, second, seen, busy = asyncio.Queue(), asyncio.Queue(), [], []

    async def dispatch(message):
        assert not busy
        busy.append(message)
        await asyncio.sleep(0)
        busy.remove(message)
        seen.append(message)
        if len(seen) == 6:
            raise StopConsumer

    for number in range(3):
        first.put_nowait(("first", number))
        second.put_nowait(("second", number))
    with pytest.raises(StopConsumer):
        await await_many_dispatch([first.get, second.get], dispatch)
    assert [message for message in seen if message[0] == "first"] == [("first", number) for number in range(3)]
    assert [message for message in seen if message[0] == "second"] == [("second", number) for number in range(3)]


async def test_what_a_source_raises_ends_them_all():
    cancelled = asyncio.Event()

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fails():
        raise KeyError("source")

    async def dispatch(message):
        raise AssertionError

    with pytest.raises(KeyError):
        await await_many_dispatch([waits, fails], dispatch)
    assert cancelled.is_set()


async def test_a_plain_function_runs_in_another_thread():
    def work(a, b=0):
        return a + b, threading.get_ident()

    total, thread = await database_sync_to_async(work)(1, b=2)
    assert total == 3
    assert thread != threading.get_ident()


async def test_a_method_may_be_decorated():
    class Owner:
        name = "owner"

        @database_sync_to_async
        def work(self, suffix):
            """Works."""
            return self.name + suffix

    assert await Owner().work("!") == "owner!"
    assert Owner.work.__name__ == "work"


async def test_what_the_function_raises_is_raised():
    @database_sync_to_async
    def fails():
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await fails()


async def test_all_functions_share_one_thread():
    idents = [await database_sync_to_async(threading.get_ident)() for _ in range(5)]
    assert len(set(idents)) == 1
