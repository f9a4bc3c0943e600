"""Workers: named channels of a layer are handled by an application, until they are told to stop."""

import logging
import threading
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from consumers import (
    AsyncConsumer,
    ChannelNameRouter,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    ProtocolTypeRouter,
    SyncConsumer,
)
from consumers.types import ASGIApp, Message, Receive, Scope, Send
from consumers.worker import Worker

from ..support.wire import PATIENCE, eventually
from ..support.workers import WAIT, Impatient, Log, note, recorder, running


@pytest.mark.anyio
async def test_each_channel_has_one_consumer_that_gets_its_messages_in_order(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    channels: dict[str, ASGIApp] = {"images": recorder(log), "mails": recorder(log)}
    application = ProtocolTypeRouter({"channel": ChannelNameRouter(channels)})
    async with running(Worker(application, ["images", "mails"])):
        for n in (1, 2):
            await layer.send("images", note(n))
            assert await log.next() == ("images", 1, n)
        await layer.send("mails", note(3))
        assert await log.next() == ("mails", 1, 3)


@pytest.mark.anyio
async def test_it_receives_from_the_layer_it_is_given(layer: InMemoryChannelLayer, log: Log) -> None:
    other = InMemoryChannelLayer()
    await other.send("images", note(1))
    async with running(Worker(recorder(log), ["images"], other)):
        assert await log.next() == ("images", 1, 1)


@pytest.mark.anyio
async def test_a_channel_named_twice_is_run_once(layer: InMemoryChannelLayer, log: Log) -> None:
    async with running(Worker(recorder(log), ["images", "images"])):
        for n in (1, 2):
            await layer.send("images", note(n))
            assert await log.next() == ("images", 1, n)


async def others_had_a_chance() -> None:
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_while_its_handler_runs_a_consumer_takes_no_further_message(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    async with running(Worker(recorder(log), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        for n in range(40):
            await layer.send("images", note(n))
        await others_had_a_chance()
        assert layer.channels["images"] == 40
        gate.set()
        assert await log.next() == ("waited",)
        assert [(await log.next())[2] for _ in range(40)] == list(range(40))


@pytest.mark.anyio
async def test_a_consumer_takes_as_many_messages_as_it_has_handlers_free(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    async with running(Worker(recorder(log, max_tasks=3), ["images"])):
        for _ in range(5):
            await layer.send("images", WAIT)
        assert [await log.next() for _ in range(3)] == [("waits",)] * 3
        await others_had_a_chance()
        assert layer.channels["images"] == 2
        gate.set()
        assert sorted([await log.next() for _ in range(7)]) == [("waited",)] * 5 + [("waits",)] * 2


@pytest.mark.anyio
async def test_what_waits_in_this_process_alone_is_handled_before_it_stops(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    worker = Worker(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        for n in range(3):
            await layer.send("images", note(n))
        assert await log.next() == ("waits",)
        worker.stop()
        await layer.send("images", note(3))
        gate.set()
    assert await log.next() == ("waited",)
    assert [(await log.next())[2] for _ in range(3)] == [0, 1, 2]
    assert not log
    assert layer.channels == {"images": 1}


@pytest.mark.anyio
@pytest.mark.parametrize("max_tasks", [1, 4])
async def test_no_message_is_lost_behind_one_whose_handler_raises(
    max_tasks: int, layer: InMemoryChannelLayer, log: Log
) -> None:
    class Quick(Worker):
        restart_delay = 0.001

    layer.capacity = 200
    async with running(Quick(recorder(log, max_tasks=max_tasks), ["images"])):
        for n in range(200):
            await layer.send("images", {"type": "crash"} if n % 10 == 9 else note(n))
        handled = [(await log.next())[2] for _ in range(180)]
    assert sorted(handled) == [n for n in range(200) if n % 10 != 9]


@pytest.mark.anyio
async def test_what_a_failed_application_had_not_handed_to_a_handler_is_given_to_the_next_one(
    layer: InMemoryChannelLayer,
) -> None:
    got: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        worker = scope["extensions"]["consumers.worker"]
        worker.serve(lambda: 2)
        messages = [await receive(), await receive()]
        got.extend(message["n"] for message in messages)
        if len(got) == 2:
            worker.give_back(messages[1:])
            raise RuntimeError("as told")
        await receive()

    async with running(Impatient(application, ["images"])):
        for n in (1, 2, 3):
            await layer.send("images", note(n))
        await eventually(lambda: len(got) == 4)
    assert got == [1, 2, 2, 3]


@pytest.mark.anyio
async def test_what_nobody_can_handle_any_more_is_put_back_before_what_waits(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        worker = scope["extensions"]["consumers.worker"]
        worker.serve(lambda: 2)
        messages = [await receive(), await receive()]
        log.add(*(message["n"] for message in messages))
        try:
            await anyio.sleep_forever()
        finally:
            worker.give_back(messages)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(application, ["images"]).run)
        for n in (1, 2, 3):
            await layer.send("images", note(n))
        assert await log.next() == (1, 2)
        tasks.cancel_scope.cancel()
    assert [(await layer.receive("images"))["n"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.anyio
async def test_what_no_handler_gets_in_time_is_counted_in_the_log(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Impatient(recorder(log, disconnect_timeout=0.5), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        await layer.send("images", note(1))
    assert "channel 'images': 1 message(s) are left that no handler has got" in caplog.text
    assert layer.channels == {"images": 1}


@pytest.mark.anyio
async def test_a_handler_that_does_not_end_is_cancelled_after_the_consumers_disconnect_timeout(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Worker(recorder(log, disconnect_timeout=0.05), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
    assert not log
    assert "handlers cancelled: 1" in caplog.text


@pytest.mark.anyio
async def test_an_application_that_asks_no_more_is_cancelled_after_the_workers_disconnect_timeout(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        log.add((await receive())["n"])
        await anyio.sleep_forever()

    async with running(Impatient(application, ["images"])):
        await layer.send("images", note(1))
        assert await log.next() == (1,)
    assert "channel 'images': the application was cancelled" in caplog.text


@pytest.mark.anyio
async def test_the_workers_own_timeout_leaves_a_consumer_its_time_to_finish(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    worker = Impatient(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        worker.stop()
        await anyio.sleep(2 * worker.disconnect_timeout)
        gate.set()
    assert await log.next() == ("waited",)


@pytest.mark.anyio
async def test_a_crash_is_logged_and_its_channel_gets_a_fresh_consumer(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    application = ChannelNameRouter({"images": recorder(log), "mails": recorder(log)})
    async with running(Impatient(application, ["images", "mails"])):
        await layer.send("mails", note(1))
        assert await log.next() == ("mails", 1, 1)
        await layer.send("images", {"type": "crash"})
        await eventually(lambda: "the application failed" in caplog.text)
        await layer.send("images", note(2))
        assert await log.next() == ("images", 2, 2)
        await layer.send("mails", note(3))
        assert await log.next() == ("mails", 1, 3)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "channel 'images': the application failed and is restarted in 0.01 s"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "as told"


@pytest.mark.anyio
async def test_stopping_does_not_wait_for_a_restart(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await layer.send("images", {"type": "crash"})
        await eventually(lambda: "the application failed" in caplog.text)
        await layer.send("images", note(1))
        await others_had_a_chance()
        assert layer.channels == {"images": 1}
    assert await log.next() == ("images", 2, 1)


@pytest.mark.anyio
async def test_an_idle_worker_stops_without_a_pause(layer: InMemoryChannelLayer, log: Log) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await others_had_a_chance()


@pytest.mark.anyio
async def test_a_crash_while_it_stops_is_logged_without_a_restart(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        await layer.send("images", {"type": "crash"})
        assert await log.next() == ("waits",)
        worker.stop()
        gate.set()
    assert [r.getMessage() for r in caplog.records if r.exc_info] == ["channel 'images': the application failed"]


@pytest.mark.anyio
async def test_a_channel_whose_application_returns_at_once_keeps_no_other_waiting(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    consumer = recorder(log)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["channel"] == "images":
            await consumer(scope, receive, send)

    async with running(Worker(application, ["images", "mails"])):
        await layer.send("images", note(1))
        assert await log.next() == ("images", 1, 1)


@pytest.mark.anyio
async def test_a_layer_that_is_down_is_asked_only_after_a_pause(log: Log) -> None:
    calls = []

    class Down(InMemoryChannelLayer):
        async def receive(self, channel: str) -> dict[str, Any]:
            calls.append(channel)
            raise ConnectionError("Redis is down")

    worker = Worker(recorder(log), ["images"], Down())
    worker.restart_delay = 1000
    async with running(worker):
        await others_had_a_chance()
    assert calls == ["images"]


@pytest.mark.anyio
async def test_a_consumer_that_stops_itself_is_followed_by_a_fresh_one(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await layer.send("images", {"type": "finish"})
        await eventually(lambda: not layer.channels.get("images"))
        await others_had_a_chance()
        await layer.send("images", note(1))
        assert await log.next() == ("images", 2, 1)
    assert "failed" not in caplog.text


@pytest.mark.anyio
async def test_a_channel_without_an_application_stops_the_worker_before_any_message_is_taken(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    await layer.send("images", note(1))
    router = ChannelNameRouter({"images": recorder(log)})

    async def slow_to_fail(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["channel"] == "nope":
            await anyio.wait_all_tasks_blocked()
        await router(scope, receive, send)

    worker = Worker(slow_to_fail, ["images", "nope"])
    with anyio.fail_after(PATIENCE), pytest.raises(ValueError, match="'nope'; configured: 'images'") as caught:
        await worker.run()
    assert caught.value.__notes__ == ["The worker could not start the application for channel 'nope'"]
    assert layer.channels == {"images": 1}
    assert not log


@pytest.mark.anyio
async def test_an_application_that_returns_at_once_is_not_called_in_a_busy_loop(layer: InMemoryChannelLayer) -> None:
    calls = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append({key: value for key, value in scope.items() if key != "extensions"})

    async with running(Worker(application, ["images"])):
        await others_had_a_chance()
    assert calls == [{"type": "channel", "channel": "images"}]


@pytest.mark.anyio
async def test_an_application_that_knows_no_end_is_stopped_when_it_is_idle(layer: InMemoryChannelLayer) -> None:
    got: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            got.append((await receive())["type"])

    async with running(Worker(application, ["images"])):
        await layer.send("images", note(1))
        await eventually(lambda: got)
    assert got == ["note", "websocket.disconnect"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "message", [{}, {"type": None}, {"type": ["note"]}, {"type": "websocket.disconnect"}, {"type": "http.disconnect"}]
)
async def test_a_message_that_no_handler_may_get_is_dropped(
    message: Message, unchecked_layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Worker(recorder(log), ["images"])):
        await unchecked_layer.send("images", message)
        await unchecked_layer.send("images", note(1))
        assert await log.next() == ("images", 1, 1)
    assert f"channel 'images': a message was dropped, its type is {message.get('type')!r}" in caplog.text


@pytest.mark.anyio
async def test_a_failing_layer_is_asked_again_and_handlers_go_on(
    log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    class Flaky(InMemoryChannelLayer):
        calls = 0

        async def receive(self, channel: str) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 2:
                raise ConnectionError("Redis is down")
            return await super().receive(channel)

    layer = Flaky()
    async with running(Impatient(recorder(log, max_tasks=2), ["images"], layer)):
        await layer.send("images", WAIT)
        await layer.send("images", note(1))
        assert await log.next() == ("waits",)
        assert await log.next() == ("images", 1, 1)
        gate.set()
        assert await log.next() == ("waited",)
    assert layer.calls >= 3
    assert "channel 'images': the layer failed and is asked again in 0.01 s" in caplog.text


@pytest.mark.anyio
async def test_a_handler_that_sends_to_the_client_is_told_that_there_is_none(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Impatient(recorder(log), ["images"])):
        await layer.send("images", {"type": "answer"})
        await eventually(lambda: "channel 'images' has no client to send 'chat.message' to" in caplog.text)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_sync_consumer_works(layer: InMemoryChannelLayer, log: Log) -> None:
    done = []

    class Thumbnails(SyncConsumer):
        def note(self, message: Message) -> None:
            done.append(message["n"])
            handled.set()

    handled = threading.Event()
    async with running(Worker(Thumbnails.as_asgi(), ["images"])):
        await layer.send("images", note(1))
        assert await anyio.to_thread.run_sync(handled.wait, PATIENCE)
    assert done == [1]


@pytest.mark.anyio
async def test_a_cancellation_ends_it_at_once(layer: InMemoryChannelLayer, log: Log, gate: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(recorder(log), ["images"]).run)
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        tasks.cancel_scope.cancel()
    assert not log


@pytest.mark.anyio
async def test_a_start_and_a_stop_are_one_line_each(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers")
    async with running(Worker(recorder(log), ["images", "mails"])):
        await layer.send("images", note(1))
        await log.next()
    assert caplog.messages == ["worker starts: images, mails", "worker has stopped: images, mails"]


def test_a_missing_layer_is_named(no_layer: None, log: Log) -> None:
    with pytest.raises(InvalidChannelLayerError, match="'default'"):
        Worker(recorder(log), ["images"])


@pytest.mark.parametrize(
    ("application", "channels", "error", "match"),
    [
        (AsyncConsumer, ["images"], TypeError, r"write AsyncConsumer\.as_asgi\(\)"),
        (None, ["images"], TypeError, "None is no ASGI application"),
        (AsyncConsumer.as_asgi(), "images", TypeError, "a list of channel names, not the str 'images'"),
        (AsyncConsumer.as_asgi(), [], ValueError, "at least one"),
        (AsyncConsumer.as_asgi(), ["images", "no name"], TypeError, "'no name' has ' ' at position 2"),
    ],
)
def test_mistakes_are_found_before_it_runs(
    application: Any, channels: Any, error: type[Exception], match: str, layer: InMemoryChannelLayer
) -> None:
    with pytest.raises(error, match=match):
        Worker(application, channels)
