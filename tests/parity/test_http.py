"""AsyncHttpConsumer."""

import asyncio

import pytest
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.layers import get_channel_layer
from channels.testing import ApplicationCommunicator, HttpCommunicator

SCOPE = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/", "query_string": b"", "headers": []}


class Recorded(AsyncHttpConsumer):
    """Answers with the body, and counts its disconnects."""

    disconnects = 0

    async def handle(self, body):
        await self.send_response(200, b"got " + body, headers=[(b"content-type", b"text/plain")])

    async def disconnect(self):
        type(self).disconnects += 1


@pytest.fixture(autouse=True)
def no_disconnects():
    Recorded.disconnects = 0


def parts(consumer):
    return ApplicationCommunicator(consumer.as_asgi(), dict(SCOPE))


async def test_a_response_has_status_headers_and_body():
    communicator = HttpCommunicator(Recorded.as_asgi(), "POST", "/", body=b"question")
    response = await communicator.get_response()
    assert response["status"] == 200
    assert response["body"] == b"got question"
    assert list(map(tuple, response["headers"])) == [(b"content-type", b"text/plain")]
    await communicator.wait()
    assert Recorded.disconnects == 1


async def test_the_body_is_put_together():
    communicator = parts(Recorded)
    await communicator.send_input({"type": "http.request", "body": b"one ", "more_body": True})
    await communicator.send_input({"type": "http.request", "body": b"two ", "more_body": True})
    assert await communicator.receive_nothing()
    await communicator.send_input({"type": "http.request", "body": b"three"})
    assert (await communicator.receive_output())["status"] == 200
    assert (await communicator.receive_output())["body"] == b"got one two three"
    await communicator.wait()


async def test_an_instance_serves_one_request_after_another():
    application = Recorded()
    for _ in range(3):  # the one before may still be in its disconnect()
        response = await HttpCommunicator(application, "GET", "/").get_response()
        assert (response["status"], response["body"]) == (200, b"got ")


async def test_the_body_may_be_missing():
    communicator = parts(Recorded)
    await communicator.send_input({"type": "http.request"})
    await communicator.receive_output()
    assert (await communicator.receive_output())["body"] == b"got "
    await communicator.wait()


@pytest.mark.parametrize("headers", [{b"x-one": b"1"}, [(b"x-one", b"1")], ((b"x-one", b"1"),)])
async def test_headers_are_pairs_or_a_dict(headers):
    class Headers(AsyncHttpConsumer):
        async def handle(self, body):
            await self.send_headers(status=201, headers=headers)
            await self.send_body(b"")

    communicator = HttpCommunicator(Headers.as_asgi(), "GET", "/")
    response = await communicator.get_response()
    assert response["status"] == 201
    assert list(map(tuple, response["headers"])) == [(b"x-one", b"1")]
    await communicator.wait()


async def test_a_response_without_headers_is_200():
    class Plain(AsyncHttpConsumer):
        async def handle(self, body):
            await self.send_headers()
            await self.send_body(b"plain")

    communicator = HttpCommunicator(Plain.as_asgi(), "GET", "/")
    assert await communicator.get_response() == {"status": 200, "headers": [], "body": b"plain"}
    await communicator.wait()


async def test_a_response_may_be_streamed():
    class Stream(AsyncHttpConsumer):
        async def handle(self, body):
            await self.send_headers(headers=[(b"content-type", b"text/event-stream")])
            for number in range(3):
                await self.send_body(b"data: %d\n\n" % number, more_body=True)
            await self.send_body(b"")

    communicator = parts(Stream)
    await communicator.send_input({"type": "http.request"})
    assert (await communicator.receive_output())["type"] == "http.response.start"
    events = [await communicator.receive_output() for _ in range(4)]
    assert [event["body"] for event in events] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n", b""]
    assert [event["more_body"] for event in events] == [True, True, True, False]
    await communicator.wait()


async def test_a_long_poll_is_answered_by_a_group():
    class LongPoll(AsyncHttpConsumer):
        async def http_request(self, message):
            await self.channel_layer.group_add("news", self.channel_name)
            await self.send_headers(headers=[(b"content-type", b"application/json")])
            await self.send_body(b"", more_body=True)

        async def chat_message(self, event):
            await self.send_body(event["text"].encode())
            raise StopConsumer

    communicator = parts(LongPoll)
    await communicator.send_input({"type": "http.request"})
    for _ in range(2):
        await communicator.receive_output()
    await get_channel_layer().group_send("news", {"type": "chat.message", "text": "[]"})
    assert await communicator.receive_output() == {"type": "http.response.body", "body": b"[]", "more_body": False}
    await communicator.wait()


async def test_a_client_that_leaves_before_its_body_is_complete_is_not_answered():
    communicator = parts(Recorded)
    await communicator.send_input({"type": "http.request", "body": b"half", "more_body": True})
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait()
    assert await communicator.receive_nothing()
    assert Recorded.disconnects == 1


async def test_disconnect_runs_once_after_an_error():
    class Failing(Recorded):
        async def handle(self, body):
            raise RuntimeError("boom")

    communicator = parts(Failing)
    await communicator.send_input({"type": "http.request"})
    with pytest.raises(RuntimeError, match="boom"):
        await communicator.wait()
    assert Failing.disconnects == 1


async def test_a_handler_that_runs_when_the_client_leaves_is_finished():
    go_on, finished = asyncio.Event(), asyncio.Event()

    class Slow(Recorded):
        async def handle(self, body):
            await go_on.wait()
            finished.set()

    communicator = parts(Slow)
    await communicator.send_input({"type": "http.request"})
    await communicator.send_input({"type": "http.disconnect"})
    assert await communicator.receive_nothing()
    go_on.set()
    await communicator.wait()
    assert finished.is_set()
    assert Slow.disconnects == 1


async def test_handle_must_be_provided():
    communicator = parts(AsyncHttpConsumer)
    await communicator.send_input({"type": "http.request"})
    with pytest.raises(NotImplementedError, match=r"handle\(\)"):
        await communicator.wait()


async def test_init_arguments_and_scope_are_there():
    class Greeting(AsyncHttpConsumer):
        def __init__(self, greeting, **kwargs):
            super().__init__(**kwargs)
            self.greeting = greeting

        async def handle(self, body):
            await self.send_response(200, f"{self.greeting} {self.scope['path']} {self.scope['method']}".encode())

    communicator = HttpCommunicator(Greeting.as_asgi(greeting="hello"), "get", "/a%20b/?c=d")
    assert (await communicator.get_response())["body"] == b"hello /a b/ GET"
    await communicator.wait()
