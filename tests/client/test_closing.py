"""What ends Python's client: final codes, refusals, expired tokens, wrong addresses; and what is left then."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import ValidationError

from consumers.client import Client, ClientError, Closed, Detail, Refused, State

from ..support.clock import ManualClock
from ..support.slow import left_to_ci
from .stage import LOOPS, Expire, Flood, Held, Hold, Leave, Said, Say, Stage

pytestmark = pytest.mark.anyio

PATIENCE = 10


async def end_of(client: Client[Any]) -> Closed:
    """Return the error that ends the iteration."""
    with anyio.fail_after(PATIENCE), pytest.raises(Closed) as caught:
        async for _ in client:
            pass
    return caught.value


@pytest.mark.parametrize(("code", "reason"), [(1008, "not you"), (4000, "moved"), (4008, "")])
async def test_a_final_code_is_an_error_of_the_iteration_and_of_requests(stage: Stage, code: int, reason: str) -> None:
    async with Client(stage.url()) as client:
        await client.send(Leave(code=code, reason=reason))
        error = await end_of(client)
        assert (error.close_code, error.reason) == (code, reason)
        with pytest.raises(Closed, match=str(code)):
            await client.request(Say(text="late"))
        with pytest.raises(Closed):
            await client.wait_open()
    assert stage.proxy.connections == 1


async def test_a_normal_close_ends_the_iteration(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        await client.send(Leave(code=1000))
        with anyio.fail_after(PATIENCE):
            assert [message async for message in client] == []
        assert (client.state, client.detail.code) == ("closed", 1000)


async def test_the_application_may_say_which_codes_are_final(stage: Stage) -> None:
    seen: list[tuple[int, str]] = []

    def retry(code: int, reason: str) -> bool:
        seen.append((code, reason))
        return len(seen) < 2

    async with Client(stage.url(), retry=retry) as client:
        await client.wait_open()
        await client.send(Leave(code=4000, reason="x"))
        while not seen:
            await client._runner.changed.wait()
        await client.wait_open()
        await client.send(Leave(code=4001, reason="y"))
        assert (await end_of(client)).close_code == 4001
    assert seen == [(4000, "x"), (4001, "y")]


@pytest.mark.parametrize("manner", ["expiring", "private"])
async def test_an_expired_token_is_fetched_again_once(stage: Stage, manner: str) -> None:
    tokens = iter(["bad", "good"])

    async def fetch() -> str:
        return next(tokens)

    async with Client(stage.url(manner), token=fetch) as client:
        await client.request(Say(text="in"))
        assert await anext(client)


@pytest.mark.parametrize("manner", ["expiring", "private"])
async def test_a_token_may_expire_again_and_again_if_its_connection_has_worked(
    stage: Stage, clock: ManualClock, manner: str
) -> None:
    tokens = iter(["bad", "good"] * 3)

    async def hurry() -> None:
        while True:
            if client.state == "offline":
                clock.advance(1)
            await client._runner.changed.wait()

    async with Client(stage.url(manner), token=lambda: next(tokens), clock=clock) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hurry)
            for _ in range(3):
                with anyio.fail_after(PATIENCE):
                    await client.request(Say(text=""), timeout=None)
                clock.advance(5)
                stage.cut()
            tasks.cancel_scope.cancel()
    assert [*tokens] == []


@pytest.mark.parametrize(("manner", "code"), [("expiring", 4401), ("private", 403)])
async def test_a_token_that_is_no_good_twice_is_final(stage: Stage, manner: str, code: int) -> None:
    tokens = []

    def fetch() -> str:
        tokens.append("bad")
        return "bad"

    async with Client(stage.url(manner), token=fetch) as client:
        assert (await end_of(client)).close_code == code
    assert tokens == ["bad", "bad"]


async def test_a_token_that_cannot_be_fetched_is_tried_again(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    tokens = iter(["none", "good"])

    def fetch() -> str:
        if (token := next(tokens)) == "none":
            raise RuntimeError("the server for tokens is away")
        return token

    async with Client(stage.url("private"), token=fetch) as client:
        await client.wait_open()
    assert "the server for tokens is away" in caplog.text


@pytest.mark.parametrize(("path", "status"), [("private", 403), ("no/such/path", 403)])
async def test_a_refused_handshake_says_what_the_server_says(stage: Stage, path: str, status: int) -> None:
    async with Client(stage.url(path) + "?password=secret") as client:
        error = await end_of(client)
        assert error.close_code == status
        assert f"/{path} is closed for good: {status} the server refuses the handshake with HTTP {status}" in str(error)
        assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("chat/1", "write wss://host/path"),
        ("ftp://host/", "write wss://host/path"),
        ("ws:///path", "write wss://host/path"),
    ],
)
def test_an_address_that_is_none_is_an_error_at_once(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Client(url)


def test_options_are_checked() -> None:
    with pytest.raises(TypeError, match="no option 'hartbeat'"):
        Client("ws://host", hartbeat=5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="queue_limit must be positive, not 0"):
        Client("ws://host", queue_limit=0)
    with pytest.raises(TypeError, match="is no message"):
        Client("ws://host", messages=int | str)


async def test_a_server_that_is_not_there_is_tried_again_and_the_log_says_why(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.stop_server()
    async with Client(stage.url()) as client:
        while client.state != "offline":
            await client._runner.changed.wait()
        assert client.detail.retry_in is not None and client.detail.retry_in <= 0.5
        stage.start_server()
        await client.wait_open()
    [told] = [record for record in caplog.records if "is offline (0 " in record.getMessage()]
    assert told.levelno == logging.WARNING


async def test_what_the_server_objects_to_is_an_error_of_the_request(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        with pytest.raises(Refused, match=r"the server says: invalid \(text: Field required\)") as caught:
            await client.request({"type": "say"})
        assert caught.value.code == "invalid"
        assert caught.value.errors[0]["loc"] == ["text"]
        await client.request(Say(text="still open"))


@pytest.mark.parametrize("message", ["text", 5, None, {"text": "no type"}, {"type": "say", "x": float("nan")}])
async def test_what_is_no_message_is_an_error_at_once(stage: Stage, message: Any) -> None:
    async with Client(stage.url()) as client:
        for call in (client.send, client.request):
            with pytest.raises((TypeError, ValueError)):
                await call(message)


async def test_models_come_where_models_are_given(stage: Stage) -> None:
    client: Client[Said | Held] = Client(stage.url(), messages=Said | Held)
    async with client:
        await client.request(Say(text="hi"))
        assert await anext(client) == Said(text="hi")
        stage.release()
        assert await client.request(Hold()) == Held(times=1)


async def test_a_type_without_a_model_is_skipped_and_an_answer_of_it_an_error(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(stage.url(), messages=Held) as client:
        stage.release()
        await client.request(Flood(count=3))
        assert await client.request(Hold()) == Held(times=1)
        await client.close()
        assert [message async for message in client] == []
    assert caplog.text.count("'said' are skipped") == 1
    async with Client(stage.url(), messages=Said) as other:
        with pytest.raises(ClientError, match="'held'"):
            await other.request(Hold())


async def test_a_message_that_is_not_what_its_type_says_is_an_error_and_the_next_one_comes(stage: Stage) -> None:
    class Number(Said):
        text: int  # type: ignore[assignment]

    async with Client(stage.url(), messages=Number) as client:
        await client.request(Say(text="one"))
        await client.request(Say(text="2"))
        with pytest.raises(ValidationError):
            await anext(client)
        assert (await anext(client)).text == 2


async def test_the_expiry_of_the_token_is_told(stage: Stage) -> None:
    told = anyio.Event()

    async def on_expires(seconds: float) -> None:
        assert seconds == 60
        await client.request(Say(text="here is a new one"))
        told.set()

    async with Client(stage.url(), on_expires=on_expires) as client:
        await client.send(Expire())
        with anyio.fail_after(PATIENCE):
            await told.wait()


async def test_a_message_that_is_too_large_ends_the_client(stage: Stage) -> None:
    async with Client(stage.url(), max_size=100) as client:
        await client.send(Flood(count=1, size=1000))
        assert (await end_of(client)).close_code == 1009
    async with Client(stage.url()) as other:
        with pytest.raises(Closed, match="1009"):
            await other.request(Say(text="x" * 300_000))


# Errors of the application's


@pytest.mark.parametrize("error", [KeyError("mine"), ExceptionGroup("mine", [KeyError("one")])])
async def test_an_error_in_the_block_leaves_it_as_it_is(stage: Stage, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        async with Client(stage.url()) as client:
            await client.wait_open()
            raise error
    assert caught.value is error
    assert client.state == "closed"


@pytest.mark.parametrize("name", ["on_state", "on_expires"])
async def test_an_error_in_a_callback_leaves_the_block(stage: Stage, name: str) -> None:
    def fail(*args: Any) -> None:
        if args[0] in ("open", 60):
            raise KeyError("mine")

    with anyio.fail_after(PATIENCE), pytest.raises(KeyError):
        async with Client(stage.url(), **{name: fail}) as client:  # type: ignore[call-overload]
            await client.send(Expire())
            await anyio.sleep_forever()


async def test_an_error_in_the_option_retry_leaves_the_block(stage: Stage) -> None:
    def fail(code: int, reason: str) -> bool:
        raise KeyError("mine")

    with anyio.fail_after(PATIENCE), pytest.raises(KeyError):
        async with Client(stage.url(), retry=fail) as client:
            await client.send(Leave(code=4000))
            await anyio.sleep_forever()


async def test_an_error_in_a_callback_after_a_recovery_leaves_the_block(stage: Stage) -> None:
    async with Client(stage.url()) as client:
        await client.request(Say(text=""))
        await anext(client)

    def fail(state: State, detail: Detail) -> None:
        if state == "open":
            raise KeyError("mine")

    with anyio.fail_after(PATIENCE), pytest.raises(KeyError):
        async with Client(stage.url(), since=client.positions, on_state=fail):
            await anyio.sleep_forever()


async def test_an_error_in_the_block_is_the_context_of_one_in_a_callback(stage: Stage) -> None:
    def fail(state: State, detail: Detail) -> None:
        if state == "closed":
            raise KeyError("the callback's")

    error = ValueError("the block's")
    with pytest.raises(KeyError) as caught:
        async with Client(stage.url(), on_state=fail) as client:
            await client.wait_open()
            raise error
    assert caught.value.__cause__ is error


async def test_a_client_is_used_once_and_within_its_block(stage: Stage) -> None:
    client = Client(stage.url())
    with pytest.raises(RuntimeError, match="async with"):
        await client.send({"type": "say"})
    async with client:
        pass
    with pytest.raises(RuntimeError, match="used once"):
        async with client:
            pass


@pytest.mark.parametrize(("code", "reason"), [(1006, ""), (1012, ""), (5000, ""), (1000, "x" * 124)])
async def test_a_close_that_no_client_may_send_is_an_error_at_once(stage: Stage, code: int, reason: str) -> None:
    async with Client(stage.url()) as client:
        await client.wait_open()
        with pytest.raises(ValueError, match="close"):
            await client.close(code, reason)
        assert client.state == "open"


# Cancellation


async def waits_for_a_message(client: Client[Any]) -> None:
    await anext(client)


async def waits_for_an_answer(client: Client[Any]) -> None:
    await client.request(Hold())


async def waits_for_room(client: Client[Any]) -> None:
    await client.wait_open()
    for _ in range(200):
        await client.send(Flood(count=200, size=10_000))


async def closes(client: Client[Any]) -> None:
    await client.close()


async def waits_until_it_is_open(client: Client[Any]) -> None:
    await client.wait_open()


async def does_nothing(client: Client[Any]) -> None:
    await anyio.sleep_forever()


@asynccontextmanager
async def counting_tasks() -> AsyncIterator[None]:
    """See that no task and no connection is left."""
    before = len(anyio.get_running_tasks())
    yield
    assert len(anyio.get_running_tasks()) == before


@pytest.mark.parametrize(
    "wait", [waits_for_a_message, waits_for_an_answer, waits_for_room, closes, waits_until_it_is_open, does_nothing]
)
@pytest.mark.parametrize("anyio_backend", LOOPS)
@pytest.mark.parametrize("stops_at", ["open", "cut", *left_to_ci("once", "away")])
async def test_who_is_cancelled_leaves_the_block_and_nothing_behind(
    stage: Stage, wait: Callable[[Client[Any]], Any], stops_at: str
) -> None:
    if stops_at == "away":
        stage.stop_server()
    async with counting_tasks():
        with anyio.CancelScope() as scope:
            async with Client(stage.url(), inbox_limit=5) as client:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait, client)
                    if stops_at in ("open", "cut") and wait is not closes:
                        await client.wait_open()
                        await anyio.wait_all_tasks_blocked()
                    if stops_at == "cut":
                        stage.cut()
                    scope.cancel()
        assert scope.cancelled_caught
        assert client.state == "closed"
    if stops_at == "away":
        stage.start_server()


@pytest.mark.parametrize("anyio_backend", LOOPS)
@pytest.mark.parametrize("token", ["good", None])
async def test_a_block_can_be_cancelled_at_any_step(stage: Stage, token: str | None) -> None:
    async def fetch() -> str | None:
        await checkpoint()
        return token

    async with counting_tasks():
        for steps in range(0, 120, 3):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(ask_and_read, Client(stage.url(), token=fetch))
                    for _ in range(steps):
                        await checkpoint()
                    if steps % 2:
                        await anyio.sleep(steps / 10_000)  # the server is another thread
                    scope.cancel()


async def ask_and_read(client: Client[Any]) -> None:
    async with client:
        await client.request(Say(text=""))
        async for _ in client:
            await client.send(Say(text=""))


async def test_a_cancelled_iteration_loses_no_message(stage: Stage) -> None:
    found: list[str] = []
    async with Client(stage.url()) as client:
        await client.wait_open()
        stage.say(*map(str, range(50)))
        while len(found) < 50:
            with anyio.move_on_after(0.0001):
                async for message in client:
                    found.append(message["text"])
    assert found == [*map(str, range(50))]


async def test_a_cancelled_request_is_not_sent_later(stage: Stage) -> None:
    stage.stop_server()
    async with Client(stage.url()) as client:
        with anyio.move_on_after(0.01):
            await client.request(Say(text="never"))
        stage.start_server()
        await client.request(Say(text="later"))
        assert (await anext(client))["text"] == "later"
