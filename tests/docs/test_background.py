"""The examples of docs/howto/background.md, as their clients see them."""

from contextlib import asynccontextmanager

import anyio
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import consumers
from consumers import AsyncWebsocketConsumer, WebsocketConsumer

from ..support.examples import connect, run
from ..support.pages import blocks

PAGE = "docs/howto/background.md"
CLOCK, STOPWATCH, ANSWERS, PATIENT, PRICES = (block.text for block in blocks(PAGE, "python"))

pytestmark = pytest.mark.anyio


async def test_the_clock_goes_on_until_its_client_leaves() -> None:
    client = await connect(run(CLOCK)["app"], "/clock?seconds=0.001")
    times = [(await client.receive_json_from())["time"] for _ in range(5)]
    assert times == sorted(set(times))
    await client.disconnect()  # raises if anything of the connection is left


async def test_the_stopwatch_is_stopped_and_started_anew() -> None:
    client = await connect(run(STOPWATCH)["app"], "/stopwatch")
    for _ in range(2):
        await client.send_to("start")
        assert await client.receive_from() == "1"
    await client.send_to("stop")
    assert await client.receive_nothing()
    await client.disconnect()


async def test_an_answer_holds_up_no_other_and_has_its_time() -> None:
    patient = "move_on_after(10)"
    assert patient in ANSWERS
    client = await connect(run(ANSWERS.replace(patient, "move_on_after(0.3)"))["app"], "/answers")
    for text in ("60", "60", "60", "0"):
        await client.send_to(text)
    assert await client.receive_from() == "slept 0 s"
    await client.send_to("60")
    await client.send_to("0")
    assert await client.receive_from() == "one after the other, please"
    assert [await client.receive_from() for _ in range(4)] == ["this takes too long"] * 4
    await client.disconnect()


async def test_an_error_of_a_background_task_is_what_on_error_makes_of_it() -> None:
    client = await connect(run(PATIENT)["application"], "/")
    for text, answer in (("8", "12"), ("0", "give me a number that is not 0"), ("x", "give me a number that is not 0")):
        await client.send_to(text)
        assert await client.receive_from() == answer
    await client.disconnect()

    class Impatient(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            self.start_background_task(self.fail)

        async def fail(self) -> None:
            raise RuntimeError("of the task")

    client = await connect(Impatient.as_asgi(), "/")
    await client.send_to("go")
    assert (await client.receive_output())["code"] == 1011
    with pytest.raises(RuntimeError, match="of the task"):
        await client.wait()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumer_stops_an_async_function() -> None:
    class Sync(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            if text_data == "start":
                self.scope_of_it = self.start_background_task(self.count)
            else:
                self.scope_of_it.cancel()

        async def count(self) -> None:
            try:
                await self.send("begun")
                await anyio.sleep_forever()
            finally:
                self.was_stopped = True

        def disconnect(self, code: int) -> None:
            assert self.was_stopped

    client = await connect(Sync.as_asgi(), "/")
    await client.send_to("start")
    assert await client.receive_from() == "begun"
    await client.send_to("stop")
    await client.disconnect()


def test_one_task_sends_to_all_and_ends_with_the_application(no_layer: None) -> None:
    with TestClient(run(PRICES)["app"]) as client:
        with client.websocket_connect("/prices") as one, client.websocket_connect("/prices") as two:
            first = one.receive_json()["cents"]
            assert one.receive_json()["cents"] == first + 1
            while two.receive_json()["cents"] != first + 1:
                pass


def test_work_in_the_lifespans_task_group_is_finished_after_its_client_has_left() -> None:
    done = []

    async def work() -> None:
        await anyio.sleep(0.05)
        done.append("work")

    class Worker(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.scope["app"].state.tasks.start_soon(work)
            await self.accept()

    @asynccontextmanager
    async def lifespan(app: FastAPI):  # type: ignore[no-untyped-def]
        async with consumers.lifespan(app), anyio.create_task_group() as tasks:
            app.state.tasks = tasks
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_api_websocket_route("/", Worker.as_endpoint())
    with TestClient(app) as client:
        with client.websocket_connect("/"):
            pass
        assert not done
    assert done
