"""`python -m consumers worker`: signals, usage errors, and what the module itself raises."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.__main__ import main

from ..support.pages import ROOT

MODULE = """
import anyio
from consumers import AsyncConsumer, ChannelNameRouter, InMemoryChannelLayer, channel_layers, get_channel_layer


class Layer(InMemoryChannelLayer):
    async def close(self):
        print("layer: closed", flush=True)


channel_layers.configure({"default": {"BACKEND": Layer}})


class Mails(AsyncConsumer):
    async def go_on(self, message):
        print("mails: message", flush=True)
        await anyio.sleep(0.3)
        print("mails: handled", flush=True)

    async def hang(self, message):
        print("mails: hangs", flush=True)
        await anyio.sleep_forever()


class Images(AsyncConsumer):
    groups = ["never"]

    async def on(self, message):
        await get_channel_layer().send("mails", {"type": message["then"]})


class Starter(AsyncConsumer):
    async def __call__(self, scope, receive, send):
        self.start_with = scope["channel"]
        await get_channel_layer().send("images", {"type": "on", "then": scope["channel"]})
        await super().__call__(scope, receive, send)


application = ChannelNameRouter({
    "go.on": Starter.as_asgi(), "hang": Starter.as_asgi(), "images": Images.as_asgi(), "mails": Mails.as_asgi(),
})
nothing = None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "asgi.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import no_such_library\n", encoding="utf-8")
    return tmp_path


def start_worker(project: Path, *arguments: str) -> subprocess.Popen[str]:
    # -P keeps Python from putting the current directory on its path: the command has to.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "consumers", "worker", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_when_the_handler_is_done(number: signal.Signals, project: Path) -> None:
    with start_worker(project, "shop.asgi:application", "go.on", "images", "mails") as process:
        assert next_line(process) == "mails: message"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert output == "mails: handled\nlayer: closed\n"
    assert process.returncode == 0, errors
    warning, start, stop = errors.splitlines()
    assert "channel layer 'default' is in memory" in warning
    assert start.endswith("INFO consumers.worker: worker starts: go.on, images, mails")
    assert stop.endswith("INFO consumers.worker: worker has stopped: go.on, images, mails")


@pytest.mark.slow
def test_a_second_signal_cancels_the_handlers(project: Path) -> None:
    with start_worker(project, "shop.asgi:application", "hang", "images", "mails") as process:
        assert next_line(process) == "mails: hangs"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=8)
    assert process.returncode == 1, errors
    assert "again: handlers are cancelled" in errors
    assert "Traceback" not in errors


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the command in this process, as if it had just begun."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.slow
def test_a_usage_error_ends_the_command(project: Path) -> None:
    with start_worker(project, "shop.asgi:application", "images", "nope") as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2, errors
    assert errors.splitlines()[-1].startswith("python -m consumers worker: error: shop.asgi:application: ")
    assert output == "layer: closed\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop.asgi:application", "images", "nope"], "channel name 'nope'; configured: 'go.on', 'hang', 'images'"),
        (["--layer", "spare", "shop.asgi:application", "images"], "no channel layer 'spare' (configured: 'default')"),
        (["shop.asgi", "images"], "'shop.asgi' is not of the form package.module:attribute"),
        (["shop.nope:application", "images"], "no module 'shop.nope'"),
        (["nope.asgi:application", "images"], "no module 'nope'"),
        (["shop.asgi:nope", "images"], "has no attribute 'nope'"),
        (["shop.asgi:nothing", "images"], "None is no ASGI application"),
        (["shop.asgi:Images", "images"], "write Images.as_asgi()"),
        (["shop.asgi:application", "no name"], "'no name' has ' ' at position 2"),
        (["shop.asgi:application"], "the following arguments are required: channel"),
    ],
)
def test_a_usage_error_says_what_is_wrong(
    arguments: list[str], message: str, in_project: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["worker", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_an_error_inside_the_module_keeps_its_traceback(project: Path) -> None:
    with start_worker(project, "broken:application", "images") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "import no_such_library" in errors
