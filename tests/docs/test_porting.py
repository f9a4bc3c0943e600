"""docs/howto/porting.md: what it shows is so, and its commands and code run.

What needs Django is in docs/howto/check_with_django.py.
"""

import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.request import Request, build_opener, urlopen

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from consumers.testing import WebsocketCommunicator

from ..parity.transcripts.differences import WANTED
from ..support import examples
from ..support.chatting import chat, enter, read
from ..support.pages import ROOT, Block, blocks
from ..support.processes import run_python, serve

PAGE = "docs/howto/porting.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCKS = blocks(PAGE, "python", "sh", "console")

FILES = {block.file: block for block in BLOCKS if block.file}
INSTALL = [block for block in BLOCKS if block.commands[0].startswith("pip ")]
STEPS = [block for block in BLOCKS if "example_project" in block.text and block.file != "main.py"]
WITH_DJANGO = [block for block in BLOCKS if "manage.py" in block.text or block.file == "mysite/asgi.py"]

PEOPLE = """
from channels.auth import AuthMiddlewareStack
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

class LogIn(AsyncHttpConsumer):
    async def handle(self, body):
        self.scope["session"]["name"] = body.decode()
        await self.send_response(200, b"")

class WhoAmI(WebsocketConsumer):
    def connect(self):
        self.accept()
        self.send(self.scope["user"].display_name)

application = ProtocolTypeRouter(
    {
        "http": AuthMiddlewareStack(LogIn.as_asgi()),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("who/", WhoAmI.as_asgi())]))),
    }
)
"""


def run(command: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    program, *words = shlex.split(command)
    assert program == "python"
    return run_python(*words, cwd=directory)


def perform(block: Block, directory: Path) -> None:
    """Do what a block of the walk says."""
    if block.file:
        (directory / block.file).write_text(block.text, encoding="utf-8")
    for command in [] if block.file else block.commands:
        if "--port" in command:
            with serve(*shlex.split(command)[1:], cwd=directory) as (port, _):
                chat(port)
        else:
            ended = run(command, directory)
            assert ended.returncode == 0, ended.stderr + ended.stdout
            assert block.language != "console" or ended.stdout == block.output, f"{PAGE}, line {block.line}"


@pytest.mark.slow
def test_the_chat_is_ported_step_by_step_and_served_after_each(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "example_project", tmp_path / "example_project", ignore=ignored)
    for block in STEPS:
        perform(block, tmp_path)
    assert len([command for block in STEPS for command in block.commands if "--port" in command]) == 3
    ported = "".join(file.read_text() for file in (tmp_path / "example_project" / "ported_chat").glob("*.py"))
    assert not re.search(r"\b(compat|channels|django)\.", ported)


@pytest.mark.slow
def test_without_django_settings_sessions_and_users_come_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    (tmp_path / "mysite" / "asgi.py").write_text(PEOPLE)
    for name in ("serve.py", "mysite/auth.py"):
        (tmp_path / name).write_text(FILES[name].text)
    assert "(`uvicorn serve:application`)" in TEXT
    with serve("-m", "uvicorn", "serve:application", cwd=tmp_path) as (port, _):
        with urlopen(Request(f"http://127.0.0.1:{port}/", b"Ada")) as response:
            cookie = response.headers["set-cookie"].partition(";")[0]
        url, origin = f"ws://127.0.0.1:{port}/who/", Origin("http://localhost:8000")
        with connect(url, origin=origin, additional_headers={"cookie": cookie}) as client:
            assert client.recv(timeout=10) == "Ada"
        with connect(url, origin=origin) as client:
            assert client.recv(timeout=10) == ""


@pytest.mark.slow
def test_a_fastapi_endpoint_reaches_a_room_of_the_mounted_chat(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(FILES["main.py"].text)
    with serve("-m", "uvicorn", "main:app", cwd=tmp_path) as (port, _), enter(port, "lobby", "Ada") as ada:
        with urlopen(Request(f"http://127.0.0.1:{port}/rooms/lobby/notes?note=Tea%20is%20ready", b"")) as response:
            assert response.status == 200
        assert read(ada) == {"note": "Tea is ready"}
        assert build_opener().open(f"http://127.0.0.1:{port}/").status == 200


@pytest.mark.slow
def test_the_readmes_commands_run(tmp_path: Path) -> None:
    (block,) = (block for block in blocks("README.md", "sh") if "compat" in block.text)
    shutil.copytree(ROOT / "example_project" / "ported_chat", tmp_path / "mysite")
    (tmp_path / "manage.py").write_text("import channels.routing, sys; print(sys.argv)")
    serve_it, manage, *port = block.commands
    with serve(*shlex.split(serve_it)[1:], cwd=tmp_path) as (number, _):
        chat(number)
    assert run(manage, tmp_path).stdout == "['manage.py', 'migrate']\n"
    for command in port:
        ended = run(command, tmp_path)
        assert (ended.returncode, "To be changed (--write does it)" in ended.stdout) == (0, True), ended.stderr


def test_what_is_installed_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"""(?:starlette-consumers|\.)\[([\w,]+)\]""", TEXT)
    wanted = {extra for names in named for extra in names.split(",")}
    assert wanted == {"port", "redis", "server", "sessions"} <= extras.keys()


def test_the_oldest_versions_are_those_that_are_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["django"], *extras["redis"], *extras["server"]]
    required.append(f"python{project['requires-python']}")
    table = TEXT.partition("### Older versions that the move lifts")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \|", table, re.MULTILINE)
    assert {f"{name.lower()}>={version}" for name, version in rows} == {one.removesuffix(".0") for one in required}


def test_every_example_is_run_by_a_test() -> None:
    others = [FILES[name] for name in ("serve.py", "mysite/auth.py", "main.py", "routes.py")]
    assert sorted([*INSTALL, *STEPS, *WITH_DJANGO, *others], key=lambda block: block.line) == BLOCKS


@pytest.mark.anyio
async def test_starlettes_routes_take_the_place_of_the_url_router(caplog: pytest.LogCaptureFixture) -> None:
    app = examples.run(FILES["routes.py"].text)["app"]

    async def open_(path: str, origin: str) -> Any:
        client = WebsocketCommunicator(app, path, headers=[(b"origin", origin.encode())])
        connected, _ = await client.connect()
        text = await client.receive_from() if connected else None
        await client.disconnect()
        return text

    assert await open_("/ws/chat/cats/", "https://example.com") == "cats"
    assert await open_("/ws/chat/cats/", "https://elsewhere.com") is None
    assert caplog.messages
    caplog.clear()
    assert await open_("/ws/chat/c-a-t/", "https://example.com") is None
    assert caplog.messages == []


@pytest.mark.parametrize("row", sorted({wanted.row for wanted in WANTED}))
def test_a_difference_that_parity_wants_has_a_row(row: str) -> None:
    table = TEXT.partition("\n## Differences from Channels\n")[2]
    assert table.count(f"\n| {row} | ") == 1


def test_the_table_of_moved_names_is_that_of_compat() -> None:
    updated = runpy.run_path(str(ROOT / "docs/howto/moved_names.py"))["updated"]
    assert updated(TEXT) == TEXT, "run: python docs/howto/moved_names.py"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_a_link_leads_somewhere(target: str) -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {f"#{re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-')}" for heading in headings}
    assert target in anchors or (ROOT / "docs/howto" / target.partition("#")[0]).exists()
