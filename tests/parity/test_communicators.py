"""The communicators of channels.testing."""

import asyncio
import contextvars
import json

import pytest
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator

variable = contextvars.ContextVar("variable", default="unset")


async def echo(scope, receive, send):
    """Sends back what it receives until it is told to stop, to fail or to wait."""
    while True:
        message = await receive()
        if message["type"] == "stop":
            return
        if message["type"] == "fail":
            raise LookupError("as it was told")
        await send(message)


def started(application=echo, **scope):
    return ApplicationCommunicator(application, {"type": "test", **scope})


async def test_messages_go_in_and_come_out():
    communicator = started()
    await communicator.send_input({"type": "one"})
    await communicator.send_input({"type": "two"})
    assert await communicator.receive_output() == {"type": "one"}
    assert await communicator.receive_output(timeout=1) == {"type": "two"}
    await communicator.send_input({"type": "stop"})
    await communicator.wait()


async def test_the_application_gets_the_scope():
    async def application(scope, receive, send):
        await send({"type": "scope", **scope})

    communicator = started(application, type="mine", detail=7)
    assert await communicator.receive_output() == {"type": "mine", "detail": 7}
    assert communicator.scope == {"type": "mine", "detail": 7}
    await communicator.wait()


async def test_nothing_comes_out_of_an_idle_application():
    communicator = started()
    assert await communicator.receive_nothing() is True
    assert await communicator.receive_nothing(timeout=0.02, interval=0.01) is True
    await communicator.send_input({"type": "one"})
    assert await communicator.receive_nothing() is False
    assert await communicator.receive_output() == {"type": "one"}
    await communicator.send_input({"type": "stop"})
    await communicator.wait()


async def test_a_wait_for_nothing_times_out():
    communicator = started()
    with pytest.raises(TimeoutError):
        await communicator.receive_output(timeout=0.02)


async def test_a_receive_that_times_out_ends_the_application():
    communicator = started()
    await communicator.send_input({"type": "one"})
    await communicator.receive_output()
    with pytest.raises(TimeoutError):
        await communicator.receive_output(timeout=0.02)
    assert communicator.future.cancelled()
    for call in (communicator.receive_output, lambda: communicator.send_input({"type": "two"})):
        with pytest.raises(asyncio.CancelledError):
            await call()
    await communicator.wait()


async def test_a_consumer_that_sends_nothing_in_time_is_ended():
    communicator = WebsocketCommunicator(AsyncWebsocketConsumer.as_asgi(), "/")
    await communicator.connect()
    with pytest.raises(TimeoutError):
        await communicator.receive_from(timeout=0.02)
    with pytest.raises(asyncio.CancelledError):
        await communicator.disconnect()


async def test_a_wait_for_nothing_leaves_the_application_alive():
    communicator = started()
    assert await communicator.receive_nothing(timeout=0.02)
    await communicator.send_input({"type": "one"})
    assert await communicator.receive_output() == {"type": "one"}
    await communicator.send_input({"type": "stop"})
    await communicator.wait()


async def test_what_the_application_raises_when_a_receive_times_out_is_raised():
    async def application(scope, receive, send):
        try:
            await receive()
        finally:
            raise LookupError("as it was told")

    with pytest.raises(LookupError, match="as it was told"):
        await started(application).receive_output(timeout=0.02)


async def test_a_wait_for_output_of_an_ended_application_times_out():
    communicator = started()
    await communicator.send_input({"type": "stop"})
    await communicator.wait()
    with pytest.raises(TimeoutError):
        await communicator.receive_output(timeout=0.02)


async def test_a_runtime_error_of_the_application_is_raised():
    async def application(scope, receive, send):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await started(application).receive_output(timeout=0.02)


async def test_waiting_for_an_application_that_runs_on_cancels_it():
    cancelled = asyncio.Event()

    async def application(scope, receive, send):
        try:
            await receive()
        finally:
            cancelled.set()

    communicator = started(application)
    await communicator.wait(timeout=0.02)
    assert cancelled.is_set()


@pytest.mark.parametrize("call", ["wait", "receive_output", "receive_nothing"])
async def test_what_the_application_raises_is_raised(call):
    communicator = started()
    await communicator.send_input({"type": "fail"})
    await asyncio.sleep(0.01)
    with pytest.raises(LookupError, match="as it was told"):
        await getattr(communicator, call)()


async def test_an_application_that_failed_takes_no_more_input():
    communicator = started()
    await communicator.send_input({"type": "fail"})
    await asyncio.sleep(0.01)
    with pytest.raises(LookupError):
        await communicator.send_input({"type": "one"})


async def test_stop_cancels():
    cancelled = asyncio.Event()

    async def application(scope, receive, send):
        await send({"type": "started"})
        try:
            await receive()
        finally:
            cancelled.set()

    communicator = started(application)
    await communicator.receive_output()
    communicator.stop()
    async with asyncio.timeout(1):
        await cancelled.wait()


async def test_stop_raises_what_the_application_did_unless_told_otherwise():
    communicator = started()
    await communicator.send_input({"type": "fail"})
    await asyncio.sleep(0.01)
    communicator.stop(exceptions=False)
    with pytest.raises(LookupError):
        communicator.stop()


async def test_stopping_what_was_never_started_does_nothing():
    started().stop()


async def test_the_tests_context_variables_do_not_leak():
    async def application(scope, receive, send):
        await send({"type": "value", "value": variable.get()})

    token = variable.set("set by the test")
    try:
        communicator = started(application)
        assert (await communicator.receive_output())["value"] == "unset"
        await communicator.wait()
    finally:
        variable.reset(token)


class Describes(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)
        keys = ("type", "path", "query_string", "headers", "subprotocols")
        await self.send(repr([self.scope[key] for key in keys]))

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            await self.close()
        else:
            await self.send(text_data, bytes_data)


async def test_a_websocket_has_a_scope():
    communicator = WebsocketCommunicator(
        Describes.as_asgi(), "/a%20b/?c=d%20e", headers=[(b"cookie", b"a=b")], subprotocols=["one", "two"]
    )
    assert communicator.scope["path"] == "/a b/"
    assert await communicator.connect(timeout=2) == (True, "one")
    expected = ["websocket", "/a b/", b"c=d%20e", [(b"cookie", b"a=b")], ["one", "two"]]
    assert await communicator.receive_from() == repr(expected)
    await communicator.disconnect()


async def test_a_websocket_may_do_without_most_of_it():
    communicator = WebsocketCommunicator(Describes.as_asgi(), "ws/")
    assert await communicator.connect() == (True, None)
    assert await communicator.receive_from() == repr(["websocket", "ws/", b"", [], []])
    assert list(communicator.response_headers) == []
    await communicator.disconnect()


async def test_the_scope_may_be_changed_before_connecting():
    class User(AsyncWebsocketConsumer):
        async def connect(self):
            await self.accept()
            await self.send(self.scope["user"])

    communicator = WebsocketCommunicator(User.as_asgi(), "/", spec_version="2.3")
    assert communicator.scope["spec_version"] == "2.3"
    communicator.scope["user"] = "ann"
    await communicator.connect()
    assert await communicator.receive_from() == "ann"
    await communicator.disconnect()


async def test_frames_go_in_and_come_out():
    communicator = WebsocketCommunicator(Describes.as_asgi(), "/")
    await communicator.connect()
    await communicator.receive_from()
    await communicator.send_to(text_data="text")
    assert await communicator.receive_from() == "text"
    await communicator.send_to(bytes_data=b"bytes")
    assert await communicator.receive_from(timeout=1) == b"bytes"
    await communicator.send_json_to({"a": [1]})
    assert await communicator.receive_json_from() == {"a": [1]}
    await communicator.send_to(text_data="no JSON")
    with pytest.raises(json.JSONDecodeError):
        await communicator.receive_json_from()
    await communicator.disconnect(code=1001, timeout=1)


async def test_a_close_is_no_frame():
    communicator = WebsocketCommunicator(Describes.as_asgi(), "/")
    await communicator.connect()
    await communicator.receive_from()
    await communicator.send_to(text_data="close")
    with pytest.raises(AssertionError, match=r"websocket\.send"):
        await communicator.receive_from()
    await communicator.disconnect()


async def test_an_error_says_what_came_in_place_of_a_frame():
    async def application(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    communicator = WebsocketCommunicator(application, "/")
    await communicator.connect()
    with pytest.raises(AssertionError) as caught:
        await communicator.receive_from()
    assert str(caught.value) == "Expected type 'websocket.send', but was 'websocket.close'"


@pytest.mark.parametrize("data", [{}, {"text_data": "a", "bytes_data": b"b"}, {"text_data": 7}, {"bytes_data": "b"}])
async def test_a_frame_is_either_text_or_bytes(data):
    with pytest.raises(AssertionError):
        await WebsocketCommunicator(echo, "/").send_to(**data)


async def test_json_comes_in_text_frames_only():
    communicator = WebsocketCommunicator(Describes.as_asgi(), "/")
    await communicator.connect()
    await communicator.receive_from()
    await communicator.send_to(bytes_data=b"{}")
    with pytest.raises(AssertionError):
        await communicator.receive_json_from()
    await communicator.disconnect()


async def test_an_http_client_has_a_scope_and_a_body():
    async def application(scope, receive, send):
        request = await receive()
        await send({"type": "http.response.start", "status": 201, "headers": scope["headers"]})
        await send({"type": "http.response.body", "body": scope["method"].encode() + b" ", "more_body": True})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" ", "more_body": True})
        await send({"type": "http.response.body", "body": scope["query_string"] + b" " + request["body"]})

    communicator = HttpCommunicator(application, "post", "/a%20b/?c=d", body=b"body", headers=[(b"x-one", b"1")])
    response = await communicator.get_response()
    assert response == {"status": 201, "headers": [(b"x-one", b"1")], "body": b"POST /a b/ c=d body"}
    await communicator.wait()


async def test_a_response_without_headers_has_an_empty_list_of_them():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body", "body": b""})

    response = await HttpCommunicator(application, "GET", "/").get_response(timeout=1)
    assert response == {"status": 204, "headers": [], "body": b""}


class Fails(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "stop":
            raise StopConsumer
        raise LookupError(text_data)


@pytest.mark.parametrize("call", ["receive_from", "receive_output", "receive_json_from", "wait"])
async def test_a_handlers_error_is_raised_instead_of_a_frame(call):
    communicator = WebsocketCommunicator(Fails.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="boom")
    with pytest.raises(LookupError, match="boom"):
        await getattr(communicator, call)(timeout=0.2)
    with pytest.raises(LookupError, match="boom"):
        await communicator.disconnect()


async def test_disconnecting_from_what_has_ended_does_nothing():
    communicator = WebsocketCommunicator(Fails.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="stop")
    await communicator.wait()
    await communicator.disconnect()
    await communicator.disconnect()


async def test_an_application_that_does_not_answer_the_handshake_times_out():
    async def application(scope, receive, send):
        await receive()

    with pytest.raises(TimeoutError):
        await WebsocketCommunicator(application, "/").connect(timeout=0.05)


async def test_the_queues_and_the_task_can_be_looked_at():
    communicator = started()
    await communicator.input_queue.put({"type": "one"})
    communicator.input_queue.put_nowait({"type": "two"})
    assert communicator.input_queue.qsize() == 2
    assert communicator.output_queue.empty()
    assert not communicator.future.done()
    assert await communicator.output_queue.get() == {"type": "one"}
    assert await communicator.receive_output() == {"type": "two"}
    with pytest.raises(asyncio.QueueEmpty):
        communicator.output_queue.get_nowait()
    await communicator.send_input({"type": "stop"})
    await communicator.future
    assert communicator.future.done()
    assert communicator.future.exception() is None


async def test_the_task_can_be_cancelled_and_has_the_error():
    communicator = started()
    await communicator.send_input({"type": "fail"})
    with pytest.raises(LookupError):
        await communicator.future
    assert isinstance(communicator.future.exception(), LookupError)
    other = started()
    await other.send_input({"type": "one"})
    other.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other.future
