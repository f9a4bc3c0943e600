"""What clients see of exceptions in dependencies, in `connect()` and in handlers."""

import logging
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from consumers import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from consumers.testing import WebsocketCommunicator
from consumers.types import ASGIApp, Receive, Scope, Send

TEAPOT = HTTPException(418, "a teapot", headers={"x-pot": "tea"})

ended: list[int] = []


@pytest.fixture(autouse=True)
def nothing_ended() -> None:
    ended.clear()


def raising(error: Exception | None) -> None:
    if error is not None:
        raise error


async def in_dependency(error: str | None = None) -> None:
    raising(ERRORS[error] if error else None)


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self, nothing: Annotated[None, Depends(in_dependency)], connecting: str | None = None) -> None:
        raising(ERRORS[connecting] if connecting else None)
        await self.accept()

    async def receive_json(self, content: str) -> None:
        raising(ERRORS[content])

    async def disconnect(self, code: int) -> None:
        ended.append(code)


class SyncRoom(JsonWebsocketConsumer):
    def connect(self, nothing: Annotated[None, Depends(in_dependency)], connecting: str | None = None) -> None:
        raising(ERRORS[connecting] if connecting else None)
        self.accept()

    def receive_json(self, content: str) -> None:
        raising(ERRORS[content])

    def disconnect(self, code: int) -> None:
        ended.append(code)


ERRORS: dict[str, Exception] = {
    "teapot": TEAPOT,
    "starlettes": StarletteHTTPException(401),
    "group": ExceptionGroup("several", [TEAPOT]),
    "4005": WebSocketException(4005, "not you"),
}
CONSUMERS = [(Room, "asyncio"), (Room, "trio"), (SyncRoom, "asyncio")]

with_each = pytest.mark.parametrize(("consumer", "backend"), CONSUMERS)


def app_of(consumer: Any) -> FastAPI:
    app = FastAPI()
    app.add_api_websocket_route("/ws", consumer.as_endpoint())
    return app


def without_denials(app: ASGIApp) -> ASGIApp:
    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {}}, receive, send)

    return server


@with_each
@pytest.mark.parametrize("where", ["error", "connecting"])
def test_an_http_exception_before_the_accept_is_the_answer(
    consumer: Any, backend: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(app_of(consumer), backend=backend)
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(f"/ws?{where}=teapot"):
        pass
    assert (caught.value.status_code, caught.value.json()) == (418, {"detail": "a teapot"})
    assert caught.value.headers["x-pot"] == "tea"
    assert ended == ([1006] if where == "connecting" else [])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@with_each
def test_so_is_starlettes_and_one_in_a_group(consumer: Any, backend: Any) -> None:
    for name, status in (("starlettes", 401), ("group", 418)):
        client = TestClient(app_of(consumer), backend=backend)
        with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(f"/ws?connecting={name}"):
            pass
        assert caught.value.status_code == status


def test_the_applications_own_handler_of_http_exceptions_answers() -> None:
    app = app_of(Room)

    @app.exception_handler(HTTPException)
    async def own(connection: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"own": error.detail}, error.status_code)

    for where in ("error", "connecting"):
        with pytest.raises(WebSocketDenialResponse) as caught, TestClient(app).websocket_connect(f"/ws?{where}=teapot"):
            pass
        assert (caught.value.status_code, caught.value.json()) == (418, {"own": "a teapot"})


@with_each
def test_a_server_that_cannot_deny_answers_403(consumer: Any, backend: Any) -> None:
    client = TestClient(without_denials(app_of(consumer)), backend=backend)
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/ws?connecting=teapot"):
        pass
    assert type(caught.value) is WebSocketDisconnect
    assert caught.value.code == 1008
    assert ended == [1008]


class Teapot(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        raise TEAPOT


@pytest.mark.anyio
async def test_without_an_application_around_it_the_consumer_answers() -> None:
    communicator = WebsocketCommunicator(Teapot.as_asgi(), "/ws")
    communicator.scope["extensions"] = {"websocket.http.response": {}}
    await communicator.send_input({"type": "websocket.connect"})
    start, body = await communicator.receive_output(), await communicator.receive_output()
    assert start == {
        "type": "websocket.http.response.start",
        "status": 418,
        "headers": [(b"x-pot", b"tea"), (b"content-length", b"8"), (b"content-type", b"text/plain; charset=utf-8")],
    }
    assert body["body"] == b"a teapot"
    await communicator.wait()


def test_starlette_answers_too() -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", Teapot.as_asgi())])
    with pytest.raises(WebSocketDenialResponse) as caught, TestClient(app).websocket_connect("/ws"):
        pass
    assert (caught.value.status_code, caught.value.text) == (418, "a teapot")


@with_each
@pytest.mark.parametrize("where", ["error", "connecting"])
def test_a_websocket_exception_before_the_accept_rejects(
    consumer: Any, backend: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(app_of(consumer), backend=backend)
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(f"/ws?{where}=4005"):
        pass
    assert (caught.value.code, caught.value.reason) == (4005, "not you")
    assert not [record for record in caplog.records if record.exc_info]


@with_each
def test_a_websocket_exception_after_the_accept_closes_without_a_traceback(
    consumer: Any, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(app_of(consumer), backend=backend).websocket_connect("/ws") as websocket:
        websocket.send_json("4005")
        assert websocket.receive() == {"type": "websocket.close", "code": 4005, "reason": "not you"}
    assert ended == [4005]
    assert not [record for record in caplog.records if record.exc_info]


@with_each
def test_an_http_exception_after_the_accept_is_an_error_that_says_what_to_raise(consumer: Any, backend: Any) -> None:
    client = TestClient(app_of(consumer), backend=backend)
    with (
        pytest.raises(RuntimeError, match=r"after the accept.*: raise WebSocketException") as caught,
        client.websocket_connect("/ws") as websocket,
    ):
        websocket.send_json("teapot")
        assert websocket.receive()["code"] == 1011
    assert caught.value.__cause__ is TEAPOT
    assert ended == [1011]


def test_a_dependency_may_close_but_not_accept() -> None:
    async def meddle(websocket: WebSocket, accepts: bool) -> None:
        await (websocket.accept() if accepts else websocket.close(4006))

    app = FastAPI()
    app.add_api_websocket_route("/ws", Room.as_endpoint(), dependencies=[Depends(meddle)])
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(app).websocket_connect("/ws?accepts=0"):
        pass
    assert caught.value.code == 4006
    wanted = r"^a dependency of Room\.connect\(\) has accepted or read the WebSocket: leave that to the consumer$"
    with pytest.raises(RuntimeError, match=wanted), TestClient(app).websocket_connect("/ws?accepts=1"):
        pass
    assert ended == []
