"""The event loop that a layer lives on, and what is asked of it from others."""

import asyncio
import concurrent.futures

import anyio
import pytest

from consumers.layers.redis.commands import Commands
from consumers.layers.redis.hosts import decode_hosts
from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.owner_loop import OwnerLoop, OwnerLoopEnded

from ...support.redis_layers import until
from ...support.redis_loops import errors
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


class Recorded:
    """An owner loop without receivers; `done` is what it has done."""

    def __init__(self, server: RedisServer) -> None:
        self.done: list[object] = []
        self.commands = Commands(decode_hosts([server.url])[0], 5)
        self.owner = OwnerLoop([self.commands], [], self._work, self._clean_up, self._on_end, [], 5)

    async def _work(self) -> None:
        self.done.append("works")
        await anyio.sleep_forever()

    async def _clean_up(self, is_final: bool) -> None:
        await self.commands.run([("PING",)])
        self.done.append("cleans up all" if is_final else "cleans up")

    def _on_end(self, owner: OwnerLoop) -> None:
        self.done.append("has ended")


@pytest.mark.parametrize("is_final", [True, False])
async def test_it_works_until_it_is_ended_and_cleans_up_then(redis_server: RedisServer, is_final: bool) -> None:
    recorded = Recorded(redis_server)
    await until(lambda: recorded.done == ["works"])
    assert recorded.owner.is_alive and recorded.owner.is_here
    assert await recorded.owner.end(is_final)
    assert recorded.done == ["works", "cleans up all" if is_final else "cleans up", "has ended"]
    assert not recorded.owner.is_alive
    assert not await recorded.owner.end(is_final)


async def test_one_that_is_replaced_cleans_nothing_up(redis_server: RedisServer) -> None:
    recorded = Recorded(redis_server)
    await until(lambda: recorded.done == ["works"])
    recorded.owner.replace()
    await until(lambda: recorded.done == ["works", "has ended"])


async def test_the_end_of_its_loop_is_its_end(redis_server: RedisServer) -> None:
    found: list[Recorded] = []

    async def live() -> None:
        found.append(Recorded(redis_server))
        await until(lambda: found[0].done)

    await anyio.to_thread.run_sync(lambda: asyncio.run(live()))
    assert found[0].done[:3] == ["works", "cleans up", "has ended"]


async def test_another_loop_has_a_coroutine_run_on_it(redis_server: RedisServer) -> None:
    recorded = Recorded(redis_server)
    owner = recorded.owner

    async def where(value: int) -> tuple[object, int]:
        return asyncio.get_running_loop(), value

    async def fail() -> None:
        raise LookupError

    assert await anyio.to_thread.run_sync(lambda: asyncio.run(owner.call(where, 5))) == (owner.loop, 5)
    with pytest.raises(LookupError):
        await anyio.to_thread.run_sync(lambda: asyncio.run(owner.call(fail)))
    await owner.end()


async def test_a_background_job_that_fails_is_logged_and_begun_again(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[None] = []

    async def fail() -> None:
        begun.append(None)
        if len(begun) < 2:
            raise LookupError
        await anyio.sleep_forever()

    monkeypatch.setattr("consumers.layers.redis.owner_loop.JOB_PAUSE", 0.01)
    recorded = Recorded(redis_server)
    owner = OwnerLoop([], [], fail, recorded._clean_up, recorded._on_end, [], 5)
    await until(lambda: len(begun) == 2)
    assert [record.message for record in caplog.records] == [
        "A Redis layer's background job failed and is started again"
    ]
    await owner.end()
    await recorded.owner.end()


async def test_an_owner_loop_that_has_ended_starts_nothing(layer: RedisLayer) -> None:
    started = []

    async def start() -> None:
        started.append(True)

    async def call(owner: OwnerLoop) -> None:
        await owner.call(start)

    owner = layer._process.owners.ensure()
    await owner.until_ready()
    await owner.end()
    with pytest.raises(OwnerLoopEnded):
        await anyio.to_thread.run_sync(lambda: asyncio.run(call(owner)))
    assert started == []


async def test_what_is_asked_of_a_loop_while_it_ends_is_ended_with_it(
    layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[concurrent.futures.Future[None]] = []

    def start_while_it_ends(owner: OwnerLoop) -> None:
        if owner._task.cancelling():
            outcomes.append(concurrent.futures.Future())
            owner._start(outcomes[0], anyio.sleep_forever, ())
            layer._process.spawn(anyio.sleep_forever())
        else:
            owner.loop.call_soon(start_while_it_ends, owner)

    async def live() -> None:
        owner = layer._process.owners.ensure()
        await owner.until_ready()
        start_while_it_ends(owner)

    await anyio.to_thread.run_sync(lambda: asyncio.run(live()))
    assert isinstance(outcomes[0].exception(0), OwnerLoopEnded)
    assert errors(caplog) == []
