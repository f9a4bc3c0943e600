"""An exception in an endpoint: what leaves, and which close code the client gets."""

from typing import Any

import anyio
import pytest
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocket, WebSocketDisconnect

from consumers.exceptions import InvalidFrame

from ..support.endpoints import Noted, accepted

asynchronous = pytest.mark.anyio


@asynchronous
async def test_an_exception_cancels_the_others_closes_with_1011_and_leaves_as_it_is() -> None:
    class Endpoint(Noted):
        pass

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.text("raise")
        [close] = await server.end()
    assert close == {"type": "websocket.close", "code": 1011, "reason": "Internal error"}
    assert type(server.error) is LookupError
    assert server.error.__cause__ is None
    assert server.error.__context__ is None
    assert Endpoint.seen.count("cancelled") == 1
    assert Endpoint.seen.count(("unregistered", None)) == 2
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@asynchronous
async def test_an_exception_leaves_although_the_server_cancels_at_the_close_frame() -> None:
    class Endpoint(Noted):
        pass

    async with accepted(Endpoint) as server:

        async def cancel() -> None:
            server.scope.cancel()

        server.before_close = cancel
        server.text("raise")
        [close] = await server.end()
    assert close["code"] == 1011
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1011)]


@asynchronous
async def test_a_client_that_does_not_read_cannot_hold_the_close_up() -> None:
    class Endpoint(Noted):
        stall_timeout = 0.01

    async with accepted(Endpoint) as server:
        server.before_close = anyio.sleep_forever
        server.text("raise")
        assert await server.end() == []
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@asynchronous
async def test_a_swallowed_exception_cancels_nothing() -> None:
    class Endpoint(Noted):
        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            await websocket.send_text(repr(exc))

    async with accepted(Endpoint) as server:
        server.text("wait")
        server.text("raise")
        assert (await server.event())["text"] == "LookupError('raise')"
        server.text("still here")
        assert (await server.event())["text"] == "still here"
        assert "cancelled" not in Endpoint.seen


@asynchronous
async def test_an_exception_is_not_lost_when_its_hook_is_cancelled_or_too_slow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Endpoint(Noted):
        EXIT_MAX_DELAY = 0.1

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            self.started.set()
            await anyio.sleep_forever()

    async with accepted(Endpoint) as server:
        server.text("raise")
        await Endpoint.started.wait()
        server.disconnect()
        await server.end()
    assert isinstance(server.error, LookupError)
    assert [record.message for record in caplog.records] == [
        "Endpoint._handle_background_task_exception was cut off after 0.1 s"
    ]


@asynchronous
async def test_the_exception_that_the_hook_raises_leaves() -> None:
    class Endpoint(Noted):
        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            raise KeyError("mine") from exc

    async with accepted(Endpoint) as server:
        server.text("raise")
        await server.end()
    assert isinstance(server.error, KeyError)
    assert isinstance(server.error.__cause__, LookupError)


@asynchronous
async def test_only_the_first_of_two_exceptions_leaves_and_the_other_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Endpoint(Noted):
        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            raise KeyError("second")

    async with accepted(Endpoint) as server:
        server.text("raise")
        await server.end()
    assert isinstance(server.error, LookupError)
    assert not isinstance(server.error, KeyError)
    [record] = caplog.records
    assert record.name == "consumers.endpoint"
    assert record.exc_info
    assert record.exc_info[0] is KeyError


@asynchronous
@pytest.mark.parametrize("error", [InvalidFrame(1008, "no"), WebSocketException(1008, "no")], ids=repr)
async def test_an_exception_that_carries_a_close_code_closes_with_it(error: Exception) -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            raise error

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            self.seen.append("asked")

    async with accepted(Endpoint) as server:
        server.text("x")
        [close] = await server.end()
    assert close == {"type": "websocket.close", "code": 1008, "reason": "no"}
    assert server.error is None
    assert "asked" not in Endpoint.seen


@asynchronous
async def test_a_send_to_a_client_that_has_gone_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class Endpoint(Noted):
        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            self.seen.append("asked")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            await super().on_disconnect(websocket, close_code)
            await websocket.close()
            await websocket.send_text("too late")

    async with accepted(Endpoint) as server:
        server.gone = True
        server.text("anyone there?")
        assert await server.end() == []
    assert server.error is None
    assert not caplog.records
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1006)]


@asynchronous
async def test_websocket_close_ends_the_connection_with_its_code() -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
            if data == "close":
                await websocket.close(4000, "é" * 100)
                await websocket.close(4001)
            return await super()._background_handler(task_id, websocket, data)

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.text("close")
        [close] = await server.end()
    assert (close["code"], close["reason"]) == (4000, "é" * 61)  # 123 bytes hold no more
    assert server.error is None
    assert "cancelled" in Endpoint.seen
    assert Endpoint.seen[-1] == ("disconnected", 4000)


@asynchronous
async def test_the_first_close_code_counts_and_a_later_exception_still_leaves() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.close(4000)
            raise LookupError

    async with accepted(Endpoint) as server:
        [close] = await server.end()
    assert close["code"] == 4000
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen[-1] == ("disconnected", 4000)


@asynchronous
async def test_a_close_code_that_cannot_be_sent_is_an_error() -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await websocket.close(1005)

    async with accepted(Endpoint) as server:
        server.text("x")
        [close] = await server.end()
    assert close["code"] == 1011
    assert isinstance(server.error, ValueError)


@asynchronous
@pytest.mark.parametrize("others", [0, 2], ids=["alone", "with_others"])
async def test_a_client_that_goes_while_a_handler_has_its_own_tasks_is_no_error(
    others: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Endpoint(Noted):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            async with anyio.create_task_group() as outer, anyio.create_task_group() as group:
                for _ in range(others):
                    outer.start_soon(anyio.sleep_forever)
                    group.start_soon(anyio.sleep_forever)
                group.start_soon(websocket.send_text, "one")
                group.start_soon(websocket.send_text, "two")

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            self.seen.append("asked")

    async with accepted(Endpoint) as server:
        server.gone = True
        server.text("x")
        assert await server.end() == []
    assert server.error is None
    assert not caplog.records
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1006)]


@asynchronous
@pytest.mark.parametrize("gone", [False, True])
async def test_a_group_that_holds_another_exception_is_an_error_and_leaves_as_it_is(gone: bool) -> None:
    class Endpoint(Noted):
        raised: BaseException | None = None

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            async def fail() -> None:
                try:
                    await websocket.send_text("anyone there?")
                    await anyio.sleep_forever()
                finally:
                    raise LookupError

            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(fail)
                    group.start_soon(anyio.sleep_forever)
                    if not gone:
                        raise WebSocketDisconnect
            except BaseExceptionGroup as exc:
                Endpoint.raised = exc
                raise

    async with accepted(Endpoint) as server:
        server.gone = gone
        server.text("x")
        await server.end()
    assert isinstance(server.error, ExceptionGroup)
    assert server.error.subgroup(LookupError)
    if isinstance(Endpoint.raised, Exception):
        assert server.error is Endpoint.raised
    assert not any(isinstance(exc, ExceptionGroup) for exc in server.error.exceptions)
    assert Endpoint.seen == [("unregistered", None), ("disconnected", 1006 if gone else 1011)]


@asynchronous
async def test_after_the_accept_the_code_of_another_connections_disconnect_is_an_internal_error() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()
            raise WebSocketDisconnect(1006)

    async with accepted(Endpoint) as server:
        assert [close["code"] for close in await server.end()] == [1011]
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 1011)]
