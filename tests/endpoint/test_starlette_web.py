"""What starlette_web promises of its `BaseWSEndpoint`, in its project's own scenes, retold for this one.

Its tests wait for seconds and look into a cache; these wait for what happens, and look into a list.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex
from typing import Any, NamedTuple

import anyio
import pytest
import websockets.sync.client
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from consumers import BaseWSEndpoint, InMemoryChannelLayer
from consumers.types import Message

from ..support.endpoints import uvicorn_serving, wait_for


class Base(BaseWSEndpoint):
    """Notes each task in `cache`: its name while it runs, then its result, if it has one."""

    encoding = "json"
    cache: dict[str, Any]
    gate: anyio.Event

    def __init_subclass__(cls) -> None:
        cls.cache = {}

    async def on_connect(self, websocket: WebSocket) -> None:
        type(self).gate = anyio.Event()
        await super().on_connect(websocket)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        if data["request_type"] == "open":
            self.gate.set()
            return None
        await self.gate.wait()
        return data["request_type"]

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        self.cache[task_id] = 1

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        del self.cache[task_id]
        if task_result is not None:
            self.cache[f"{task_id}_result"] = task_result


class Cancellation(Base):
    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        if data["request_type"] == "cancel":
            return None
        if data["request_type"] == "fail":
            raise Exception("fail")
        return await super()._background_handler(task_id, websocket, data)

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        self.cache[f"{task_id}_exception"] = str(exc)
        raise WebSocketDisconnect(code=1005) from exc


class Finite(Base):
    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        for number in range(4):
            await websocket.send_json({"response": number})
            await anyio.sleep(0.001)
        return "finished"


class Infinite(Base):
    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        number = 0
        while True:
            await websocket.send_json({"response": f"{data['request_type']}_{number}"})
            await anyio.sleep(0.001)
            number += 1

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        await super()._unregister_background_task(task_id, websocket, "finished")


class Refusing(Base):
    """Its visitors have no right to be here."""

    async def on_connect(self, websocket: WebSocket) -> None:
        if websocket.headers.get("authorization") != "Bearer token":
            raise WebSocketDisconnect(code=3000, reason="permission denied")
        await super().on_connect(websocket)


class Channel(NamedTuple):
    messages: Any
    close: anyio.Event


class Chat(BaseWSEndpoint):
    """As starlette_web's own chat: one lock, a set of tasks, a channel in a task of its own."""

    encoding = "json"
    layer: InMemoryChannelLayer

    async def on_connect(self, websocket: WebSocket) -> None:
        self.lock = anyio.Lock()
        self.channel: Channel | None = None
        self.has_dialogue = False
        self.tasks: set[str] = set()
        await self.accept(websocket)

    async def run_channel(self, *, task_status: TaskStatus[Channel]) -> None:
        send, receive = anyio.create_memory_object_stream[Message](100)

        def deliver(message: Message) -> int:
            send.send_nowait(message)
            return 1

        with send, receive:
            name = self.layer.attach(deliver)
            try:
                await self.layer.group_add("chatroom", name)
                channel = Channel(receive, anyio.Event())
                task_status.started(channel)
                await channel.close.wait()
            finally:
                self.layer.detach(name)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        async with self.lock:
            if self.channel is None and data["request_type"] == "connect":
                self.channel = await self.task_group.start(self.run_channel)
            self.tasks.add(task_id)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        async with self.lock:
            channel = self.channel
        if channel is None:
            return
        match data["request_type"]:
            case "publish":
                await self.layer.group_send("chatroom", {"type": "said", "text": data["message"]})
            case "connect":
                dialogue_id = token_hex(8)
                self.tasks.add(dialogue_id)
                self.task_group.start_soon(self.run_dialogue, websocket, channel, dialogue_id)
            case _:
                raise WebSocketDisconnect(code=1005, reason="Invalid request type")

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        async with self.lock:
            self.tasks.discard(task_id)
            if self.channel is not None and not self.tasks:
                self.channel.close.set()
                self.channel = None

    async def run_dialogue(self, websocket: WebSocket, channel: Channel, dialogue_id: str) -> None:
        try:
            async with self.lock:
                if self.has_dialogue:
                    return
                self.has_dialogue = True
            async for message in channel.messages:
                await websocket.send_json(message["text"])
        finally:
            self.tasks.discard(dialogue_id)
            self.has_dialogue = False


class Client:
    """Starlette's test client or a real one, spoken to in the same words."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.close = client.close

    def send(self, kind: str, **fields: Any) -> None:
        data = json.dumps({"request_type": kind, **fields})
        (self._client.send_text if isinstance(self._client, WebSocketTestSession) else self._client.send)(data)

    def receive(self) -> Any:
        is_test = isinstance(self._client, WebSocketTestSession)
        return json.loads(self._client.receive_text() if is_test else self._client.recv(5))

    def closed(self) -> int:
        """Wait for the close frame, and return its code."""
        try:
            self.receive()
        except WebSocketDisconnect as closed:
            return closed.code
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError("it was a message")


Connect = Callable[..., AbstractContextManager[Client]]


@contextmanager
def in_the_test_client(endpoint: type[BaseWSEndpoint], backend: Any) -> Iterator[Connect]:
    client = TestClient(Starlette(routes=[WebSocketRoute("/", endpoint)]), backend=backend)

    @contextmanager
    def connect(**headers: str) -> Iterator[Client]:
        with client.websocket_connect("/", headers=headers) as session:
            yield Client(session)

    with client:
        yield connect


@contextmanager
def on_a_server(endpoint: type[BaseWSEndpoint]) -> Iterator[Connect]:
    @contextmanager
    def connect(**headers: str) -> Iterator[Client]:
        with websockets.sync.client.connect(url, additional_headers=headers) as client:
            yield Client(client)

    with uvicorn_serving(endpoint, "websockets-sansio") as url:
        yield connect


PLACES: dict[str, Callable[[type[BaseWSEndpoint]], AbstractContextManager[Connect]]] = {
    "test client, asyncio": lambda endpoint: in_the_test_client(endpoint, "asyncio"),
    "test client, trio": lambda endpoint: in_the_test_client(endpoint, "trio"),
    "uvicorn": on_a_server,
}

pytestmark = [
    pytest.mark.parametrize("place", PLACES),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


def test_a_task_is_registered_while_it_runs_and_leaves_its_result(place: str) -> None:
    class Endpoint(Base):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        assert Endpoint.cache == {}
        client.send("test")
        wait_for(lambda: len(Endpoint.cache) == 1)
        [task_id] = Endpoint.cache
        assert len(task_id) == 32
        client.send("open")
        wait_for(lambda: list(Endpoint.cache) == [f"{task_id}_result"])
        assert Endpoint.cache[f"{task_id}_result"] == "test"


def test_several_tasks_run_at_once(place: str) -> None:
    class Endpoint(Base):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        names = {"test_1", "test_2", "test_3"}
        for name in names:
            client.send(name)
        wait_for(lambda: len(Endpoint.cache) == 3)
        client.send("open")
        wait_for(lambda: set(Endpoint.cache.values()) == names)


def test_a_task_that_returns_cancels_no_other(place: str) -> None:
    class Endpoint(Cancellation):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        for name in ("test_1", "test_2", "cancel", "open"):
            client.send(name)
        wait_for(lambda: set(Endpoint.cache.values()) == {"test_1", "test_2"})


def test_a_task_that_fails_cancels_the_others_and_closes(place: str) -> None:
    class Endpoint(Cancellation):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        for name in ("test_1", "test_2", "fail"):
            client.send(name)
        assert client.closed() == 1011
        wait_for(lambda: list(Endpoint.cache.values()) == ["fail"])
    [name] = Endpoint.cache
    assert name.endswith("_exception")


def test_a_finite_task_sends_what_it_has_and_no_more(place: str) -> None:
    class Endpoint(Finite):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        client.send("periodic")
        assert [client.receive()["response"] for _ in range(4)] == [0, 1, 2, 3]
        wait_for(lambda: list(Endpoint.cache.values()) == ["finished"])
        client.send("again")  # nothing of the first task comes before what the second one sends
        assert client.receive() == {"response": 0}


def test_infinite_tasks_send_side_by_side_and_end_with_the_client(place: str) -> None:
    class Endpoint(Infinite):
        pass

    with PLACES[place](Endpoint) as connect, connect() as client:
        client.send("x")
        client.send("y")
        heard: list[str] = []
        while min(sum(text.startswith(name) for text in heard) for name in "xy") < 3:
            heard.append(client.receive()["response"])
        client.close(1001)
        wait_for(lambda: list(Endpoint.cache.values()) == ["finished", "finished"])


def test_on_connect_refuses_by_a_websocket_disconnect(place: str) -> None:
    class Endpoint(Refusing):
        pass

    with PLACES[place](Endpoint) as connect:
        with pytest.raises((WebSocketDisconnect, InvalidStatus)), connect():
            pass
        with connect(authorization="Bearer token") as client:
            client.send("test_1")
            client.send("open")
            wait_for(lambda: list(Endpoint.cache.values()) == ["test_1"])


def test_a_chat_reaches_those_who_are_connected_and_closes_its_channel(place: str) -> None:
    class Endpoint(Chat):
        layer = InMemoryChannelLayer()

    def everybody_hears(text: str) -> None:
        assert [client.receive() for client in (one, two)] == [text, text]

    with PLACES[place](Endpoint) as connect, connect() as one, connect() as two:
        one.send("connect")
        for text in ("nobody else hears this", "nor this"):
            one.send("publish", message=text)
            assert one.receive() == text
        two.send("connect")
        wait_for(lambda: len(Endpoint.layer.groups.get("chatroom", ())) == 2)
        one.send("publish", message="Hello!")
        everybody_hears("Hello!")
        for text in ("Good to see you.", "And you."):
            two.send("publish", message=text)
            everybody_hears(text)
        one.send("publish", message="Your turn.")
        everybody_hears("Your turn.")
        two.close(1001)
        wait_for(lambda: len(Endpoint.layer.groups["chatroom"]) == 1)
        one.send("dance")
        assert one.closed() == 1011
        wait_for(lambda: not Endpoint.layer.groups)
