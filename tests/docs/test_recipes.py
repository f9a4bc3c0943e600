"""The recipes for `BaseWSEndpoint` in the example project, as a client sees them."""

import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette

from consumers import BaseChannelLayer, InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.types import Message
from example_project.endpoints import routes
from example_project.endpoints.push import PushEndpoint

from ..support.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.anyio

app = Starlette(routes=routes)


@pytest.fixture(autouse=True)
def layer() -> Iterator[InMemoryChannelLayer]:
    layer = InMemoryChannelLayer()
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


class Client:
    def __init__(self) -> None:
        self.to_app, self.receive = anyio.create_memory_object_stream[Message](math.inf)
        self.send, self.from_app = anyio.create_memory_object_stream[Message](math.inf)

    def say(self, *frames: Any) -> None:
        """Send frames, all at once: text as it is, anything else as JSON."""
        for frame in frames:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            self.to_app.send_nowait({"type": "websocket.receive", "text": text})

    async def event(self) -> Message:
        with anyio.fail_after(5):
            return await self.from_app.receive()

    async def hear(self) -> str:
        return str((await self.event())["text"])

    async def hear_json(self) -> Any:
        return json.loads(await self.hear())

    async def silent(self) -> bool:
        await anyio.wait_all_tasks_blocked()
        return self.from_app.statistics().current_buffer_used == 0


@asynccontextmanager
async def connected(path: str) -> AsyncIterator[Client]:
    client = Client()
    scope = {"type": "websocket", "path": path, "root_path": "", "headers": [], "query_string": b""}
    with client.to_app, client.receive, client.send, client.from_app:
        async with anyio.create_task_group() as group:
            group.start_soon(app, scope, client.receive.receive, client.send.send)
            client.to_app.send_nowait({"type": "websocket.connect"})
            assert (await client.event())["type"] == "websocket.accept"
            yield client
            client.to_app.send_nowait({"type": "websocket.disconnect", "code": 1000})


@pytest.fixture
def fast_push(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PushEndpoint, "interval", 0.0)


@pytest.mark.usefixtures("fast_push")
async def test_push_goes_on_until_it_is_stopped() -> None:
    async with connected("/endpoints/push") as client:
        client.say("start")
        assert [await client.hear() for _ in range(5)] == ["1", "2", "3", "4", "5"]
        client.say("stop")
        while await client.hear() != "stopped":
            pass
        assert await client.silent()
        client.say("start")
        assert await client.hear() == "1"


async def test_push_never_has_two_loops_on_one_connection() -> None:
    async with connected("/endpoints/push") as client:
        client.say("start", "start")
        assert {await client.hear(), await client.hear()} == {"1", "already started"}
        assert await client.silent()
        client.say("stop", "start", "start")
        assert sorted([await client.hear() for _ in range(3)]) == ["1", "already started", "stopped"]
        assert await client.silent()


async def test_push_loops_of_two_connections_do_not_know_of_each_other() -> None:
    async with connected("/endpoints/push") as one, connected("/endpoints/push") as two:
        for client in (one, two):
            client.say("start")
            assert await client.hear() == "1"
        one.say("stop")
        assert await one.hear() == "stopped"
        two.say("start", "nonsense")
        assert {await two.hear(), await two.hear()} == {"already started", "send start or stop"}


async def test_an_action_is_answered_while_a_slow_one_is_running() -> None:
    async with connected("/endpoints/actions") as client:
        client.say({"id": "slow", "action": "wait", "argument": 10}, {"id": 2, "action": "roll"})
        with anyio.fail_after(5):
            answer = await client.hear_json()
        assert answer["id"] == 2
        assert answer["result"] in range(1, 7)


async def test_an_action_that_takes_its_time_is_answered_when_it_is_done() -> None:
    async with connected("/endpoints/actions") as client:
        client.say({"id": 1, "action": "wait", "argument": 0.01})
        assert await client.hear_json() == {"id": 1, "result": "waited 0.01 s"}
        client.say({"id": 2, "action": "time"})
        assert (await client.hear_json())["result"].endswith("+00:00")


@pytest.mark.parametrize(
    "request_",
    [
        {"id": 1, "action": "roll", "argument": "six"},
        {"id": 1, "action": "roll", "argument": True},
        {"id": 1, "action": "wait", "argument": 1e9},
        {"id": 1, "action": "wait", "argument": math.nan},
        {"id": 1, "action": "__import__"},
        {"id": 1},
    ],
)
async def test_an_action_that_cannot_be_done_is_an_answer(request_: Any) -> None:
    async with connected("/endpoints/actions") as client:
        client.say(request_)
        answer = await client.hear_json()
        assert answer["id"] == 1
        assert answer["error"]
        client.say([])
        assert (await client.hear_json())["id"] is None


async def test_turns_asks_one_question_after_the_other() -> None:
    async with connected("/endpoints/turns") as client:
        client.say({"start": True})
        for answer in ("Ada", "London", "tea"):
            assert "question" in await client.hear_json()
            client.say({"answer": answer})
        answers = (await client.hear_json())["answers"]
        assert list(answers.values()) == ["Ada", "London", "tea"]
        close = await client.event()
        assert (close["type"], close["code"]) == ("websocket.close", 1000)


async def test_turns_takes_one_answer_for_a_question() -> None:
    async with connected("/endpoints/turns") as client:
        client.say({"answer": "too early"})
        assert await client.hear_json() == {"error": "It is not your turn."}
        client.say({"start": True})
        await client.hear_json()
        client.say({"start": True}, {}, {"answer": 1})
        for _ in range(3):
            assert "error" in await client.hear_json()
        client.say({"answer": "one"}, {"answer": "two"})
        replies = [await client.hear_json(), await client.hear_json()]
        assert any("question" in reply for reply in replies)
        # The second answer is either out of turn or the answer to the second question.
        assert all("question" in reply or reply == {"error": "It is not your turn."} for reply in replies)


@asynccontextmanager
async def chatting(room: str) -> AsyncIterator[Client]:
    async with connected(f"/endpoints/chat/{room}") as client:
        client.say({"type": "connect"})
        yield client


def said(*texts: str) -> list[Any]:
    return [{"type": "say", "text": text} for text in texts]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


LAYERS: dict[str, Callable[[str], BaseChannelLayer]] = {
    "memory": lambda url: InMemoryChannelLayer(),
    "pubsub": lambda url: RedisPubSubChannelLayer(hosts=[url]),
    "queue": lambda url: RedisChannelLayer(hosts=[url]),
}


@pytest.mark.parametrize("kind", LAYERS)
async def test_chat_reaches_everyone_in_the_room_and_nobody_else(
    kind: str, redis_server: RedisServer, anyio_backend_name: str
) -> None:
    if kind != "memory" and anyio_backend_name == "trio":
        return  # Redis layers are for asyncio only
    async with LAYERS[kind](redis_server.url) as layer:
        channel_layers.set("default", layer)
        async with chatting("a") as one, chatting("a") as two, chatting("b") as other:
            for number, client in enumerate((one, two, other)):
                client.say(*said(f"here {number}"))
                while await client.hear_json() != {"text": f"here {number}"}:
                    pass  # who was here before
            texts = [str(number) for number in range(50)]
            one.say(*said(*texts))
            for client in (one, two):
                heard = [(await client.hear_json())["text"] for _ in range(50 + (client is one))]
                assert sorted(set(heard) - {"here 1"}, key=int) == texts
            assert await other.silent()


async def test_chats_subscription_ends_with_the_last_task_that_needs_it(layer: InMemoryChannelLayer) -> None:
    async with chatting("a") as one, chatting("a") as two:
        for client in (one, two):
            client.say(*said("hello"))
        for client in (one, two):
            await client.hear()
        assert len(layer.groups["endpoints.chat.a"]) == 2
        one.say({"type": "leave"})
        await anyio.wait_all_tasks_blocked()
        assert len(layer.groups["endpoints.chat.a"]) == 1
        one.say(*said("gone"))
        while (reply := await one.hear_json()) == {"text": "hello"}:
            pass
        assert reply == {"error": 'Send {"type": "connect"} first.'}
        one.say({"type": "connect"}, *said("back"))
        assert await one.hear_json() == {"text": "back"}
        two.say({"type": "leave"}, {"type": "connect"}, {"type": "connect"}, *said("again"))
        while await two.hear_json() != {"text": "again"}:
            pass
        assert await two.silent()  # connected twice, it hears all once
    assert not layer.channels
    assert not layer.groups


async def test_chat_refuses_what_is_no_text_and_says_so() -> None:
    async with chatting("a") as client:
        refused: list[Any] = [*said("", "x" * 1001), {"type": "say", "text": 1}, {"text": "hello"}, []]
        for nonsense in refused:
            client.say(nonsense)
            assert "error" in await client.hear_json()


async def test_chat_closes_where_the_rooms_name_is_none() -> None:
    async with connected("/endpoints/chat/!") as client:
        close = await client.event()
        assert (close["code"], close["type"]) == (4004, "websocket.close")


async def test_chat_closes_with_its_group(layer: InMemoryChannelLayer) -> None:
    async with chatting("a") as client:
        client.say(*said("hello"))
        await client.hear()
        await layer.close_group("endpoints.chat.a", 4001, "the room is closed")
        assert await client.event() == {"type": "websocket.close", "code": 4001, "reason": "the room is closed"}
