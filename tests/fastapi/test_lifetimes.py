"""Dependencies with `yield`: how long they live, and in which order all ends."""

import contextvars
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocketException
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from consumers import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from consumers.types import Receive, Scope, Send

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

events: list[str] = []
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    events.clear()


async def database() -> AsyncIterator[str]:
    variable.set("of the dependency")
    events.append("open")
    try:
        yield "database"
    except Exception as error:
        events.append(f"sees {error!r}")
        raise
    finally:
        events.append("closed")


async def inner(database: Annotated[str, Depends(database)]) -> AsyncIterator[str]:
    events.append("inner open")
    try:
        yield f"{database}, inner"
    finally:
        events.append("inner closed")


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self, session: Annotated[str, Depends(inner)]) -> None:
        events.append(f"connect {variable.get()}")
        self.session = session
        await self.accept()

    async def receive_json(self, content: Any) -> None:
        events.append("receive")
        if content == "raise":
            raise LookupError("of a handler")
        if content == "close":
            raise WebSocketException(4001, "closed")
        await self.send_json(self.session)

    async def disconnect(self, code: int) -> None:
        events.append(f"disconnect {code} {self.session}")


class SyncRoom(JsonWebsocketConsumer):
    def connect(self, session: Annotated[str, Depends(inner)]) -> None:
        events.append(f"connect {variable.get()}")
        self.session = session
        self.accept()

    def receive_json(self, content: Any) -> None:
        events.append("receive")
        if content == "raise":
            raise LookupError("of a handler")
        if content == "close":
            raise WebSocketException(4001, "closed")
        self.send_json(self.session)

    def disconnect(self, code: int) -> None:
        events.append(f"disconnect {code} {self.session}")


BEGIN = ["open", "inner open", "connect of the dependency", "receive"]


def client_of(consumer: Any, backend: Any = "asyncio") -> TestClient:
    app = FastAPI()
    app.add_api_websocket_route("/ws", consumer.as_endpoint())
    return TestClient(app, backend=backend)


@both
def test_a_dependency_lives_until_disconnect_has_run(backend: Any) -> None:
    with client_of(Room, backend).websocket_connect("/ws") as websocket:
        websocket.send_json("hello")
        assert websocket.receive_json() == "database, inner"
        assert events == BEGIN
        websocket.close(1000)
    assert events == [*BEGIN, "disconnect 1000 database, inner", "inner closed", "closed"]


@pytest.mark.parametrize(("consumer", "backend"), [(Room, "asyncio"), (Room, "trio"), (SyncRoom, "asyncio")])
def test_a_dependency_sees_a_handlers_error_after_disconnect(consumer: Any, backend: Any) -> None:
    with (
        pytest.raises(LookupError, match="of a handler"),
        client_of(consumer, backend).websocket_connect("/ws") as websocket,
    ):
        websocket.send_json("raise")
        assert websocket.receive() == {"type": "websocket.close", "code": 1011, "reason": "internal error"}
    seen = ["disconnect 1011 database, inner", "inner closed", "sees LookupError('of a handler')", "closed"]
    assert events == [*BEGIN, *seen]


@pytest.mark.parametrize(("consumer", "backend"), [(Room, "asyncio"), (Room, "trio"), (SyncRoom, "asyncio")])
def test_a_close_that_a_handler_asks_for_is_no_error_to_a_dependency(consumer: Any, backend: Any) -> None:
    with client_of(consumer, backend).websocket_connect("/ws") as websocket:
        websocket.send_json("close")
        assert websocket.receive() == {"type": "websocket.close", "code": 4001, "reason": "closed"}
    assert events == [*BEGIN, "disconnect 4001 database, inner", "inner closed", "closed"]


@both
def test_an_error_of_the_teardown_keeps_the_earlier_one(backend: Any) -> None:
    async def failing() -> AsyncIterator[None]:
        try:
            yield
        finally:
            events.append("fails")
            raise OSError("of the teardown")

    class Fragile(Room):
        async def connect(self, nothing: Annotated[None, Depends(failing)]) -> None:  # type: ignore[override]
            await super().connect("session")

    errors: list[str] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            errors.extend(map(repr, (error, error.__context__)))
            raise

    variable.set("of the dependency")
    app = client_of(Fragile).app
    with (
        pytest.raises(OSError, match="of the teardown"),
        TestClient(server, backend=backend).websocket_connect("/ws") as websocket,
    ):
        websocket.send_json("raise")
        assert websocket.receive()["code"] == 1011
    assert errors == ["OSError('of the teardown')", "LookupError('of a handler')"]
    assert events[-2:] == ["disconnect 1011 session", "fails"]


@both
def test_no_consumer_is_made_when_a_dependency_fails(backend: Any) -> None:
    def refuse() -> None:
        raise ZeroDivisionError

    class Never(Room):
        def __init__(self) -> None:
            events.append("made")

        async def connect(self, nothing: Annotated[None, Depends(refuse)]) -> None:  # type: ignore[override]
            events.append("connect")

    with pytest.raises(ZeroDivisionError), client_of(Never, backend).websocket_connect("/ws"):
        pass
    assert events == []


@both
def test_a_dependency_of_several_connections_is_torn_down_with_its_own(backend: Any) -> None:
    with client_of(Room, backend) as client:
        with client.websocket_connect("/ws") as one:
            with client.websocket_connect("/ws"):
                pass
            assert events.count("open") == 2
            assert events.count("closed") == 1
            one.send_json("hello")
            assert one.receive_json() == "database, inner"
    assert events.count("closed") == 2


def test_a_rejected_client_leaves_no_dependency_open() -> None:
    class Closed(Room):
        async def connect(self, session: Annotated[str, Depends(inner)]) -> None:
            self.session = session
            await self.close(4003)

    with pytest.raises(WebSocketDisconnect) as caught, client_of(Closed).websocket_connect("/ws"):
        pass
    assert caught.value.code == 4003
    assert events[-3:] == ["disconnect 4003 database, inner", "inner closed", "closed"]
