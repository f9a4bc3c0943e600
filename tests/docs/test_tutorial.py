"""docs/tutorial: each step runs, for real clients, and shows what is new in it."""

import asyncio
import difflib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from consumers import InMemoryChannelLayer, channel_layers
from consumers.client import Client
from consumers.layers import _presence
from consumers.server.settings import GRACE
from consumers.testing import WebsocketCommunicator

from ..support import examples
from ..support.examples import offered
from ..support.pages import ROOT, blocks
from ..support.processes import PATIENCE, run_pytest, stopped, workers_of
from ..support.redis_server import running_redis
from ..support.serving import close_of
from ..support.tutorial import SECRET, STEPS, files_after, files_in, page_of, serving_step, write_step

pytestmark = pytest.mark.anyio

LONGEST = 65
"""Lines of a file that a page shows."""


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn and the Redis layers run on asyncio."""
    return "asyncio"


# The pages


@pytest.mark.parametrize("step", STEPS)
def test_a_page_marks_what_is_new_in_a_file_that_the_reader_has(step: str) -> None:
    number = STEPS.index(step)
    before = files_after(STEPS[number - 1]) if number else {}
    for name, block in files_in(step).items():
        lines = block.text.splitlines()
        assert len(lines) <= LONGEST, name
        old = before[name].text.splitlines() if name in before else lines
        changes = difflib.SequenceMatcher(None, old, lines, autojunk=False).get_opcodes()
        new = [line for kind, *_, start, end in changes if kind in ("insert", "replace") for line in range(start, end)]
        assert block.marked == [line + 1 for line in new if lines[line].strip()], name


def test_the_steps_follow_each_other() -> None:
    contents = (ROOT / page_of("index")).read_text(encoding="utf-8")
    places = [contents.index(f"]({step}.md) | ") for step in STEPS]
    assert places == sorted(places)
    for step, following in zip(STEPS, (*STEPS[1:], "../howto/application"), strict=True):
        end = (ROOT / page_of(step)).read_text(encoding="utf-8").partition("## What you have now")[2]
        assert f"]({following}.md)" in end


def test_the_pages_numbers_are_those_of_the_code() -> None:
    presence, deployment, redis = (ROOT / page_of(step) for step in ("presence", "deployment", "redis"))
    options = _presence.PresenceOptions()
    assert options.grace == 5 and "waits five seconds" in presence.read_text(encoding="utf-8")
    assert f"at most {_presence.GATHER * 1000:g} ms later" in presence.read_text(encoding="utf-8")
    assert f"after {GRACE:g} seconds at most" in deployment.read_text(encoding="utf-8")
    assert "5 to 20 seconds" in redis.read_text(encoding="utf-8")  # as a test below sees


def test_the_page_on_deployment_lists_the_files_and_where_each_was_last_shown() -> None:
    text = (ROOT / page_of("deployment")).read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| [^|]+ \| (?:this page|\[[^]]+\]\(([a-z-]+)\.md)", text, re.MULTILINE)
    last = {name: [step for step in STEPS if name in files_in(step)][-1] for name in files_after("deployment")}
    programs = {name: step for name, step in last.items() if step != "tests" and name != "bob.py"}
    assert {name: step or "deployment" for name, step in rows} == programs


# The first steps, in this process


def application(step: str) -> Any:
    return examples.run(files_after(step)["chat.py"].text)["app"]


async def test_the_echo_repeats_what_it_hears() -> None:
    client = await examples.connect(application("echo"), "/chat")
    await client.send_to(text_data="hello")
    assert await client.receive_from() == "hello"
    await client.disconnect()


async def test_a_room_hears_what_is_said_in_it_and_no_other(no_layer: None) -> None:
    app = application("rooms")
    ann, bob, eve = [await examples.connect(app, f"/chat/{room}") for room in ("cats", "cats", "dogs")]
    await ann.send_json_to({"text": "hello"})
    for client in (ann, bob):
        assert await client.receive_json_from() == {"type": "said", "text": "hello"}
    assert await eve.receive_nothing()
    assert (await WebsocketCommunicator(app, "/chat/Cats!").connect())[0] is False
    for client in (ann, bob, eve):
        await client.disconnect()


@pytest.mark.parametrize(("text", "code", "error"), [("hello", 1007, None), ("{}", 1011, KeyError)])
async def test_a_message_that_is_no_use_closes_its_connection(
    no_layer: None, text: str, code: int, error: type[Exception] | None
) -> None:
    client = await examples.connect(application("rooms"), "/chat/cats")
    await client.send_to(text_data=text)
    assert (await client.receive_output())["code"] == code
    with pytest.raises(error) if error else nullcontext():
        await client.wait()


async def test_a_room_shows_who_comes_and_who_has_left(no_layer: None) -> None:
    app = application("presence")
    channel_layers.set("default", InMemoryChannelLayer(presence={"grace": 0}))
    ann = await examples.connect(app, "/chat/cats?user=ann")
    assert (await next_of(ann, "people"))["names"] == ["ann"]
    bob = await examples.connect(app, "/chat/cats?user=bob")
    assert (await next_of(bob, "people"))["names"] == ["ann", "bob"]
    came: set[str] = set()
    while "bob" not in came:
        came.update((await next_of(ann, "moved"))["came"])
    await bob.send_json_to({"text": "hello"})
    said = await next_of(ann, "said")
    assert (said["user"], said["text"]) == ("bob", "hello")
    await bob.disconnect()
    assert (await next_of(ann, "moved"))["left"] == ["bob"]
    assert not (await WebsocketCommunicator(app, "/chat/cats").connect())[0]
    await ann.disconnect()


async def next_of(client: WebsocketCommunicator, kind: str) -> Any:
    while (message := await client.receive_json_from())["type"] != kind:
        pass
    return message


# The others, served as the page says


class Site:
    """The application of a step, served by a process.

    Args:
        folder: the reader's.
        port: where it listens.
        process: the first process.
    """

    def __init__(self, folder: Path, port: int, process: "subprocess.Popen[str]") -> None:
        self.folder, self.port, self.process = folder, port, process

    def address(self, path: str = "/chat/cats") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    async def sign_in(self, user: str, password: str = "") -> str:
        credentials = {"name": user, "password": password or f"secret of {user}"}
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.post(f"http://127.0.0.1:{self.port}/sign-in", json=credentials)
        return str(answer.json().get("token", answer.status_code))

    async def connect(self, token: str) -> ClientConnection:
        return await connect(self.address(), subprotocols=offered(token), open_timeout=PATIENCE, proxy=None)

    async def refused(self, token: str) -> int:
        """Return the status with which a handshake is answered that is not accepted."""
        with pytest.raises(InvalidStatus) as caught:
            await self.connect(token)
        return caught.value.response.status_code

    @asynccontextmanager
    async def entered(self, token: str, **options: Any) -> AsyncIterator["Visitor"]:
        """Be in the room of cats as the user of a token, until the end of the block."""
        async with Client(self.address(), token=token, **options) as client:
            yield Visitor(client)


class Visitor:
    """A real client in a room.

    Args:
        client: the library's.
    """

    def __init__(self, client: "Client[dict[str, Any]]") -> None:
        self.client = client
        self._messages = aiter(client)

    async def next(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type."""
        async with asyncio.timeout(PATIENCE):
            while (message := await anext(self._messages))["type"] != kind:
                pass
        return message

    async def say(self, *texts: str) -> None:
        for text in texts:
            await self.client.request({"type": "say", "text": text}, timeout=PATIENCE)

    async def hear(self, count: int) -> list[str]:
        return [(await self.next("said"))["text"] for _ in range(count)]


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The step that the test is about, run by the page's command."""
    step, has_redis = request.param
    with running_redis() if has_redis else nullcontext() as redis:
        with serving_step(step, tmp_path, redis.url if redis else "") as (port, process):
            yield Site(tmp_path, port, process)


def served(step: str, with_redis: bool = False) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", [(step, with_redis)], indirect=True, ids=[step])


@served("sign-in")
async def test_a_token_opens_the_chat(site: Site) -> None:
    assert await site.sign_in("ann", "secret of bob") == "401"
    assert await site.refused("") == 401
    forged = jwt.encode({"sub": "ann"}, "another secret of 32 bytes or more", "HS256")
    assert await site.refused(forged) == 401
    async with site.entered(await site.sign_in("ann")) as ann:
        assert (await ann.next("people"))["names"] == ["ann"]
        await ann.client.send({"type": "any", "text": "hello"})
        assert await ann.next("said") == {"type": "said", "user": "ann", "text": "hello"}


@served("typed")
async def test_a_message_is_checked_and_answered(site: Site) -> None:
    answers: dict[int, Any] = {}
    async with await site.connect(await site.sign_in("ann")) as socket:
        for id, message in enumerate(({"type": "say", "text": "hello"}, {"type": "say", "text": ""}, {"type": "sing"})):
            await socket.send(json.dumps({**message, "id": id}))
        while len(answers) < 3:
            answer = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
            if "to" in answer:
                answers[answer["to"]] = answer
        assert [answers[id].get("code", answers[id]["type"]) for id in range(3)] == ["ack", "invalid", "unknown_type"]
        for _ in range(10):
            await socket.send("{}")
        assert (await close_of(socket))[0] == 1008


@pytest.mark.slow
@served("recovery")
async def test_the_program_that_comes_and_goes_misses_nothing(site: Site) -> None:
    program = site.folder / "bob.py"
    text = program.read_text(encoding="utf-8").replace("ws://127.0.0.1:8000/chat/cats", site.address())
    program.write_text(text.replace("SECONDS = 10", "SECONDS = 1"), encoding="utf-8")
    bob = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "bob.py"),
        cwd=site.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SECRET": SECRET},
        stdout=subprocess.PIPE,
    )
    assert bob.stdout is not None
    lines: list[str] = []

    async def until(line: str) -> None:
        assert bob.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while not lines or lines[-1] != line:
                lines.append((await bob.stdout.readline()).decode().strip())
                assert lines[-1]

    try:
        async with site.entered(await site.sign_in("ann")) as ann:
            await until("Bob listens")
            await ann.say("one")
            await until("ann: one")
            for number in range(3):
                await until("Bob is away")
                await ann.say(f"missed {number}")
                await until(f"ann: missed {number}")
    finally:
        bob.kill()
        await bob.wait()
    heard = [line for line in lines if line.startswith("ann: ")]
    assert heard == ["ann: one", "ann: missed 0", "ann: missed 1", "ann: missed 2"]


def lives(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
@served("redis", with_redis=True)
async def test_on_two_workers_nobody_misses_a_message_while_both_are_replaced(site: Site) -> None:
    one, other = workers_of(site.process.pid)
    tokens = [await site.sign_in(user) for user in ("bob", "ann")]
    async with asyncio.timeout(3 * PATIENCE), AsyncExitStack() as stack:
        with stopped(one):
            bob = await stack.enter_async_context(site.entered(tokens[0]))
            await bob.next("people")
        with stopped(other):
            ann = await stack.enter_async_context(site.entered(tokens[1]))
            assert (await ann.next("people"))["names"] == ["ann", "bob"]
        await ann.say("hello")
        assert await bob.hear(1) == ["hello"]
        site.process.send_signal(signal.SIGHUP)
        texts: list[str] = []
        while lives(one) or lives(other):
            texts.append(str(len(texts)))
            await ann.say(texts[-1])
            await asyncio.sleep(0.05)  # so that people talk all the time, and not more than a room keeps
        assert await bob.hear(len(texts)) == texts
        await bob.client.close()
        await ann.say("while bob is away")
        back = await stack.enter_async_context(site.entered(tokens[0], since=bob.client.positions))
        assert await back.hear(1) == ["while bob is away"]


@pytest.mark.slow
def test_the_readers_tests_pass(tmp_path: Path) -> None:
    ended = run_pytest("-q", "-p", "anyio", "-W", "error", cwd=write_step("tests", tmp_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "6 passed" in ended.stdout


def test_the_lines_for_a_health_check_answer_it() -> None:
    [lines] = blocks(page_of("deployment"), "py")
    app = FastAPI()
    exec(lines.text, {"app": app})
    with TestClient(app) as client:
        assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.slow
@served("deployment", with_redis=True)
async def test_in_production_a_client_is_held_to_its_limits_and_asked_to_come_back(site: Site) -> None:
    async with site.entered(await site.sign_in("ann")) as ann:
        requests = [ann.client.request({"type": "say", "text": str(number)}) for number in range(40)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert 25 <= answers.count(None) < 40
        assert {getattr(answer, "code", "ack") for answer in answers} == {"ack", "rate_limited"}
    token = await site.sign_in("ann")
    async with await site.connect(token) as socket:
        await socket.send("x" * 10_001)
        assert (await close_of(socket))[0] == 1009
    async with await site.connect(token) as socket:
        site.process.send_signal(signal.SIGTERM)
        assert await close_of(socket) == (1012, "retry=5-20")
    assert await asyncio.to_thread(site.process.wait, PATIENCE) in (0, -signal.SIGTERM)
