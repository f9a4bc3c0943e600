"""A whole project through the porting tool: it reads well, and what comes out runs."""

import shutil
from pathlib import Path

import pytest

from compat.__main__ import main

from ..support.processes import ROOT, run_python

PROJECT = {
    "mysite/__init__.py": "",
    "mysite/settings.py": """
        INSTALLED_APPS = [
            "daphne",
            "channels",
            "chat",
        ]
        ALLOWED_HOSTS = ["example.com"]
        CHANNEL_LAYERS = {
            "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
        }
    """,
    "mysite/asgi.py": '''
        """The application."""
        from channels.auth import AuthMiddlewareStack
        from channels.routing import ProtocolTypeRouter, URLRouter
        from channels.security.websocket import AllowedHostsOriginValidator

        import chat.routing

        application = ProtocolTypeRouter(
            {
                "websocket": AllowedHostsOriginValidator(URLRouter(chat.routing.websocket_urlpatterns)),
            }
        )
        with_auth = AuthMiddlewareStack
    ''',
    "chat/__init__.py": "",
    "chat/routing.py": """
        from django.urls import path, re_path

        from . import consumers

        websocket_urlpatterns = [
            re_path(r"ws/chat/(?P<room>\\w+)/$", consumers.ChatConsumer.as_asgi()),
            path("ws/sync/<str:room>/", consumers.SyncChatConsumer.as_asgi()),
        ]
    """,
    "chat/consumers.py": '''
        # The chat.
        import json

        import channels.layers
        from asgiref.sync import async_to_sync
        from channels.db import database_sync_to_async
        from channels.exceptions import DenyConnection, StopConsumer
        from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer
        from channels.layers import get_channel_layer


        class ChatConsumer(AsyncWebsocketConsumer):
            """See channels.generic.websocket.AsyncWebsocketConsumer."""

            async def connect(self):
                self.room = self.scope["url_route"]["kwargs"]["room"]
                if self.room == "closed":
                    raise DenyConnection
                await self.channel_layer.group_add(self.room, self.channel_name)
                await self.accept()

            async def receive(self, text_data):
                text = await database_sync_to_async(text_data.upper)()
                await get_channel_layer().group_send(self.room, {"type": "chat.message", "text": text})

            async def chat_message(self, event):
                await self.send(text_data=json.dumps({"text": event["text"]}))


        class SyncChatConsumer(JsonWebsocketConsumer):
            def connect(self):
                self.room = self.scope["url_route"]["kwargs"]["room"]
                async_to_sync(self.channel_layer.group_add)(self.room, self.channel_name)
                self.accept()

            def receive_json(self, content):
                announce(self.room, content["text"])

            def chat_message(self, event):
                self.send_json({"text": event["text"]})


        def announce(room, text):
            layer = channels.layers.get_channel_layer()  # the default one
            async_to_sync(layer.group_send)(room, {"type": "chat.message", "text": text})
    ''',
    "chat/tests.py": """
        from unittest import mock

        from channels.testing import WebsocketCommunicator

        from mysite.asgi import application

        HEADERS = [(b"origin", b"https://example.com")]


        async def test_chat():
            one = WebsocketCommunicator(application, "/ws/chat/lobby/", headers=HEADERS)
            two = WebsocketCommunicator(application, "/ws/sync/lobby/", headers=HEADERS)
            assert await one.connect() == (True, None)
            assert await two.connect() == (True, None)
            await one.send_to(text_data="hello")
            await two.send_json_to({"text": "there"})
            for communicator in (one, two):
                received = [(await communicator.receive_json_from())["text"] for _ in range(2)]
                assert sorted(received) == ["HELLO", "there"], received
                await communicator.disconnect()


        async def test_it_is_closed():
            communicator = WebsocketCommunicator(application, "/ws/chat/closed/", headers=HEADERS)
            assert (await communicator.connect())[0] is False


        async def test_another_site():
            communicator = WebsocketCommunicator(application, "/ws/chat/lobby/", headers=[(b"origin", b"https://evil.org")])
            assert (await communicator.connect())[0] is False


        async def test_a_mock():
            import chat.consumers

            with mock.patch("channels.layers.get_channel_layer") as patched, mock.patch("chat.consumers.async_to_sync"):
                chat.consumers.announce("lobby", "")
            patched.assert_called_once_with()
    """,
    "requirements.txt": """
        django>=4.2
        channels[daphne]==4.3.2
    """,
}

RUN = """
import asyncio
import inspect

import {compat}
from mysite import settings

{configure}
import chat.tests

for name, test in list(vars(chat.tests).items()):
    if name.startswith("test_"):
        asyncio.run(test())
        print(name)
"""

TESTS = "test_chat\ntest_it_is_closed\ntest_another_site\ntest_a_mock\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(line[8:] for line in text.splitlines()[1:]) + "\n" * bool(text))
    return tmp_path


def test_the_plain_port_runs_without_django(project: Path) -> None:
    assert main(["port", "--write", "."]) == 0
    configure = "compat.configure(CHANNEL_LAYERS=settings.CHANNEL_LAYERS, ALLOWED_HOSTS=settings.ALLOWED_HOSTS)"
    ran = run_python(RUN.format(compat="compat", configure=configure), cwd=project, path=ROOT)
    assert (ran.returncode, ran.stdout) == (0, TESTS), ran.stderr


def test_the_native_port_runs_once_its_report_is_heeded(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["port", "--write", "--native", "."]) == 0
    report = capsys.readouterr().out
    assert "mysite/asgi.py:9: AllowedHostsOriginValidator: pass the hosts as its second argument" in report
    assert "chat/consumers.py:7: get_channel_layer: call channel_layers.configure({...})" not in report
    asgi = project / "mysite" / "asgi.py"
    asgi.write_text(asgi.read_text().replace("websocket_urlpatterns))", 'websocket_urlpatterns), ["example.com"])'))
    configure = "consumers.channel_layers.configure(settings.CHANNEL_LAYERS)"
    ran = run_python(RUN.format(compat="consumers", configure=configure), cwd=project, path=ROOT)
    assert (ran.returncode, ran.stdout) == (0, TESTS), ran.stderr
    assert main(["port", "--write", "--native", "."]) == 0
    assert "AllowedHosts" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_native_port_goes_the_same_way_in_one_step_and_in_two(project: Path) -> None:
    twice = project.parent / f"{project.name}-twice"
    shutil.copytree(project, twice)
    assert main(["port", "--write", "."]) == 0
    assert main(["port", "--write", "--native", "."]) == 0
    assert main(["port", "--write", "--native", str(twice)]) == 0
    for name in PROJECT:
        assert (project / name).read_text() == (twice / name).read_text()


def test_the_native_code_reads_as_if_written_by_hand(project: Path) -> None:
    assert main(["port", "--write", "--native", "."]) == 0
    assert (project / "chat" / "consumers.py").read_text().partition("\n\n\n")[0] == (
        "# The chat.\n"
        "import json\n"
        "\n"
        "import consumers\n"
        "from asgiref.sync import async_to_sync\n"
        "from compat.channels.db import database_sync_to_async\n"
        "from consumers import (\n"
        "    AsyncWebsocketConsumer,\n"
        "    DenyConnection,\n"
        "    JsonWebsocketConsumer,\n"
        "    StopConsumer,\n"
        "    get_channel_layer,\n"
        ")"
    )


def test_the_report_says_what_was_changed_and_what_a_person_has_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["port", "--write", "."]) == 0
    assert capsys.readouterr().out == (
        "Changed:\n"
        "  chat/consumers.py: lines 4, 6, 7, 8, 9 and 44\n"
        "  chat/routing.py: line 1\n"
        "  chat/tests.py: lines 3 and 36\n"
        "  mysite/asgi.py: lines 2, 3 and 4\n"
        "  mysite/settings.py: lines 2 and 7\n"
        "Needs a person:\n"
        "  requirements.txt:2: `channels[daphne]==4.3.2`: require starlette-consumers in its place\n"
        "Worth a look:\n"
        '  mysite/settings.py:2: "daphne" is taken out, and its runserver with it: serve with '
        "`python -m compat run package.asgi:application` or another ASGI server\n"
        "8 files looked at, 5 changed, 1 thing for a person.\n"
    )


@pytest.mark.slow
def test_the_example_projects_chat_runs_after_the_plain_port(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "example_project" / "ported_chat", tmp_path / "ported_chat")
    assert main(["port", "--write", str(tmp_path)]) == 0
    code = """
import asyncio
import compat
from compat.channels.testing import HttpCommunicator, WebsocketCommunicator
from ported_chat import settings

compat.configure(CHANNEL_LAYERS=settings.CHANNEL_LAYERS, ALLOWED_HOSTS=settings.ALLOWED_HOSTS)
from ported_chat.asgi import application

async def run():
    assert (await HttpCommunicator(application, "GET", "/").get_response())["status"] == 200
    for path in ("/ws/chat/a/?name=Ada", "/ws/chat/a/sync/?name=Ada"):
        client = WebsocketCommunicator(application, path, headers=[(b"origin", b"http://localhost")])
        assert (await client.connect())[0]
        assert await client.receive_json_from() == {"note": "Ada joined."}
        await client.disconnect()

asyncio.run(run())
"""
    ran = run_python(code, cwd=tmp_path, path=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")


SAME = """
import channels
import channels.layers as cl, channels.generic.websocket
from channels import layers, DEFAULT_CHANNEL_LAYER as alias
from channels.testing import (
    WebsocketCommunicator,  # a client
    ApplicationCommunicator as Base,
)
from importlib import import_module
from unittest import mock

def find():
    from channels.exceptions import ChannelFull, StopConsumer as stop; import channels.routing
    return [ChannelFull, stop, channels.routing.URLRouter, channels.layers]

def shadow(channels):
    return channels

with mock.patch("channels.layers.get_channel_layer") as patched:
    seen = cl.get_channel_layer is patched and layers.get_channel_layer is patched

FOUND = [
    seen, alias, channels.DEFAULT_CHANNEL_LAYER, cl, layers, WebsocketCommunicator, Base, shadow(1), *find(),
    cl.get_channel_layer, channels.generic.websocket.WebsocketConsumer, import_module("channels.layers"),
]
"""


@pytest.mark.slow
def test_the_plain_port_finds_the_very_objects_that_the_hook_gives(tmp_path: Path) -> None:
    (tmp_path / "before.py").write_text(SAME)
    (tmp_path / "after.py").write_text(SAME)
    assert main(["port", "--write", str(tmp_path / "after.py")]) == 0
    assert (tmp_path / "after.py").read_text() != SAME
    code = """
import after, sys
assert not any(name.startswith("channels") for name in sys.modules)
import compat
compat.install()
import before
assert len(before.FOUND) == len(after.FOUND) == 15 and before.seen
assert all(one is other for one, other in zip(before.FOUND, after.FOUND)), (before.FOUND, after.FOUND)
"""
    ran = run_python(code, cwd=tmp_path, path=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.slow
def test_the_native_port_finds_the_same_names_in_consumers(tmp_path: Path) -> None:
    looked_up = SAME.replace("cl, layers, ", "").replace("URLRouter, channels.layers]", "URLRouter]")
    (tmp_path / "after.py").write_text(looked_up)
    assert main(["port", "--write", "--native", str(tmp_path / "after.py")]) == 0
    code = """
import after, consumers, consumers.testing
found = after.FOUND
assert found[0] and found[3:5] == [consumers.testing.WebsocketCommunicator, consumers.testing.ApplicationCommunicator]
assert found[6:9] == [consumers.ChannelFull, consumers.StopConsumer, consumers.URLRouter]
assert found[9:11] == [consumers.get_channel_layer, consumers.WebsocketConsumer]
"""
    ran = run_python(code, cwd=tmp_path, path=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")
