import asyncio
import gc
import json
from contextvars import ContextVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from consumers.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator
from consumers.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Boom(Exception):
    pass


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, then send every frame back, until the client leaves."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    await anyio.sleep_forever()


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Send one frame for the first message and fail at the second."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    raise Boom


class TestApplication:
    async def test_messages_go_both_ways_in_order(self) -> None:
        communicator = ApplicationCommunicator(echo, {"type": "websocket", "subprotocols": []})
        await communicator.send_input({"type": "websocket.connect"})
        for number in range(3):
            await communicator.send_input({"type": "websocket.receive", "text": str(number)})
        assert (await communicator.receive_output())["type"] == "websocket.accept"
        assert [(await communicator.receive_output())["text"] for _ in range(3)] == ["0", "1", "2"]
        await communicator.send_input({"type": "websocket.disconnect"})
        await communicator.wait()

    async def test_a_receive_that_timed_out_leaves_the_application_alive(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        with pytest.raises(TimeoutError, match=r"nothing within 0\.01 s"):
            await communicator.receive_from(timeout=0.01)
        await communicator.send_to("still here")
        assert await communicator.receive_from() == "still here"
        await communicator.disconnect()

    async def test_a_waiting_receive_raises_the_error_of_the_application_at_once(self) -> None:
        dying = anyio.Event()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await dying.wait()
            raise Boom

        communicator = ApplicationCommunicator(application, {})
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:

                async def wait_for_output() -> None:
                    with pytest.raises(Boom):
                        await communicator.receive_output(timeout=None)

                tasks.start_soon(wait_for_output)
                await anyio.wait_all_tasks_blocked()
                dying.set()

    async def test_every_call_raises_the_error_of_the_application(self) -> None:
        communicator = WebsocketCommunicator(failing, "/")
        await communicator.connect()
        await communicator.send_to("x")
        with pytest.raises(Boom):
            await communicator.receive_from()
        with pytest.raises(Boom):
            await communicator.send_to("y")
        with pytest.raises(Boom):
            await communicator.receive_nothing()
        with pytest.raises(Boom):
            communicator.stop()
        with pytest.raises(Boom):
            await communicator.wait()
        with pytest.raises(Boom):
            await communicator.disconnect()
        communicator.stop(exceptions=False)

    async def test_an_exception_group_is_raised_as_it_is(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            raise ExceptionGroup("two", [Boom(), ValueError()])

        with pytest.raises(ExceptionGroup, match="two"):
            await ApplicationCommunicator(application, {}).receive_output()

    async def test_messages_sent_before_the_error_are_received_first(self) -> None:
        communicator = WebsocketCommunicator(failing, "/")
        await communicator.send_input({"type": "websocket.connect"})
        await communicator.send_input({"type": "websocket.receive", "text": ""})
        with pytest.raises(Boom):
            await communicator.wait()
        assert (await communicator.receive_output())["type"] == "websocket.accept"
        with pytest.raises(Boom):
            await communicator.receive_output()

    async def test_an_application_that_has_ended_is_not_waited_for(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        await communicator.disconnect()
        with anyio.fail_after(5), pytest.raises(RuntimeError, match="has ended"):
            await communicator.receive_output(timeout=None)
        with anyio.fail_after(5):
            assert await communicator.receive_nothing(timeout=None)

    async def test_receive_nothing_is_true_while_nothing_comes_and_keeps_what_came(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        assert await communicator.receive_nothing(timeout=0.01, interval=0.001)
        await communicator.send_to("x")
        with anyio.fail_after(5):
            assert not await communicator.receive_nothing(timeout=None)
        assert not await communicator.receive_nothing(timeout=0)
        assert await communicator.receive_from() == "x"
        await communicator.disconnect()

    async def test_a_wait_that_times_out_cancels_the_application_and_outlasts_its_cleanup(self) -> None:
        cleaned = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await checkpoint()
                cleaned.append(True)

        communicator = ApplicationCommunicator(application, {})
        with pytest.raises(TimeoutError, match="was cancelled"):
            await communicator.wait(timeout=0.01)
        assert cleaned == [True]
        await communicator.wait()

    async def test_a_wait_that_times_out_names_an_error_of_the_cleanup_as_its_cause(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise Boom

        with pytest.raises(TimeoutError) as caught:
            await ApplicationCommunicator(application, {}).wait(timeout=0.01)
        assert isinstance(caught.value.__cause__, Boom)

    async def test_stop_cancels(self) -> None:
        communicator = ApplicationCommunicator(silent, {})
        assert await communicator.receive_nothing(timeout=0.01)
        communicator.stop()
        with anyio.fail_after(5):
            await communicator.wait(timeout=None)

    async def test_stop_before_the_start_does_nothing(self) -> None:
        ApplicationCommunicator(silent, {}).stop()

    async def test_stop_right_after_the_start_ends_an_application_that_has_not_run(self) -> None:
        communicator = ApplicationCommunicator(silent, {})
        with anyio.move_on_after(0):
            await communicator.receive_output(timeout=None)
        communicator.stop()
        with anyio.fail_after(5):
            await communicator.wait(timeout=None)

    async def test_a_forgotten_application_is_cancelled(self) -> None:
        started, ended = anyio.Event(), anyio.Event()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            try:
                await receive()
            finally:
                ended.set()

        communicator = ApplicationCommunicator(application, {})
        assert await communicator.receive_nothing(timeout=0)
        await started.wait()
        del communicator
        gc.collect()
        with anyio.fail_after(5):
            await ended.wait()

    async def test_an_error_nobody_asked_for_makes_no_noise(self, caplog: pytest.LogCaptureFixture) -> None:
        communicator = WebsocketCommunicator(failing, "/")
        await communicator.connect()
        await communicator.send_to("x")
        await anyio.wait_all_tasks_blocked()
        del communicator
        gc.collect()
        assert not caplog.records

    async def test_application_and_test_see_no_context_variables_of_each_other(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "seen", "value": variable.get()})
            variable.set("by the application")

        token = variable.set("by the test")
        communicator = ApplicationCommunicator(application, {})
        assert (await communicator.receive_output())["value"] == "unset"
        await communicator.wait()
        assert variable.get() == "by the test"
        variable.reset(token)

    async def test_an_application_that_sends_for_ever_lets_the_test_run(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            while True:
                await send({"type": "tick"})

        communicator = ApplicationCommunicator(application, {})
        assert (await communicator.receive_output())["type"] == "tick"
        with pytest.raises(TimeoutError):
            await communicator.wait(timeout=0.01)


class TestWebsocket:
    async def test_the_scope_is_built_from_path_headers_and_subprotocols(self) -> None:
        headers = [(b"origin", b"http://a")]
        communicator = WebsocketCommunicator(echo, "/caf%C3%A9/?a=b%20c", headers, ["chat"], "2.3")
        scope = communicator.scope
        assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/café/", b"a=b%20c")
        assert (scope["headers"], scope["subprotocols"], scope["spec_version"]) == (headers, ["chat"], "2.3")

    async def test_a_path_that_is_not_a_str_is_refused(self) -> None:
        with pytest.raises(TypeError):
            WebsocketCommunicator(echo, b"/")  # type: ignore[arg-type]

    async def test_connect_returns_the_subprotocol_and_keeps_the_headers(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"a", b"b")]})

        communicator = WebsocketCommunicator(application, "/")
        assert communicator.response_headers is None
        assert await communicator.connect() == (True, "chat")
        assert communicator.response_headers == [(b"a", b"b")]

    @pytest.mark.parametrize(("close", "code"), [({}, 1000), ({"code": 4003}, 4003)])
    async def test_connect_returns_the_code_of_a_rejection(self, close: dict[str, int], code: int) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.close", **close})

        assert await WebsocketCommunicator(application, "/").connect() == (False, code)

    async def test_connect_returns_the_status_of_a_denial_response(self) -> None:
        async def deny(websocket: WebSocket) -> None:
            await websocket.send_denial_response(PlainTextResponse("no seat", 423))

        communicator = WebsocketCommunicator(Starlette(routes=[WebSocketRoute("/", deny)]), "/")
        assert await communicator.connect() == (False, 423)
        assert communicator.response_body == b"no seat"
        assert dict(communicator.response_headers or ())[b"content-length"] == b"7"
        await communicator.wait()

    async def test_connect_raises_the_error_of_the_application(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            raise Boom

        with pytest.raises(Boom):
            await WebsocketCommunicator(application, "/").connect()

    async def test_text_binary_and_json_come_back(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        await communicator.send_to(text_data="text")
        assert await communicator.receive_from() == "text"
        await communicator.send_to(bytes_data=b"bytes")
        assert await communicator.receive_from() == b"bytes"
        await communicator.send_json_to({"a": [1, None]})
        assert await communicator.receive_json_from() == {"a": [1, None]}
        await communicator.disconnect()

    async def test_an_empty_frame_can_be_sent(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        await communicator.send_to("")
        assert await communicator.receive_from() == ""
        await communicator.send_to(bytes_data=b"")
        assert await communicator.receive_from() == b""
        await communicator.disconnect()

    async def test_a_frame_is_either_text_or_binary(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        with pytest.raises(ValueError, match="exactly one"):
            await communicator.send_to()
        with pytest.raises(ValueError, match="exactly one"):
            await communicator.send_to("a", b"b")
        with pytest.raises(TypeError):
            await communicator.send_to(b"a")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await communicator.send_to(bytes_data="a")  # type: ignore[arg-type]

    @pytest.mark.parametrize("frame", [{}, {"text": 1}, {"text": "a", "bytes": b"a"}, {"bytes": "a"}])
    async def test_a_malformed_frame_fails_the_test(self, frame: dict[str, object]) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.send", **frame})

        with pytest.raises(AssertionError):
            await WebsocketCommunicator(application, "/").receive_from()

    async def test_a_frame_with_the_other_kind_set_to_none_is_valid(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.send", "text": None, "bytes": b"a"})

        assert await WebsocketCommunicator(application, "/").receive_from() == b"a"

    async def test_a_close_or_a_binary_frame_is_not_json(self) -> None:
        communicator = WebsocketCommunicator(echo, "/")
        await communicator.connect()
        await communicator.send_to(bytes_data=b"1")
        with pytest.raises(AssertionError, match="text frame"):
            await communicator.receive_json_from()
        await communicator.send_to("{")
        with pytest.raises(json.JSONDecodeError):
            await communicator.receive_json_from()
        await communicator.disconnect()

    async def test_a_close_where_a_frame_was_expected_fails_the_test(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close", "code": 4001})
            await receive()

        communicator = WebsocketCommunicator(application, "/")
        with pytest.raises(AssertionError, match="4001"):
            await communicator.receive_from()
        await communicator.disconnect()

    async def test_a_close_for_an_internal_error_raises_that_error_where_a_frame_was_expected(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close", "code": 1011})
            await checkpoint()
            raise Boom

        with pytest.raises(Boom):
            await WebsocketCommunicator(application, "/").receive_from()

    async def test_disconnect_tells_the_code_and_leaves_no_task(self) -> None:
        codes = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            codes.append((await receive())["code"])

        tasks = asyncio_tasks()
        communicator = WebsocketCommunicator(application, "/")
        await communicator.disconnect(code=4000)
        assert codes == [4000]
        assert asyncio_tasks() <= tasks

    async def test_disconnect_cancels_an_application_that_does_not_end(self) -> None:
        with pytest.raises(TimeoutError):
            await WebsocketCommunicator(silent, "/").disconnect(timeout=0.01)


class TestHttp:
    @staticmethod
    def application() -> Starlette:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            return PlainTextResponse(f"{request.method} {request.url.query} {body!r}", 201, {"x": "y"})

        return Starlette(routes=[Route("/a b", endpoint, methods=["POST"])])

    async def test_a_request_gets_its_response(self) -> None:
        communicator = HttpCommunicator(self.application(), "post", "/a%20b?c=d", b"body", [(b"e", b"f")])
        response = await communicator.get_response()
        assert (response["status"], response["body"]) == (201, b"POST c=d b'body'")
        assert (b"x", b"y") in response["headers"]
        assert set(response) == {"status", "headers", "body"}
        await communicator.wait()

    async def test_a_response_in_parts_is_joined(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body", "body": b"b"})

        response = await HttpCommunicator(application, "GET", "/").get_response()
        assert response == {"status": 200, "headers": [], "body": b"ab"}

    async def test_another_message_than_a_response_fails_the_test(self) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        with pytest.raises(AssertionError, match=r"http\.response\.start"):
            await HttpCommunicator(application, "GET", "/").get_response()

    async def test_the_error_of_the_application_is_raised(self) -> None:
        with pytest.raises(Boom):
            await HttpCommunicator(failing_request, "GET", "/").get_response()

    async def test_a_body_that_is_not_bytes_is_refused(self) -> None:
        with pytest.raises(TypeError):
            HttpCommunicator(self.application(), "GET", "/", "text")  # type: ignore[arg-type]


async def failing_request(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise Boom


def asyncio_tasks() -> set[object]:
    """Return the tasks of the running event loop: on trio, whose system tasks nobody counts, none."""
    try:
        return set(asyncio.all_tasks())
    except RuntimeError:
        return set()
