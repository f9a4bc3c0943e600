"""What docs/howto/testing.md says of the tools; its own tests run in test_pages.py."""

from typing import Any

import pytest

from consumers import AsyncConsumer, AsyncHttpConsumer, AsyncWebsocketConsumer
from consumers.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator

pytestmark = pytest.mark.anyio


class Told(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        if self.scope.get("user") == "ann":
            await self.accept()
        else:
            await self.close(4003)

    async def receive(self, text_data: str) -> None:
        if text_data == "leave":
            await self.close(4001, "bye")
        elif text_data == "fail":
            raise RuntimeError("boom")
        elif text_data != "be silent":
            await self.send(text_data)


async def accepted() -> WebsocketCommunicator:
    client = WebsocketCommunicator(Told.as_asgi(), "/")
    client.scope["user"] = "ann"
    assert await client.connect() == (True, None)
    return client


async def test_a_refused_client_gets_the_close_code() -> None:
    assert await WebsocketCommunicator(Told.as_asgi(), "/").connect() == (False, 4003)


async def test_the_application_goes_on_after_a_time_out() -> None:
    client = await accepted()
    await client.send_to("be silent")
    with pytest.raises(TimeoutError):
        await client.receive_from(timeout=0.05)
    assert await client.receive_nothing()
    await client.send_to("hello")
    assert await client.receive_from() == "hello"
    await client.disconnect()


async def test_a_close_is_an_event_and_the_consumer_waits_for_the_answer() -> None:
    client = await accepted()
    await client.send_to("leave")
    assert await client.receive_output() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
    await client.disconnect()


async def test_what_a_handler_raises_is_raised_by_the_next_call() -> None:
    client = await accepted()
    await client.send_to("fail")
    with pytest.raises(RuntimeError, match="boom"):
        await client.receive_from()
    with pytest.raises(RuntimeError, match="boom"):
        await client.wait()


async def test_the_consumers_of_workers_and_of_http_have_their_communicators() -> None:
    made = []

    class Worker(AsyncConsumer):
        async def thumbnail(self, message: dict[str, Any]) -> None:
            made.append(message["file"])
            await self.send({"type": "done"})

    class Download(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"content")

    worker = ApplicationCommunicator(Worker.as_asgi(), {"type": "channel", "channel": "thumbnails"})
    await worker.send_input({"type": "thumbnail", "file": "a.png"})
    assert (await worker.receive_output())["type"] == "done"
    assert made == ["a.png"]
    worker.stop()
    response = await HttpCommunicator(Download.as_asgi(), "GET", "/file").get_response()
    assert (response["status"], response["body"]) == (200, b"content")
