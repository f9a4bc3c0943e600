"""What a handler's error does to its connection."""

from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocketDisconnect

from consumers import InMemoryChannelLayer, InvalidFrame, StopConsumer

from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.wire import Wire, connected, connecting, eventually, websocket_scope

pytestmark = pytest.mark.anyio


async def test_a_handler_error_closes_with_1011_then_disconnects_then_leaves_the_application(
    layer: InMemoryChannelLayer,
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert str(wire.error) == "boom"
    assert wire.sent[-1] == {"type": "websocket.close", "code": 1011, "reason": "internal error"}
    assert disconnects(log) == [("disconnect", 1011)]
    assert nothing_left(layer)


async def test_an_error_before_accept_sends_nothing_and_leaves(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []

    class Failing(Recorder):
        async def connect(self) -> None:
            raise RuntimeError("no")

    async with connecting(Failing.as_asgi(log=log)) as wire:
        await wire.end()
    assert wire.sent == []
    assert isinstance(wire.error, RuntimeError)
    assert disconnects(log) == [("disconnect", 1011)]
    assert nothing_left(layer)


async def test_an_error_in_disconnect_never_replaces_an_earlier_one(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Recorder):
        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            raise LookupError("second")

    log: list[Any] = []
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert "second" in caplog.text
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.disconnect()
        await wire.end()
    assert isinstance(wire.error, LookupError)
    assert nothing_left(layer)


async def test_on_error_that_returns_keeps_the_connection(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []

    class Forgiving(Recorder):
        async def on_error(self, exc: Exception, message: Any) -> None:
            self.log.append((repr(exc), message["text"]))

    async with connected(Forgiving.as_asgi(log=log)) as wire:
        wire.text("boom")
        wire.text("echo still here")
        assert await wire.next_text() == "echo still here"
    assert wire.error is None
    assert ("RuntimeError('boom')", "boom") in log


@pytest.mark.parametrize(
    ("exception", "code"),
    [(StopConsumer(), 1000), (InvalidFrame(1008, "no"), 1008), (WebSocketDisconnect(1008, "no"), 1008)],
)
async def test_what_ends_connect_before_the_accept_rejects_the_handshake(
    layer: InMemoryChannelLayer, exception: Exception, code: int
) -> None:
    class Rejecting(Recorder):
        async def connect(self) -> None:
            raise exception

    log: list[Any] = []
    async with connecting(Rejecting.as_asgi(log=log)) as wire:
        await wire.end()
    assert wire.error is None
    assert wire.close_code == code
    assert disconnects(log) == [("disconnect", code)]


async def test_an_on_error_that_sends_to_a_client_that_has_gone_is_no_error(layer: InMemoryChannelLayer) -> None:
    class Sorry(Recorder):
        gate: anyio.Event

        async def receive(self, text_data: str) -> None:
            await self.gate.wait()
            self.log.append(text_data)
            raise LookupError(text_data)

        async def on_error(self, exc: Exception, message: Any) -> None:
            await self.send("sorry")

    Sorry.gate = anyio.Event()
    log: list[Any] = []
    async with connected(Sorry.as_asgi(log=log)) as wire:
        for text in "ab":
            wire.text(text)
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read)
        Sorry.gate.set()
        await wire.end()
    assert wire.error is None
    assert log == ["connect", "a", "b", ("disconnect", 1000)]


@pytest.mark.parametrize("answer", [StopConsumer(), InvalidFrame(1008, "no"), LookupError("another")])
async def test_on_error_may_end_the_connection_its_own_way(layer: InMemoryChannelLayer, answer: Exception) -> None:
    class Ending(Recorder):
        async def on_error(self, exc: Exception, message: Any) -> None:
            raise answer

    async with connected(Ending.as_asgi(log=[])) as wire:
        wire.text("boom")
        await wire.end()
    assert wire.close_code == {StopConsumer: 1000, InvalidFrame: 1008, LookupError: 1011}[type(answer)]
    assert wire.error is (answer if isinstance(answer, LookupError) else None)


async def test_a_group_of_nothing_but_disconnects_is_no_error(layer: InMemoryChannelLayer) -> None:
    class Grouping(Recorder):
        async def receive(self, text_data: str) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.send, "x")

    async with connected(Grouping.as_asgi(log=[])) as wire:
        wire.gone = True
        wire.text("go")
        await wire.end()
    assert wire.error is None


@pytest.mark.parametrize("tasks", [1, 2])
async def test_an_error_mixed_with_cancellations_leaves_as_the_handlers_group(
    layer: InMemoryChannelLayer, tasks: int
) -> None:
    class Mixing(Recorder):
        max_tasks = tasks

        async def receive(self, text_data: str) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(self.fail_at_the_end)

        async def fail_at_the_end(self) -> None:
            self.log.append("waiting")
            try:
                await anyio.sleep_forever()
            finally:
                raise LookupError("at the end")

    log: list[Any] = []
    async with connected(Mixing.as_asgi(log=log)) as wire:
        wire.text("go")
        await eventually(lambda: "waiting" in log)
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()
    assert disconnects(log) == [("disconnect", 1012)]
    assert isinstance(wire.error, ExceptionGroup)
    assert [type(error) for error in wire.error.exceptions] == [LookupError]


async def test_a_failing_receive_of_the_server_ends_the_connection_with_its_error(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    wire = Wire()
    wire.client("connect")

    async def receive() -> Any:
        if wire.everything_is_read:
            await wire.accepted()
            raise EOFError("the server is broken")
        return await wire.app_receive()

    with pytest.raises(EOFError):
        await Recorder.as_asgi(log=log)(websocket_scope(), receive, wire.app_send)
    assert disconnects(log) == [("disconnect", 1006)]
    assert nothing_left(layer)
