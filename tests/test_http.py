"""The HTTP consumer."""

from typing import Any

import anyio
import pytest

from consumers import AsyncHttpConsumer, InMemoryChannelLayer
from consumers.testing import ApplicationCommunicator, HttpCommunicator

from .support.wire import Wire, eventually, run_app

pytestmark = pytest.mark.anyio

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}


class Recorder(AsyncHttpConsumer):
    disconnect_timeout = 0.1

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def handle(self, body: bytes) -> None:
        self.log.append(body)
        if body == b"fail":
            raise LookupError("as asked")
        if body == b"sleep":
            await anyio.sleep(60)
        await self.send_response(201, body.upper(), headers={b"x-length": str(len(body)).encode()})

    async def disconnect(self) -> None:
        self.log.append("disconnect")


async def test_a_request_is_answered_and_disconnect_runs_once() -> None:
    log: list[Any] = []
    communicator = HttpCommunicator(Recorder.as_asgi(log=log), "POST", "/", body=b"hello")
    response = await communicator.get_response()
    assert response == {"status": 201, "headers": [(b"x-length", b"5")], "body": b"HELLO"}
    await communicator.wait()
    assert log == [b"hello", "disconnect"]


async def test_a_body_in_parts_is_put_together() -> None:
    log: list[Any] = []
    communicator = ApplicationCommunicator(Recorder.as_asgi(log=log), dict(SCOPE))
    for part in (b"one ", b"two ", b"three"):
        await communicator.send_input({"type": "http.request", "body": part, "more_body": part != b"three"})
    assert (await communicator.receive_output())["type"] == "http.response.start"
    assert (await communicator.receive_output())["body"] == b"ONE TWO THREE"
    await communicator.wait()
    assert log == [b"one two three", "disconnect"]


async def test_a_client_that_leaves_ends_a_handler_that_waits() -> None:
    log: list[Any] = []
    communicator = ApplicationCommunicator(Recorder.as_asgi(log=log), dict(SCOPE))
    await communicator.send_input({"type": "http.request", "body": b"sleep"})
    await eventually(lambda: log == [b"sleep"])
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait()
    assert log == [b"sleep", "disconnect"]


async def test_a_stream_to_a_client_that_leaves_ends_at_once_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    class Stream(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_headers()
            while True:
                await self.send_body(b"data: tick\n\n", more_body=True)
                await anyio.sleep(0.001)

    communicator = ApplicationCommunicator(Stream.as_asgi(), dict(SCOPE))
    await communicator.send_input({"type": "http.request", "body": b""})
    await communicator.receive_output()
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait()
    assert caplog.records == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_handled() -> None:
    log: list[Any] = []
    communicator = ApplicationCommunicator(Recorder.as_asgi(log=log), dict(SCOPE))
    await communicator.send_input({"type": "http.request", "body": b"half", "more_body": True})
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait()
    assert log == ["disconnect"]


async def test_an_error_leaves_the_application_after_disconnect() -> None:
    log: list[Any] = []
    communicator = HttpCommunicator(Recorder.as_asgi(log=log), "POST", "/", body=b"fail")
    with pytest.raises(LookupError, match="as asked"):
        await communicator.get_response()
    assert log == [b"fail", "disconnect"]


async def test_cancellation_by_the_server_runs_disconnect_once() -> None:
    log: list[Any] = []
    wire = Wire()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_app, wire, Recorder.as_asgi(log=log), dict(SCOPE))
        wire.event({"type": "http.request", "body": b"sleep"})
        await eventually(lambda: log == [b"sleep"])
        assert wire.scope is not None
        wire.scope.cancel()
    assert log == [b"sleep", "disconnect"]
    assert wire.sent == []


async def test_with_more_tasks_a_long_poll_is_answered_by_a_layers_message(layer: InMemoryChannelLayer) -> None:
    class LongPoll(AsyncHttpConsumer):
        max_tasks = 2

        async def handle(self, body: bytes) -> None:
            self.answered = anyio.Event()
            await self.channel_layer.group_add("news", self.channel_name)
            await self.answered.wait()

        async def headline(self, event: Any) -> None:
            await self.send_response(200, event["text"].encode())
            self.answered.set()

    communicator = ApplicationCommunicator(LongPoll.as_asgi(), dict(SCOPE))
    await communicator.send_input({"type": "http.request", "body": b""})
    await eventually(lambda: "news" in layer.groups)
    await layer.group_send("news", {"type": "headline", "text": "now"})
    assert (await communicator.receive_output())["status"] == 200
    assert (await communicator.receive_output())["body"] == b"now"
    await communicator.wait()
    assert not layer.channels


async def test_a_body_that_is_text_says_what_to_do() -> None:
    class Text(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, "text")  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="encode it first"):
        await HttpCommunicator(Text.as_asgi(), "GET", "/").get_response()


async def test_a_consumer_without_handle_says_so() -> None:
    communicator = HttpCommunicator(AsyncHttpConsumer.as_asgi(), "GET", "/")
    with pytest.raises(NotImplementedError, match=r"handle\(\)"):
        await communicator.get_response()
