"""Messages of named channels, which several processes take in turns: what one took for nobody goes back."""

import asyncio
import contextlib
from typing import Any

import anyio
import pytest

from consumers.layers.redis import RedisChannelLayer
from consumers.layers.redis.layer import RedisLayer

from .tools import PATIENCE, Make, until

pytestmark = pytest.mark.anyio


async def all_of(layer: RedisLayer, channel: str) -> list[int]:
    """Take what there is in a channel."""
    numbers = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(1):
                numbers.append((await layer.receive(channel))["number"])
    return numbers


async def test_receives_that_are_cancelled_again_and_again_lose_nothing(make: Make) -> None:
    sender, impatient, heir = make("queue", capacity=1000), make("queue"), make("queue")
    got: list[int] = []

    async def receive() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    got.append((await impatient.receive("jobs"))["number"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        for number in range(300):
            await sender.send("jobs", {"type": "job", "number": number})
            await asyncio.sleep(0.001)
        tasks.cancel_scope.cancel()
    await impatient.close()
    assert sorted(got + await all_of(heir, "jobs")) == list(range(300))


async def test_what_a_cancelled_receive_had_got_goes_to_another_process(make: Make) -> None:
    first, second = make("queue"), make("queue")
    receiving = asyncio.create_task(first.receive("jobs"))
    await until(lambda: first._process.local.is_awaited("jobs"))
    first._process.local.send("jobs", {"type": "job", "number": 1})
    receiving.cancel()  # before it has seen that
    with pytest.raises(asyncio.CancelledError):
        await receiving
    with anyio.fail_after(PATIENCE):
        assert await second.receive("jobs") == {"type": "job", "number": 1}


async def test_what_is_put_back_comes_before_what_waits(make: Make) -> None:
    layer: RedisChannelLayer = make("queue")
    for number in (1, 2, 3):
        await layer.send("jobs", {"type": "job", "number": number})
    taken: list[Any] = [await layer.receive("jobs"), await layer.receive("jobs")]
    for message in reversed(taken):
        await layer.put_back("jobs", message)
    with anyio.fail_after(PATIENCE):
        assert await all_of(layer, "jobs") == [1, 2, 3]
