"""The endpoint's own TaskGroup, the names of its background tasks, and cancellations that nobody asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import websockets.sync.client
from anyio.abc import TaskGroup, TaskStatus
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from consumers import BaseWSEndpoint

from ..support.endpoints import Noted, accepted, served, uvicorn_serving, wait_for

asynchronous = pytest.mark.anyio


class Starting(Noted):
    """Starts a task of its own in `on_connect()`, which notes that it was cancelled; other texts start `own()`."""

    async def on_connect(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        await super().on_connect(websocket)
        assert await self.task_group.start(self.subscription) == "ready"

    async def subscription(self, *, task_status: TaskStatus[str]) -> None:
        task_status.started("ready")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.seen.append("subscription ended")

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        if data in ("wait", "raise"):
            return await super()._background_handler(task_id, websocket, data)
        self.task_group.start_soon(self.own, data)
        return None

    async def own(self, text: str) -> None:
        await self.websocket.send_text(text)


@asynchronous
async def test_the_task_group_is_anyios_and_what_handlers_start_in_it_outlives_them() -> None:
    class Endpoint(Starting):
        async def own(self, text: str) -> None:
            assert isinstance(self.task_group, TaskGroup)
            while ("unregistered", None) not in self.seen:
                await anyio.lowlevel.checkpoint()
            await self.websocket.send_text(text)

    async with accepted(Endpoint) as server:
        server.text("from a task of its own")
        assert (await server.event())["text"] == "from a task of its own"
        assert "subscription ended" not in Endpoint.seen


@asynchronous
@pytest.mark.parametrize("how", ["disconnect", "error", "close", "the server"])
async def test_it_is_cancelled_with_all_else_and_on_disconnect_waits_for_it(how: str) -> None:
    class Endpoint(Starting):
        async def own(self, text: str) -> None:
            await self.websocket.close(4001)

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        match how:
            case "disconnect":
                server.disconnect(1001)
            case "error":
                server.text("raise")
            case "close":
                server.text("close")
            case "the server":
                server.scope.cancel()
        await server.end()
    code = {"disconnect": 1001, "error": 1011, "close": 4001, "the server": 1012}[how]
    assert isinstance(server.error, LookupError) is (how == "error")
    assert Endpoint.seen.count("subscription ended") == Endpoint.seen.count("cancelled") == 1
    assert Endpoint.seen[-1] == ("disconnected", code)


@asynchronous
async def test_an_exception_in_it_cancels_the_others_closes_with_1011_and_leaves_as_it_is() -> None:
    class Endpoint(Starting):
        async def own(self, text: str) -> None:
            raise LookupError(text)

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.text("mine")
        [close] = await server.end()
    assert close == {"type": "websocket.close", "code": 1011, "reason": "Internal error"}
    assert type(server.error) is LookupError
    [note] = server.error.__notes__
    assert note.startswith("Endpoint at '', task ")
    assert note.endswith(".Endpoint.own")
    assert Endpoint.seen.count("cancelled") == Endpoint.seen.count("subscription ended") == 1
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@asynchronous
async def test_of_several_exceptions_in_it_the_first_leaves_and_the_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Endpoint(Starting):
        async def on_connect(self, websocket: WebSocket) -> None:
            await super().on_connect(websocket)
            self.task_group.start_soon(self.fail_too)

        async def fail_too(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("second")

        async def own(self, text: str) -> None:
            raise LookupError("first")

    async with accepted(Endpoint) as server:
        server.text("go")
        await server.end()
    assert type(server.error) is LookupError
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError
    assert "another exception while it was ending" in record.message


@asynchronous
async def test_an_exception_before_started_belongs_to_the_one_who_starts() -> None:
    class Endpoint(Starting):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            with pytest.raises(LookupError):
                await self.task_group.start(self.refuse)
            await websocket.send_text("still here")

        async def refuse(self, *, task_status: TaskStatus[None]) -> None:
            raise LookupError

    async with accepted(Endpoint) as server:
        server.text("go")
        assert (await server.event())["text"] == "still here"


@asynchronous
@pytest.mark.parametrize("how", ["wrong arguments", "no coroutine function"])
async def test_a_task_that_cannot_even_be_called_is_an_error_like_any(how: str) -> None:
    class Endpoint(Starting):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            start_soon: Any = self.task_group.start_soon
            if how == "wrong arguments":
                start_soon(self.own, 1, 2, 3)
            else:
                start_soon(len, "abc", name="count")

    async with accepted(Endpoint) as server:
        server.text("go")
        [close] = await server.end()
    assert close["code"] == 1011
    assert type(server.error) is TypeError
    [note] = server.error.__notes__
    assert note.endswith("own" if how == "wrong arguments" else "task count")
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@asynchronous
async def test_create_task_is_anyios_too() -> None:
    class Endpoint(Starting):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            self.task_group.create_task(self.own(data), name="mine")

        async def own(self, text: str) -> None:
            await super().own(text)
            if text == "fail":
                raise LookupError

    if not hasattr(TaskGroup, "create_task"):  # before anyio 4.14
        return
    async with accepted(Endpoint) as server:
        for text in ("hello", "fail"):
            server.text(text)
            assert (await server.event())["text"] == text
        await server.end()
    assert isinstance(server.error, LookupError)
    assert server.error.__notes__ == ["Endpoint at '', task mine"]


@asynchronous
async def test_an_exception_in_it_before_the_accept_leaves_and_nothing_is_sent() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            self.task_group.start_soon(self.fail)
            await anyio.sleep_forever()

        async def fail(self) -> None:
            raise LookupError

    async with served(Endpoint) as server:
        assert await server.end() == []
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen == [("disconnected", 1011)]


@asynchronous
async def test_its_time_to_end_is_limited(anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    if anyio_backend == "trio":
        return  # where nothing ends a task that shields itself

    class Endpoint(Starting):
        EXIT_MAX_DELAY = 0.1

        async def own(self, text: str) -> None:
            self.started.set()
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

    async with accepted(Endpoint) as server:
        server.text("shield")
        await Endpoint.started.wait()
        server.disconnect(1001)
        await server.end()
    assert server.error is None
    assert Endpoint.seen[-1] == ("disconnected", 1001)
    [record] = caplog.records
    assert "Endpoint.own() (" in record.message
    assert "ignores its cancellation" in record.message


@asynchronous
async def test_cancelling_the_group_by_hand_is_an_error_that_says_what_to_write() -> None:
    class Endpoint(Starting):
        async def own(self, text: str) -> None:
            self.task_group.cancel_scope.cancel()

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.text("cancel")
        [close] = await server.end()
    assert close["code"] == 1011
    assert isinstance(server.error, RuntimeError)
    assert str(server.error) == (
        "Endpoint.task_group was cancelled: return to end a task, and close the connection to end all of them"
    )
    assert Endpoint.seen[-1] == ("disconnected", 1011)
    assert "cancelled" in Endpoint.seen


async def cancelled_elsewhere() -> None:
    """Await a task that somebody else has cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


async def raise_one() -> None:
    raise asyncio.CancelledError


async def cancel_oneself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(10)


STRAYS = pytest.mark.parametrize("stray", [cancelled_elsewhere, raise_one, cancel_oneself])


@asynchronous
@STRAYS
@pytest.mark.parametrize("place", ["on_connect", "register", "handler", "unregister", "own"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio's cancellations cannot be made by hand
async def test_a_cancellation_that_a_task_raises_by_itself_is_its_error(
    stray: Callable[[], Awaitable[None]], place: str
) -> None:
    class Endpoint(Starting):
        async def on_connect(self, websocket: WebSocket) -> None:
            await super().on_connect(websocket)
            if place == "on_connect":
                await stray()

        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if place == "register":
                await stray()

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            if place == "handler":
                await stray()
            await super()._background_handler(task_id, websocket, data)

        async def own(self, text: str) -> None:
            if place == "own":
                await stray()

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            if place == "unregister":
                await stray()

    async with accepted(Endpoint) as server:
        server.text("go")
        [close] = await server.end()
    assert close["code"] == 1011
    assert isinstance(server.error, RuntimeError)
    assert isinstance(server.error.__cause__, asyncio.CancelledError)
    assert str(server.error) == (
        "CancelledError was raised although nothing had been cancelled: return to end a task, and close the "
        "connection to end all of them"
    )
    assert Endpoint.seen[-1] == ("disconnected", 1011)
    assert "subscription ended" in Endpoint.seen


@asynchronous
@STRAYS
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_exception_hook_may_swallow_it(stray: Callable[[], Awaitable[None]]) -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            await stray()

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            assert isinstance(exc, RuntimeError)
            await websocket.send_text("swallowed")

    async with accepted(Endpoint) as server:
        server.text("go")
        assert (await server.event())["text"] == "swallowed"
        server.disconnect(1001)
        await server.end()
    assert server.error is None
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1001)]


@asynchronous
@pytest.mark.parametrize("how", ["disconnect", "the server", "the server, natively"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_comes_back_from_a_thread_is_none_of_these(how: str) -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            await anyio.to_thread.run_sync(anyio.from_thread.run, self.wait)

        async def wait(self) -> None:
            self.started.set()
            await anyio.sleep_forever()

    async with accepted(Endpoint, how == "the server, natively") as server:
        server.text("go")
        await Endpoint.started.wait()
        if how == "disconnect":
            server.disconnect(1001)
        elif how == "the server":
            server.scope.cancel()
        else:
            server.native_cancel()
        await server.end()
    assert server.error is None
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1001 if how == "disconnect" else 1012)]


@asynchronous
async def test_a_servers_cancellation_is_none_of_these_either_whichever_task_it_reaches_first() -> None:
    class Endpoint(BaseWSEndpoint):
        codes: list[int] = []

        async def on_connect(self, websocket: WebSocket) -> None:
            await self.accept(websocket)
            for _ in range(3):
                self.task_group.start_soon(anyio.sleep_forever)

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            self.codes.append(close_code)

    for _ in range(30):  # trio's order is random
        async with accepted(Endpoint) as server:
            await anyio.wait_all_tasks_blocked()
            server.scope.cancel()
            assert [close["code"] for close in await server.end()] == [1012]
        assert server.error is None
    assert Endpoint.codes == [1012] * 30


@asynchronous
@pytest.mark.parametrize("own", [True, False], ids=["own task", "background task"])
async def test_what_a_task_raises_first_counts_before_what_the_others_raise_as_they_end(own: bool) -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            if data == "go" and own:
                self.task_group.start_soon(self.enough)
            elif data == "go":
                await self.enough()
            else:
                try:
                    await anyio.sleep_forever()
                finally:
                    raise LookupError("second")

        async def enough(self) -> None:
            raise WebSocketDisconnect(4001, "enough")

    async with accepted(Endpoint) as server:
        server.text("wait")
        await anyio.wait_all_tasks_blocked()
        server.text("go")
        assert await server.end() == [{"type": "websocket.close", "code": 4001, "reason": "enough"}]
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen[-1] == ("disconnected", 4001)


@asynchronous
async def test_the_close_frame_of_an_own_tasks_exception_waits_for_nobody() -> None:
    class Endpoint(Starting):
        async def own(self, text: str) -> None:
            raise LookupError

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            await closed.wait()

    async with accepted(Endpoint) as server:
        closed = anyio.Event()
        server.text("go")
        assert (await server.event())["code"] == 1011
        closed.set()
        await server.end()
    assert isinstance(server.error, LookupError)


@asynchronous
async def test_a_task_of_its_own_that_closes_ends_an_on_connect_that_has_accepted() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await self.accept(websocket)
            self.task_group.start_soon(websocket.close, 4001)
            await anyio.sleep_forever()

    async with accepted(Endpoint) as server:
        assert (await server.event())["code"] == 4001
        await server.end()
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 4001)]


@asynchronous
async def test_no_task_is_started_once_the_connection_is_ending() -> None:
    class Endpoint(Noted):
        registered = 0

        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            Endpoint.registered += 1

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            await self.on_receive(websocket, "too late")
            await super().on_disconnect(websocket, close_code)

    async with accepted(Endpoint) as server:
        server.disconnect(1001)
        await server.end()
    assert server.error is None
    assert Endpoint.registered == 0
    assert Endpoint.seen == [("disconnected", 1001)]


@asynchronous
async def test_the_endpoint_alone_opens_its_task_group() -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            async with self.task_group:
                pass

    async with accepted(Endpoint) as server:
        server.text("go")
        await server.end()
    assert isinstance(server.error, RuntimeError)
    assert "open one of your own" in str(server.error)


@asynchronous
async def test_a_tasks_name_is_a_str_that_is_unique_and_cannot_be_guessed() -> None:
    names: list[str] = []

    class Endpoint(Noted):
        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            names.append(task_id)

    for _ in range(2):
        async with accepted(Endpoint) as server:
            for number in range(100):
                server.text(str(number))
                await server.event()
    assert all(type(name) is str for name in names)
    assert len(set(names)) == 200
    assert all(len({name[place] for name in names}) > 1 for place in range(len(names[0])))
    assert len({name[:8] for name in names}) == 200  # 2**32 values: nothing is counted


@asynchronous
async def test_accept_is_a_hook() -> None:
    class Endpoint(Noted):
        async def accept(self, websocket: WebSocket) -> None:
            await websocket.accept("chat", [(b"x-room", b"1")])

    async with served(Endpoint) as server:
        accept = await server.event()
        assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "chat")
        assert (b"x-room", b"1") in accept["headers"]


class Talking(Starting):
    async def own(self, text: str) -> None:
        await super().own(text)
        if text == "fail":
            raise LookupError(text)


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_starlettes_test_client_sees_what_its_tasks_send_and_raise(backend: Any) -> None:
    class Endpoint(Talking):
        pass

    client = TestClient(Starlette(routes=[WebSocketRoute("/", Endpoint)]), backend=backend)

    def talk() -> None:
        with client.websocket_connect("/") as session:
            for text in ("hello", "fail"):
                session.send_text(text)
                assert session.receive_text() == text
            with pytest.raises(WebSocketDisconnect) as closed:
                session.receive_text()
            assert closed.value.code == 1011

    with pytest.raises(LookupError, match="fail"):
        talk()
    assert Endpoint.seen[-2:] == ["subscription ended", ("disconnected", 1011)]


def test_a_client_of_a_real_server_does_too(caplog: pytest.LogCaptureFixture, ws: Any) -> None:
    class Endpoint(Talking):
        pass

    with uvicorn_serving(Endpoint, ws) as url:
        with websockets.sync.client.connect(url) as client:
            for text in ("hello", "fail"):
                client.send(text)
                assert client.recv(5) == text
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        wait_for(lambda: any(r.exc_info and r.exc_info[0] is LookupError for r in caplog.records))
        assert Endpoint.seen[-2:] == ["subscription ended", ("disconnected", 1011)]
        with websockets.sync.client.connect(url) as client:
            client.send("hello")
            assert client.recv(5) == "hello"
        wait_for(lambda: len(Endpoint.seen) >= 2 and Endpoint.seen[-1] == ("disconnected", 1000))
    assert Endpoint.seen[-2] == "subscription ended"
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
