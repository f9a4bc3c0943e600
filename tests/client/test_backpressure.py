"""A slow reader: what waits for it is bounded, nothing is lost, and answers come all the same."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers.client import Client, NoAnswer

from ..support.clock import ManualClock
from .scripted import serving
from .stage import Flood, Say, Stage

pytestmark = pytest.mark.anyio

PATIENCE = 20


async def until_quiet(client: Client[dict[str, object]]) -> int:
    """Return how many messages wait once the client reads no more."""
    with anyio.fail_after(PATIENCE):
        while client._runner._may_read():
            await client._runner.inbox.changed.wait()
        await anyio.wait_all_tasks_blocked()
    return len(client._runner.inbox)


async def test_what_waits_is_bounded_and_all_comes_in_order(stage: Stage) -> None:
    async with Client(stage.url(), inbox_limit=10) as client:
        await client.send(Flood(count=500, size=20_000))
        assert await until_quiet(client) == 10
        for number in range(500):
            assert (await anext(client))["text"].strip() == str(number)
            assert len(client._runner.inbox) <= 10


async def test_a_loop_over_waiting_messages_lets_others_run(stage: Stage) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with Client(stage.url(), inbox_limit=200) as client:
        await client.send(Flood(count=200))
        assert await until_quiet(client) == 200
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            for _ in range(200):
                await anext(client)
            tasks.cancel_scope.cancel()
    assert turns >= 100


async def test_a_reader_may_ask_while_messages_wait(stage: Stage) -> None:
    async with Client(stage.url(), inbox_limit=10) as client:
        await client.send(Flood(count=25))
        assert await until_quiet(client) == 10
        await client.request(Say(text="asked"))
        assert [(await anext(client))["text"] for _ in range(25)] == [*map(str, range(25))]


async def test_an_answer_behind_too_much_says_so(stage: Stage, clock: ManualClock) -> None:
    async with Client(stage.url(), inbox_limit=10, clock=clock) as client:
        await client.send(Flood(count=100))
        await until_quiet(client)
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(NoAnswer, match="messages wait for `async for`"):
                    await client.request(Say(text="asked"))

            tasks.start_soon(ask)
            with anyio.fail_after(PATIENCE):
                while len(client._runner.inbox) < 40:
                    await client._runner.inbox.changed.wait()
            clock.advance(10)


async def test_silence_of_this_side_is_no_half_open_connection(stage: Stage, clock: ManualClock) -> None:
    async with Client(stage.url(), inbox_limit=5, clock=clock) as client:
        await client.send(Flood(count=20))
        await until_quiet(client)
        for _ in range(10):
            clock.advance(20)
            await anyio.wait_all_tasks_blocked()
        assert client.state == "open"
        assert [(await anext(client))["text"] for _ in range(20)] == [*map(str, range(20))]
        assert stage.proxy.connections == 1


async def test_a_server_that_does_not_read_is_read_from_all_the_same() -> None:
    async with serving() as server, Client(server.url) as client, anyio.create_task_group() as tasks:
        connection = await server.connection()
        connection.reads.clear()

        async def send() -> None:
            for _ in range(50):
                await client.send({"type": "large", "text": "x" * 1_000_000})

        tasks.start_soon(send)
        with anyio.fail_after(PATIENCE):
            while client._runner.outbox._size() < 40:
                await client._runner.outbox._changed.wait()
            await anyio.wait_all_tasks_blocked()
            for number in range(3):
                await connection.tell({"type": "said", "number": number})
                assert (await anext(client))["number"] == number
        connection.reads.set()
