"""What an event loop does before it is closed."""

import asyncio
import logging
import os

import anyio
import anyio.lowlevel
import pytest

from consumers.layers.redis.loop_close import before_close

from ...support.redis_loops import run_script

IMPORTS = """
import os, asyncio
from consumers.layers.redis.loop_close import before_close
"""

OWN_WORK_OF_A_CHILD = """
loop, done = asyncio.new_event_loop(), []

async def work(whose):
    done.append(whose)

before_close(loop, lambda: work("the parent's"))
reader, writer = os.pipe()
if (child := os.fork()) == 0:
    before_close(loop, lambda: work("the child's"))
    loop.close()
    os._exit(done != ["the child's"])
assert os.waitpid(child, 0)[1] == 0
loop.close()
assert done == ["the parent's"], done
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_loop_does_before_its_end_what_its_own_process_wants() -> None:
    run_script(IMPORTS + OWN_WORK_OF_A_CHILD)


def test_it_runs_to_its_end_before_the_loop_is_closed_and_then_never() -> None:
    loop, done = asyncio.new_event_loop(), []

    async def work(what: str) -> None:
        await asyncio.sleep(0)
        done.append(what)

    before_close(loop, lambda: work("kept"))
    take_back = before_close(loop, lambda: work("taken back"))
    take_back()
    loop.close()
    loop.close()
    assert done == ["kept"]


def test_a_failure_keeps_neither_the_rest_nor_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    loop, done = asyncio.new_event_loop(), []

    async def fail() -> None:
        raise LookupError

    async def work() -> None:
        done.append(True)

    before_close(loop, fail)
    before_close(loop, work)
    loop.close()
    assert loop.is_closed() and done == [True]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.anyio
async def test_a_loop_that_is_closed_from_within_another_does_it_in_a_thread() -> None:
    loop, done = asyncio.new_event_loop(), []

    async def work() -> None:
        await anyio.lowlevel.checkpoint()
        done.append(True)

    before_close(loop, work)
    loop.close()
    assert done == [True]
