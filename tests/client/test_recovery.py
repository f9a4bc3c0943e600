"""Python's client comes back after a cut: in order, each message once, and told where some are missing."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from consumers.client import Client, Closed, Detail, NoAnswer, QueueFull, State

from ..support.clock import ManualClock
from ..support.redis_server import running_redis
from ..support.slow import left_to_ci
from .stage import LOOPS, Held, Hold, Leave, Said, Say, Stage, redis_layer, staged

pytestmark = pytest.mark.anyio

PATIENCE = 10


@pytest.fixture(params=["memory", *left_to_ci("redis")])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Here the history is in memory, and in Redis."""
    if request.param == "memory":
        with staged() as stage:
            yield stage
        return
    with running_redis() as redis, staged(lambda: redis_layer(redis.url)) as stage:
        yield stage


class States(list[tuple[State, Detail]]):
    """What `on_state` was told."""

    def __call__(self, state: State, detail: Detail) -> None:
        self.append((state, detail))

    @property
    def names(self) -> list[State]:
        return [state for state, _ in self]


async def take(client: Client[Any], count: int) -> list[str]:
    """Return the texts of the next messages."""
    with anyio.fail_after(PATIENCE):
        return [(await anext(client))["text"] for _ in range(count)]


async def until(client: Client[Any], state: State) -> None:
    with anyio.fail_after(PATIENCE):
        while client.state != state:
            await client._runner.changed.wait()


async def test_messages_come_in_order_and_the_state_is_told(stage: Stage) -> None:
    states = States()
    async with Client(stage.url(), on_state=states) as client:
        assert await client.request(Say(text="one")) is None
        await client.send({"type": "say", "text": "two"})
        assert await take(client, 2) == ["one", "two"]
        assert client.state == "open"
        assert list(client.positions) == ["room"]
    assert states.names == ["connecting", "open", "closed"]


async def test_after_a_restart_of_the_server_the_missed_messages_come_once(stage: Stage) -> None:
    states = States()
    async with Client(stage.url(), on_state=states) as client:
        await client.request(Say(text="before"))
        stage.stop_server()
        await until(client, "offline")
        stage.say("missed", "too")
        stage.start_server()
        await until(client, "open")
        stage.say("after")
        assert await take(client, 4) == ["before", "missed", "too", "after"]
    assert states.names[:2] == ["connecting", "open"]
    assert states.names[-3:] == ["recovering", "open", "closed"]
    assert states[2][0] == "offline" and states[2][1].code == 1012


@pytest.mark.parametrize("after", [1, 40, 300])
async def test_after_a_cut_in_mid_frame_the_message_comes_once(stage: Stage, after: int) -> None:
    async with Client(stage.url()) as client:
        await client.request(Say(text="one"))
        stage.proxy.cut_after = after
        stage.say("x" * 500, "two")
        assert await take(client, 3) == ["one", "x" * 500, "two"]
        assert stage.proxy.connections >= 2


async def test_a_request_without_an_answer_is_sent_again_with_the_same_id(stage: Stage) -> None:
    async with Client(stage.url(), messages=Said | Held) as client:
        async with anyio.create_task_group() as tasks:
            answers = []

            async def ask() -> None:
                answers.append(await client.request(Hold()))

            tasks.start_soon(ask)
            while not stage.consumer.held:
                await anyio.sleep(0.01)  # it is in another thread
            stage.cut()
            while stage.consumer.held < 2:
                await anyio.sleep(0.01)
            stage.release()
        assert answers == [Held(times=2)]


async def test_what_is_said_offline_goes_out_later_and_once_in_order(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        await client.wait_open()
        stage.stop_server()
        await until(client, "offline")
        await client.send(Say(text="one"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.request, Say(text="two"))
            await anyio.wait_all_tasks_blocked()
            await client.send(Say(text="three"))
            stage.start_server()
        assert await take(client, 3) == ["one", "two", "three"]


@pytest.mark.parametrize("waits", [True, False])
async def test_what_is_sent_last_is_not_lost_with_the_end_of_the_block(stage: Stage, waits: bool) -> None:
    async with Client(stage.url()) as reader:
        await reader.wait_open()
        async with Client(stage.url()) as client:
            if waits:
                await client.wait_open()
            for number in range(50):
                await client.send(Say(text=str(number)))
        assert await take(reader, 50) == [*map(str, range(50))]


async def test_a_full_queue_says_so(stage: Stage) -> None:
    stage.stop_server()
    async with Client(stage.url(), queue_limit=2) as client:
        await client.send(Say(text="one"))
        await client.send(Say(text="two"))
        with pytest.raises(QueueFull, match="2 messages wait"):
            await client.send(Say(text="three"))
        with pytest.raises(QueueFull):
            await client.request(Say(text="three"))
        stage.start_server()
        await client.wait_open()
        for number in range(20):  # there is a connection: it waits for room
            await client.send(Say(text=str(number)))
        assert await take(client, 22) == ["one", "two", *map(str, range(20))]


async def test_a_half_open_connection_is_noticed_and_left(clock: ManualClock, stage: Stage) -> None:
    states = States()
    async with Client(stage.url(), on_state=states, clock=clock) as client:
        await client.request(Say(text="before"))
        stage.abandon()
        stage.say("missed")
        clock.advance(25)
        await anyio.wait_all_tasks_blocked()
        assert client.state == "open"
        clock.advance(10)
        await until(client, "offline")
        assert client.detail.reason == "no answer to a ping"
        clock.advance(1)
        assert await take(client, 2) == ["before", "missed"]
    assert states.names == ["connecting", "open", "offline", "connecting", "recovering", "open", "closed"]


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_handshake_without_an_answer_is_given_up(clock: ManualClock, stage: Stage) -> None:
    stage.call(stage.proxy.flowing.clear)
    async with Client(stage.url(), clock=clock) as client:
        while not stage.proxy.connections:
            await anyio.sleep(0.01)  # it is in another thread
        clock.advance(10)
        await until(client, "offline")
        assert client.detail.reason == "no connection within 10 s"
        stage.call(stage.proxy.flowing.set)
        clock.advance(1)
        await until(client, "open")


async def test_a_ping_is_answered_and_the_connection_stays(clock: ManualClock, stage: Stage) -> None:
    async with Client(stage.url(), clock=clock) as client:
        await client.wait_open()
        heartbeat = client._runner._heartbeat
        for _ in range(3):
            clock.advance(25)
            with anyio.fail_after(PATIENCE):
                while heartbeat._heard_at < clock.time():
                    await anyio.sleep(0.01)
            clock.advance(10)
            await anyio.wait_all_tasks_blocked()
        assert client.state == "open"
        assert stage.proxy.connections == 1


async def test_a_consumer_that_does_not_speak_the_protocol_gets_no_pings(clock: ManualClock, stage: Stage) -> None:
    async with Client(stage.url("plain"), clock=clock) as client:
        await client.wait_open()
        clock.advance(120)
        await client.send({"type": "any", "text": "hello"})
        assert await take(client, 1) == ["hello"]
        assert stage.proxy.connections == 1


async def test_a_position_that_is_too_old_is_a_gap_in_its_place(stage: Stage) -> None:
    gaps: list[tuple[str, list[str]]] = []
    seen: list[str] = []

    async def on_gap(label: str) -> None:
        gaps.append((label, list(seen)))

    async with Client(stage.url(), on_gap=on_gap) as client:
        await client.request(Say(text="before"))
        stage.stop_server()
        await until(client, "offline")
        stage.say(*map(str, range(150)))
        stage.start_server()
        await until(client, "open")
        await client.request(Say(text="after"))
        for _ in range(2):
            seen += await take(client, 1)
    assert seen == ["before", "after"]
    assert gaps == [("room", ["before"])]


async def test_a_group_without_history_has_a_gap_after_each_cut(stage: Stage) -> None:
    gaps: list[str] = []
    async with Client(stage.url("lobby"), on_gap=gaps.append) as client:
        await client.wait_open()
        await client.request(Say(text="elsewhere"))
        stage.cut()
        await until(client, "offline")
        await client.request(Say(text="elsewhere"))
        stage.say("here", group="lobby")
        assert await take(client, 1) == ["here"]
        assert gaps == ["room"]
        assert client.positions == {}


async def test_another_client_goes_on_from_the_positions_of_one(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        for text in ("one", "two", "three"):
            await client.request(Say(text=text))
        assert await take(client, 1) == ["one"]
        kept = client.positions
    async with Client(stage.url(), since=kept) as client:
        assert await take(client, 2) == ["two", "three"]
        assert client.positions != kept


async def test_the_backoff_begins_anew_after_a_connection_that_has_worked(clock: ManualClock, stage: Stage) -> None:
    async with Client(stage.url(), clock=clock) as client:
        for seconds, attempts in ((4.9, 11), (5.0, 1)):
            await client.wait_open()
            client._runner._attempt = 10
            clock.advance(seconds)
            stage.cut()
            await until(client, "offline")
            assert client._runner._attempt == attempts
            clock.advance(20)


async def test_a_hint_is_obeyed(clock: ManualClock, stage: Stage) -> None:
    async with Client(stage.url(), clock=clock) as client:
        await client.wait_open()
        await client.send(Leave(code=1012, reason="retry=5-20"))
        await until(client, "offline")
        assert client.detail[:2] == (1012, "retry=5-20")
        assert client.detail.retry_in is not None and 5 <= client.detail.retry_in <= 20
        clock.advance(4.9)
        await anyio.wait_all_tasks_blocked()
        assert client.state == "offline"
        clock.advance(15.1)
        await until(client, "open")


async def test_no_answer_in_time_is_an_error(clock: ManualClock, stage: Stage) -> None:
    async with Client(stage.url(), clock=clock) as client:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(NoAnswer, match=r"no answer within 5\.0 s"):
                    await client.request(Hold(), timeout=5.0)

            tasks.start_soon(ask)
            while not stage.consumer.held:
                await anyio.sleep(0.01)
            clock.advance(5)
        stage.release()
        await client.request(Say(text="still open"))
        assert await take(client, 1) == ["still open"]  # and not the late answer


async def test_requests_end_when_the_client_is_closed(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(Closed):
                    await client.request(Hold())

            tasks.start_soon(ask)
            while not stage.consumer.held:
                await anyio.sleep(0.01)
            await client.close()
        assert [message async for message in client] == []
        with pytest.raises(Closed):
            await client.send(Say(text="late"))
