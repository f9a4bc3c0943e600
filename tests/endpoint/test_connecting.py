"""An endpoint before it has accepted its client."""

import anyio
import anyio.lowlevel
import pytest
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..support.endpoints import Noted, accepted, served

asynchronous = pytest.mark.anyio


@asynchronous
async def test_a_task_started_by_on_connect_ends_when_the_client_is_rejected() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            type(self).started = anyio.Event()
            await self.on_receive(websocket, "wait")
            await self.started.wait()
            await websocket.close(4003)

    async with served(Endpoint) as server:
        await server.end()
    assert Endpoint.seen == ["cancelled", ("unregistered", None), ("disconnected", 4003)]


@asynchronous
async def test_a_rejected_client_gets_one_close_and_on_connect_ends_what_it_was_doing() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.close(4003)
            await anyio.lowlevel.checkpoint()
            self.seen.append("noted the rejection")

    async with served(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 4003, "reason": ""}]
    assert server.error is None
    assert Endpoint.seen == ["noted the rejection", ("disconnected", 4003)]


@asynchronous
async def test_before_the_accept_an_exception_that_carries_a_close_code_rejects_with_it() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            raise WebSocketException(4001, "no")

    async with served(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 4001, "reason": "no"}]
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 4001)]


@asynchronous
@pytest.mark.parametrize("in_a_group", [False, True])
async def test_before_the_accept_a_websocket_disconnect_rejects_with_its_code(in_a_group: bool) -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            if not in_a_group:
                raise WebSocketDisconnect(1008, "no")
            async with anyio.create_task_group():
                raise WebSocketDisconnect(1008, "no")

    async with served(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 1008, "reason": "no"}]
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 1008)]


@asynchronous
async def test_before_the_accept_a_websocket_disconnect_answers_nothing_if_the_client_has_gone() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.receive()  # "websocket.connect"
            websocket._raise_on_disconnect(await websocket.receive())

    async with served(Endpoint) as server:
        server.disconnect(1001)
        assert await server.end() == []
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 1001)]


@asynchronous
async def test_a_client_that_goes_at_the_accept_or_at_the_rejection_is_no_error() -> None:
    class Accepting(Noted):
        pass

    class Rejecting(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            raise WebSocketDisconnect(1008)

    for endpoint, code in ((Accepting, 1006), (Rejecting, 1008)):
        async with served(endpoint) as server:
            server.gone = True
            assert await server.end() == []
        assert server.error is None
        assert endpoint.seen == [("disconnected", code)]


@asynchronous
async def test_before_the_accept_a_websocket_disconnect_counts_beside_cancelled_tasks() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            async def refuse() -> None:
                try:
                    await anyio.sleep_forever()
                finally:
                    raise WebSocketDisconnect(1008)

            async with anyio.create_task_group() as group:
                group.start_soon(refuse)
                group.start_soon(anyio.sleep_forever)

    async with served(Endpoint) as server:
        await anyio.wait_all_tasks_blocked()
        server.scope.cancel()
        assert [close["code"] for close in await server.end()] == [1008]
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 1008)]


@asynchronous
async def test_before_the_accept_an_exception_leaves_and_nothing_is_sent() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            raise LookupError

    async with served(Endpoint) as server:
        assert await server.end() == []
    assert isinstance(server.error, LookupError)
    assert Endpoint.seen == [("disconnected", 1011)]


@asynchronous
async def test_on_connect_can_start_a_task_of_its_own() -> None:
    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()
            await self.on_receive(websocket, "welcome")

    async with accepted(Endpoint) as server:
        assert (await server.event())["text"] == "welcome"
