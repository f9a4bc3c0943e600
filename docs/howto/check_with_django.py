"""What porting.md and send.md say of projects with Django, run where Django is installed and Channels is not.

Part of `make test-parity`: `python -m pytest docs/howto/check_with_django.py` in that environment.
"""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.support.pages import blocks
from tests.support.processes import ROOT, serve

BLOCKS = blocks("docs/howto/porting.md", "python", "sh")
ASGI, NATIVE_ASGI = (block for block in BLOCKS if block.file == "mysite/asgi.py")
(COMMANDS,) = (block for block in BLOCKS if "manage.py" in block.text)

PROJECT = {
    "manage.py": """
import os, sys
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
execute_from_command_line(sys.argv)
""",
    "mysite/__init__.py": "",
    "mysite/settings.py": """
from pathlib import Path

HERE = Path(__file__).parent
DEBUG = True
SECRET_KEY = "for this test only"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "mysite.urls"
ASGI_APPLICATION = "mysite.asgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "data.sqlite3"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STATIC_URL = "/static/"
STATICFILES_DIRS = [HERE / "static"]
""",
    "mysite/urls.py": """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("a view"))]
""",
    "mysite/static/style.css": "body { color: red }",
    "chat/__init__.py": "",
    "chat/consumers.py": """
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User

class WhoAmI(AsyncWebsocketConsumer):
    groups = ["people"]

    async def connect(self):
        await self.accept()
        people = await database_sync_to_async(User.objects.count)()
        await self.send(f"{self.scope['user']}, one of {people}")
""",
    "chat/routing.py": """
from django.urls import path

from .consumers import WhoAmI

websocket_urlpatterns = [path("ws/", WhoAmI.as_asgi())]
""",
    "chat/test_consumers.py": """
import pytest
from channels.testing import WebsocketCommunicator
from mysite.asgi import application

@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_who_i_am():
    communicator = WebsocketCommunicator(application, "/ws/", headers=[(b"origin", b"http://127.0.0.1")])
    assert (await communicator.connect())[0]
    assert await communicator.receive_from() == "AnonymousUser, one of 0"
    await communicator.disconnect()
""",
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = mysite.settings\n",
}

NATIVE = {
    '    "channels",': '    "compat.channels",',
    "channels.layers.InMemoryChannelLayer": "consumers.layers.InMemoryChannelLayer",
    "from channels.db ": "from compat.channels.db ",
    "from channels.generic.websocket ": "from consumers ",
    "from channels.testing ": "from consumers.testing ",
}
"""What `compat port --native` changes in the project."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the directory of a small project that has the guide's `mysite/asgi.py`."""
    for name, text in {**PROJECT, "mysite/asgi.py": ASGI.text}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def python(command: str, directory: Path, status: int = 0) -> str:
    """Run a command, which must end with a status, and return what it printed."""
    words = [sys.executable, *shlex.split(command)[1:]]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ended = subprocess.run(
        words, cwd=directory, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout if status == 0 else ended.stderr


def knock(port: int) -> None:
    """Wait until the server accepts connections: with --reload its log says that it starts, not that it has started."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    raise TimeoutError(f"nothing listens on port {port}")


def test_the_commands_of_the_guide_stand_in_for_those_of_channels(project: Path) -> None:
    run, manage, test = COMMANDS.commands
    assert "Applying auth.0001_initial... OK" in python(manage, project)
    assert "runworker" in python(manage.replace("migrate", "help"), project)
    assert "1 passed" in python(test, project)
    with serve(*shlex.split(run)[1:], cwd=project) as (port, _):
        knock(port)
        with urlopen(f"http://127.0.0.1:{port}/") as page:
            assert page.read() == b"a view"
        with urlopen(f"http://127.0.0.1:{port}/static/style.css") as style:
            assert style.read() == b"body { color: red }"
        with connect(f"ws://127.0.0.1:{port}/ws/", origin=Origin(f"http://127.0.0.1:{port}")) as client:
            assert client.recv(timeout=10) == "AnonymousUser, one of 0"


def test_a_server_of_another_kind_needs_one_line_in_the_module_that_it_imports(project: Path) -> None:
    line = "import compat; compat.install()"
    assert f"`{line}`" in (ROOT / "docs" / "howto" / "porting.md").read_text()
    (project / "mysite" / "asgi.py").write_text(f"{line}\n{ASGI.text}")
    python("python manage.py migrate".replace("manage.py", "-m compat exec manage.py"), project)
    with serve("-m", "uvicorn", "mysite.asgi:application", cwd=project) as (port, _):
        with connect(f"ws://127.0.0.1:{port}/ws/", origin=Origin(f"http://127.0.0.1:{port}")) as client:
            assert client.recv(timeout=10) == "AnonymousUser, one of 0"


def test_a_native_application_with_django_needs_neither_hook_nor_command(project: Path) -> None:
    (project / "mysite" / "asgi.py").write_text(NATIVE_ASGI.text)
    for name in ("mysite/settings.py", "chat/consumers.py", "chat/test_consumers.py"):
        text = (project / name).read_text()
        for old, new in NATIVE.items():
            text = text.replace(old, new)
        (project / name).write_text(text)
    python("python manage.py migrate", project)
    assert "1 passed" in python("python -m pytest", project)
    with serve("-m", "uvicorn", "mysite.asgi:application", "--lifespan", "on", cwd=project) as (port, _):
        with urlopen(f"http://127.0.0.1:{port}/") as page:
            assert page.read() == b"a view"
        with connect(f"ws://127.0.0.1:{port}/ws/", origin=Origin(f"http://127.0.0.1:{port}")) as client:
            assert client.recv(timeout=10) == "AnonymousUser, one of 0"
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{port}/ws/", origin=Origin("https://evil.example"))


def test_a_consumer_in_djangos_urlpatterns_is_an_error_of_its_system_check(project: Path) -> None:
    check = "python -m compat exec manage.py check"
    assert "no issues" in python(check, project)
    with (project / "mysite" / "urls.py").open("a") as urls:
        urls.write("from chat.routing import websocket_urlpatterns\nfrom django.urls import include\n")
        urls.write("urlpatterns.append(path('chat/', include(websocket_urlpatterns)))\n")
    errors = python(check, project, status=1)
    assert "(channels.E001) WhoAmI.as_asgi() is in urlpatterns, at 'ws/', but is no view." in errors
    assert "HINT: Route it in a URLRouter, under ProtocolTypeRouter's 'websocket' or 'http'." in errors


def test_a_view_sends_when_its_transaction_is_committed(project: Path) -> None:
    """With the layer in memory: what a view sends is the same on Redis, and tests/docs/test_send.py has that."""
    configure, view = (
        block for block in blocks("docs/howto/send.md", "python") if block.file in (None, "mysite/views.py")
    )
    (project / "mysite" / "layers.py").write_text(
        'LAYERS = {"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}}\n'
    )
    (project / "mysite" / "views.py").write_text(view.text)
    with (project / "mysite" / "settings.py").open("a") as settings:
        settings.write(f"{configure.text}\nINSTALLED_APPS.remove('channels')\n")
    (project / "try_it.py").write_text(TRY_THE_VIEW)
    assert python("python try_it.py", project) == "0 204\nhello\n"


TRY_THE_VIEW = """
import asyncio
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()

from django.db import transaction
from django.test import RequestFactory

from consumers import get_channel_layer
from mysite.views import publish

layer = get_channel_layer()
asyncio.run(layer.group_add("news", "reader"))
with transaction.atomic():
    status = publish(RequestFactory().post("/", {"text": "hello"})).status_code
    print(layer.stored, status)
print(asyncio.run(layer.receive("reader"))["text"])
"""
