"""An endpoint that raises `WebSocketDisconnect` while its client is there: all ends, with that code."""

import logging
from typing import Any

import anyio
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from consumers.types import Message

from ..support.endpoints import Noted, accepted, served, uvicorn_serving, wait_for

asynchronous = pytest.mark.anyio

PLACES = ["on_connect", "receive", "decode", "on_receive", "register", "handler", "exception hook", "unregister"]
OWN_TASKS = ["own task", "own task, once started"]


class Raising(Noted):
    """Raises `exc` at one place, for the message "go" or before; "wait", from `on_connect()`, waits meanwhile."""

    place = ""
    exc: Exception = WebSocketDisconnect(4001, "enough")

    async def at(self, place: str) -> None:
        if place == self.place:
            await self.act()

    async def act(self) -> None:
        raise self.exc

    async def on_connect(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        await super().on_connect(websocket)
        await self.on_receive(websocket, "wait")
        await self.started.wait()
        await self.at("on_connect")

    async def _receive(self, websocket: WebSocket) -> Message:
        message = await super()._receive(websocket)
        if message.get("text") == "go":
            await self.at("receive")
        return message

    async def decode(self, websocket: WebSocket, message: Message) -> Any:
        await self.at("decode")
        return await super().decode(websocket, message)

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        if data == "go":
            await self.at("on_receive")
        await super().on_receive(websocket, data)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if data == "go":
            await self.at("register")

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        if data != "go":
            return await super()._background_handler(task_id, websocket, data)
        await self.at("handler")
        if self.place == "exception hook":
            raise LookupError
        if self.place == "own task":
            self.task_group.start_soon(self.own_task)
        if self.place == "own task, once started":
            await self.task_group.start(self.own_task)
        return None

    async def own_task(self, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await self.at(self.place)

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        self.seen.append("asked")
        await self.at("exception hook")
        raise exc

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        await super()._unregister_background_task(task_id, websocket, task_result)
        await self.at("unregister")


def raising(where: str, error: Exception | None = None) -> type[Raising]:
    class Endpoint(Raising):
        place = where
        exc = error or Raising.exc

    return Endpoint


def check_order(endpoint: type[Raising], code: int = 4001) -> None:
    """All tasks were cancelled, each was unregistered, and then `on_disconnect()` got the code."""
    without_task = {"on_connect", "receive", "decode", "on_receive", "register"}
    tasks = 1 if endpoint.place in without_task else 2
    assert endpoint.seen.count("cancelled") == 1
    assert endpoint.seen.count(("unregistered", None)) == tasks
    assert endpoint.seen[-1] == ("disconnected", code)
    assert endpoint.seen.count("asked") == (endpoint.place == "exception hook")


@asynchronous
@pytest.mark.parametrize("place", PLACES + OWN_TASKS)
async def test_a_websocket_disconnect_raised_anywhere_ends_all_with_its_code(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    Endpoint = raising(place)
    with caplog.at_level(logging.INFO):
        async with accepted(Endpoint) as server:
            server.text("go")
            assert await server.end() == [{"type": "websocket.close", "code": 4001, "reason": "enough"}]
    assert server.error is None
    check_order(Endpoint)
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert record.exc_info is None
    assert record.message == "Endpoint at '' is closed with 4001: 'enough'"


@asynchronous
@pytest.mark.parametrize("place", PLACES + OWN_TASKS)
async def test_a_code_that_no_frame_may_carry_is_1011(place: str, caplog: pytest.LogCaptureFixture) -> None:
    Endpoint = raising(place, WebSocketDisconnect(1005, "enough"))
    async with accepted(Endpoint) as server:
        server.text("go")
        assert await server.end() == [{"type": "websocket.close", "code": 1011, "reason": "enough"}]
    assert server.error is None
    check_order(Endpoint, 1011)
    [record] = caplog.records
    assert record.exc_info is None
    assert (
        record.message
        == "Endpoint at '' is closed with 1011 (in place of 1005, which no close frame may carry): 'enough'"
    )


@asynchronous
@pytest.mark.parametrize("reason", [None, {"text": ["too long"]}, "é" * 100], ids=["none", "no text", "long"])
async def test_whatever_the_reason_is_a_close_frame_takes_it(reason: Any) -> None:
    exc = WebSocketDisconnect(4001)
    exc.reason = reason
    async with accepted(raising("handler", exc)) as server:
        server.text("go")
        [close] = await server.end()
    assert close["reason"] == ("" if reason is None else str(reason)[:61])
    assert server.error is None


@asynchronous
@pytest.mark.parametrize("place", PLACES + OWN_TASKS)
async def test_when_the_client_has_gone_nothing_is_closed_and_nothing_logged(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Endpoint(Raising):
        async def act(self) -> None:
            server.gone = True
            await self.websocket.send_text("anyone there?")

    Endpoint.place = place
    async with accepted(Endpoint) as server:
        server.text("go")
        assert await server.end() == []
    assert server.error is None
    assert not caplog.records
    check_order(Endpoint, 1006)


@asynchronous
async def test_the_first_of_two_codes_counts() -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise WebSocketDisconnect(4002, "later")

        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if data == "go":
                raise WebSocketDisconnect(4001, "first")

    async with accepted(Endpoint) as server:
        server.text("wait")
        server.text("go")
        [close] = await server.end()
    assert (close["code"], close["reason"]) == (4001, "first")
    assert server.error is None
    assert Endpoint.seen[-1] == ("disconnected", 4001)


@asynchronous
async def test_an_error_of_a_task_that_a_websocket_disconnect_cancels_is_not_lost() -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if data == "go":
                raise WebSocketDisconnect(4001, "enough")
            try:
                await anyio.sleep_forever()
            finally:
                raise LookupError("while it ended")

    async with accepted(Endpoint) as server:
        server.text("wait")
        server.text("go")
        [close] = await server.end()
    assert close["code"] == 4001
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen[-1] == ("disconnected", 4001)


@asynchronous
async def test_a_code_that_was_chosen_before_the_accept_is_checked_when_it_is_sent() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            with anyio.CancelScope(shield=True):
                await self.on_receive(websocket, "reject")
                await self.started.wait()
                await self.accept(websocket)

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            self.started.set()
            raise WebSocketDisconnect(1006, "no")

    Endpoint.started = anyio.Event()
    async with accepted(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 1011, "reason": "no"}]
    assert server.error is None
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@asynchronous
async def test_on_disconnect_has_nobody_to_close(caplog: pytest.LogCaptureFixture) -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await anyio.sleep_forever()

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            raise WebSocketDisconnect(4001)

    async with served(Endpoint) as server:
        await anyio.wait_all_tasks_blocked()
        server.scope.cancel()
        assert await server.end() == []
    assert server.error is None
    assert not caplog.records


@asynchronous
async def test_before_the_accept_a_task_can_reject_too() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await self.on_receive(websocket, "reject")
            await anyio.sleep_forever()

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            raise WebSocketDisconnect(1006, "no")

    async with served(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 1006, "reason": "no"}]
    assert server.error is None
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1006)]


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("place", PLACES + OWN_TASKS)
def test_starlettes_test_client_sees_the_code_and_no_error(place: str, backend: Any) -> None:
    Endpoint = raising(place)
    client = TestClient(Starlette(routes=[WebSocketRoute("/", Endpoint)]), backend=backend)
    with client.websocket_connect("/") as session:
        with pytest.raises(WebSocketDisconnect) as closed:
            session.send_text("go")
            session.receive_text()
    assert (closed.value.code, closed.value.reason) == (4001, "enough")
    check_order(Endpoint)


@pytest.mark.parametrize("place", PLACES + OWN_TASKS)
def test_a_client_of_a_real_server_sees_the_code_and_the_log_no_traceback(
    place: str, caplog: pytest.LogCaptureFixture, ws: Any
) -> None:
    Endpoint = raising(place)
    with uvicorn_serving(Endpoint, ws) as url:
        with websockets.sync.client.connect(url) as client:
            with pytest.raises(ConnectionClosed) as closed:
                client.send("go")
                client.recv(5)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
        wait_for(lambda: Endpoint.seen[-1:] == [("disconnected", 4001)])
    check_order(Endpoint)
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]
