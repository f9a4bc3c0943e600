"""A layer that is not there, or that does not reach everybody, is noticed at once."""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from compat.channels.generic.websocket import AsyncWebsocketConsumer as PortedConsumer
from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, WebsocketConsumer, channel_layers, lifespan
from consumers.layers import _processes
from consumers.layers._parts import WhoIsThere
from consumers.testing import WebsocketCommunicator
from consumers.types import Message

from ..support.slow import left_to_ci
from .answers import answers, last_line, log_lines, visit
from .mistake import Mistake
from .sending_records import NO_LAYER, SEVERAL_PROCESSES

pytestmark = pytest.mark.anyio

WARNING = SEVERAL_PROCESSES.answer


@pytest.mark.parametrize("mistake", NO_LAYER, ids=lambda mistake: mistake.title)
async def test_the_answer_says_what_is_missing(
    mistake: Mistake, no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answers(mistake, caplog) == [mistake.answer]


async def test_the_error_points_at_the_line_that_needs_a_layer(no_layer: None) -> None:
    class Chat(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.channel_layer.group_add("room", self.channel_name)

    with pytest.raises(ValueError, match=r"^Chat\.channel_layer is None") as caught:
        await visit(Chat.as_asgi())
    assert caught.traceback[-1].name == "connect"
    assert "During handling" not in "".join(traceback.format_exception(caught.value))


async def test_without_a_layer_the_attribute_is_none_as_in_channels(no_layer: None) -> None:
    seen: list[Any] = []

    class Chat(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            seen.append(self.channel_layer)
            if self.channel_layer is None:
                await self.accept()

    await visit(Chat.as_asgi())
    assert seen == [None]


@pytest.mark.parametrize(
    "method",
    [
        *("group_add", "group_discard", "group_send", "close_group", "send", "flush", "history", "position"),
        *(name for name in vars(WhoIsThere) if not name.startswith("_")),
    ],
)
async def test_every_method_of_a_layer_is_answered_for(method: str, no_layer: None) -> None:
    class Chat(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            layer = self.channel_layer
            await getattr(layer, method)("room")

    with pytest.raises(ValueError, match=rf"^Chat\.channel_layer is None, so it has no {method}\(\)"):
        await visit(Chat.as_asgi())


async def test_another_none_keeps_its_own_error(no_layer: None) -> None:
    class Chat(AsyncWebsocketConsumer):
        upstream: Any = None

        async def receive(self, text_data: str) -> None:
            await self.upstream.send(text_data)

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'send'"):
        await visit(Chat.as_asgi())


async def test_with_a_layer_an_error_about_none_is_left_alone(layer: InMemoryChannelLayer) -> None:
    class Chat(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await channel_layers.backends.get("other").group_send("room", {"type": "x"})  # type: ignore[union-attr]

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'group_send'"):
        await visit(Chat.as_asgi())


async def test_on_error_and_background_tasks_get_the_answer_too(no_layer: None) -> None:
    told: list[str] = []

    class Chat(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.start_background_task(self.push)

        async def push(self) -> None:
            await self.channel_layer.group_send("room", {"type": "chat.message"})

        async def on_error(self, exc: Exception, message: Message | None) -> None:
            told.append(last_line(exc))

    await visit(Chat.as_asgi())
    assert told == [NO_LAYER[0].answer.replace("group_add", "group_send")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumer_gets_the_answer_too(no_layer: None) -> None:
    from asgiref.sync import async_to_sync

    class Chat(WebsocketConsumer):
        def connect(self) -> None:
            async_to_sync(self.channel_layer.group_add)("room", self.channel_name)

    with pytest.raises(ValueError, match="no channel layer") as caught:
        await visit(Chat.as_asgi())
    assert last_line(caught.value) == NO_LAYER[0].answer


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_settings_the_answer_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_layers, "_configs", None)
    monkeypatch.setattr(channel_layers, "_source", lambda: {"other": {"BACKEND": InMemoryChannelLayer}})
    monkeypatch.setattr(channel_layers, "backends", {})

    class Chat(PortedConsumer):
        async def connect(self) -> None:
            await self.channel_layer.group_add("room", self.channel_name)

    with pytest.raises(ValueError, match=r"no channel layer 'default', only 'other'\. Set it in CHANNEL_LAYERS\n"):
        await visit(Chat.as_asgi())


# Several processes


@contextmanager
def serving(directory: Path, *command: str, **environment: str) -> Iterator[Iterator[str]]:
    """Run a server's command where `app.py` is, and yield its log, line by line."""
    (directory / "app.py").write_text(SEVERAL_PROCESSES.code, encoding="utf-8")
    variables = {name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY"}
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=directory,
        env={**variables, **environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield (line.rstrip("\n") for line in server.stdout)
        finally:
            server.send_signal(signal.SIGINT)
            server.stdout.read()


def warnings_until(lines: Iterator[str], last: str, times: int = 1) -> list[str]:
    """Return the layer's warnings until the log has had a line with this text so many times."""
    found = []
    for line in lines:
        if "InMemoryChannelLayer" in line:
            found.append(line)
        if last in line:
            times -= 1
            if not times:
                return found
    raise AssertionError(f"the server ended before it said {last!r}")


TEXT = WARNING.partition(": ")[2]
UVICORN = ("uvicorn", "app:app", "--port", "0")
STARTED = "Application startup complete"


@pytest.mark.slow
def test_each_of_uvicorns_workers_warns_once_when_it_starts(tmp_path: Path) -> None:
    with serving(tmp_path, *UVICORN, "--workers", "2") as lines:
        assert warnings_until(lines, STARTED, 2) == [TEXT, TEXT]


@pytest.mark.slow
def test_uvicorns_workers_by_the_environment_warn_too(tmp_path: Path) -> None:
    with serving(tmp_path, *UVICORN, WEB_CONCURRENCY="2") as lines:
        assert warnings_until(lines, STARTED, 2) == [TEXT, TEXT]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_uvicorn_with_one_process_says_nothing_whatever_the_environment_says(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    environment = {"WEB_CONCURRENCY": "4"} if options else {}
    with serving(tmp_path, *UVICORN, *options, **environment) as lines:
        assert warnings_until(lines, STARTED) == []


@pytest.mark.slow
def test_reloading_uvicorn_has_one_process(tmp_path: Path) -> None:
    with serving(tmp_path, *UVICORN, "--reload", WEB_CONCURRENCY="4") as lines:
        assert warnings_until(lines, STARTED) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asyncio", *left_to_ci("trio")])
def test_hypercorns_workers_warn(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, "hypercorn", "app:app", "-b", "127.0.0.1:0", "-w", "2", "-k", kind) as lines:
        running = warnings_until(lines, "Running on", 2)
    assert running == [TEXT.replace("uvicorn", "hypercorn")] * 2


class Arbiter:
    """Stands for gunicorn's, which calls the worker, which runs the event loop."""

    num_workers = 3


def test_gunicorns_workers_are_counted_by_their_arbiter() -> None:
    spawn = "def spawn_worker(self):\n    return count()\n"
    names: dict[str, Any] = {"__name__": "gunicorn.arbiter", "count": _processes.server_processes}
    exec(spawn, names)
    assert names["spawn_worker"](Arbiter()) == (3, "gunicorn")


def test_a_server_of_another_make_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    names: dict[str, Any] = {"__name__": "uvicorn.server", "count": _processes.server_processes}
    exec("def run(config):\n    return count()\n", names)
    assert names["run"](None) == (1, "WEB_CONCURRENCY")


def test_other_servers_are_believed_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_layers, "_configs", {})
    monkeypatch.setattr(channel_layers, "backends", {})
    channel_layers.configure({"default": {"BACKEND": InMemoryChannelLayer}})
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    with TestClient(Starlette(lifespan=lifespan)):
        pass
    assert log_lines(caplog.records) == [WARNING.replace("uvicorn", "WEB_CONCURRENCY")]


@pytest.mark.parametrize("value", ["1", "", "auto", "-2"])
async def test_one_process_says_nothing(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    async with InMemoryChannelLayer() as layer:
        layer.attach(lambda message: 1)
    assert caplog.records == []


async def test_without_a_lifespan_the_first_client_brings_the_warning(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class News(AsyncWebsocketConsumer):
        groups = ["news"]

    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    for _ in range(2):
        client = WebsocketCommunicator(News.as_asgi(), "/ws")
        await client.connect()
        await client.disconnect()
    assert log_lines(caplog.records) == [WARNING.replace("uvicorn", "WEB_CONCURRENCY")]
