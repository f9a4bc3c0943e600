"""docs/howto/application.md: its pieces are the files of an application that works, for real clients too."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from ..support.application import APPLICATION, PAGE, SECRET, copy_of_the_application, serving_the_application
from ..support.examples import offered
from ..support.pages import ROOT
from ..support.processes import PATIENCE, run_pytest, run_python, stopped, workers_of
from ..support.redis_server import running_redis
from ..support.serving import close_of

TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def pieces() -> dict[str, list[str]]:
    """Return the lines that the page shows of each file, without the empty ones."""
    shown: dict[str, list[str]] = {}
    for part in re.split(r"^#+ ", TEXT, flags=re.MULTILINE):
        heading = part.partition("\n")[0]
        code = re.findall(r"^```(?:python|html|js)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        if code:
            [file] = re.findall(r"`([\w/]+\.(?:py|html|js))`", heading)
            shown.setdefault(file, []).extend(line for line in "".join(code).splitlines() if line)
    return shown


def test_the_pieces_are_all_of_the_files() -> None:
    files = {
        str(file.relative_to(APPLICATION)): [line for line in file.read_text(encoding="utf-8").splitlines() if line]
        for file in APPLICATION.rglob("*.*")
        if file.suffix in (".py", ".html", ".js") and file.name != "__init__.py"
    }
    assert pieces() == files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of_the_application(tmp_path)


@pytest.mark.slow
def test_the_readers_tests_pass(folder: Path) -> None:
    ended = run_pytest("-q", "-p", "anyio", "-W", "error", cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "skipped" not in ended.stdout


@dataclass
class Site:
    """The application on two workers.

    Attributes:
        folder: where it is started.
        port: where it listens.
        workers: the ids of its processes.
    """

    folder: Path
    port: int
    workers: list[int]

    async def post(self, path: str, token: str = "", **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        server = f"http://127.0.0.1:{self.port}"
        async with httpx.AsyncClient(base_url=server, headers=headers, timeout=PATIENCE) as client:
            return await client.post(path, json=content)

    async def log_in(self, user: str) -> str:
        answer = await self.post("/login", name=user, password=f"secret of {user}")
        return str(answer.json()["token"])

    async def enter(self, token: str, since: str = "", worker: int | None = None) -> "Visitor":
        """Enter the room of cats; if a worker is named, by that one."""
        address = f"ws://127.0.0.1:{self.port}/rooms/cats" + (f"?since=room:{since}" if since else "")
        with stopped(self.workers[1 - worker]) if worker is not None else nullcontext():
            visitor = Visitor(await connect(address, subprotocols=offered(token), open_timeout=PATIENCE))
            visitor.people = (await visitor.next("people"))["names"]
        return visitor

    async def refused(self, token: str) -> int:
        with pytest.raises(InvalidStatus) as caught:
            await self.enter(token)
        return caught.value.response.status_code


@dataclass
class Visitor:
    """A real client in a room.

    Attributes:
        socket: the connection.
        people: who was there when it entered.
        heard: the messages that have come, of whichever type.
    """

    socket: ClientConnection
    people: list[str] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)

    async def say(self, *texts: str) -> None:
        for text in texts:
            await self.socket.send(json.dumps({"type": "say", "text": text}))

    async def next(self, kind: str) -> Any:
        """Return the next message of a type."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.heard.append(json.loads(await self.socket.recv()))
                if self.heard[-1]["type"] == kind:
                    return self.heard[-1]

    async def hear(self, count: int) -> list[tuple[str, str]]:
        return [(said["user"], said["text"]) for said in [await self.next("said") for _ in range(count)]]


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with running_redis() as redis, serving_the_application(folder, redis.url) as (port, pid):
        yield Site(folder, port, workers_of(pid))


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn and the Redis layers run on asyncio."""
    return "asyncio"


@pytest.mark.slow
@pytest.mark.anyio
async def test_on_two_workers_members_talk_miss_nothing_see_each_other_and_are_logged_out(site: Site) -> None:
    ann_token, bob_token, eve_token = [await site.log_in(user) for user in ("ann", "bob", "eve")]
    assert (await site.post("/login", name="ann", password="secret of bob")).status_code == 401
    assert await site.refused(eve_token) == 403
    assert await site.refused("nonsense") == 401
    claims = jwt.decode(ann_token, SECRET, ["HS256"])
    claims["exp"] = datetime.now(UTC) - timedelta(seconds=1)
    assert await site.refused(jwt.encode(claims, SECRET, "HS256")) == 401

    ann = await site.enter(ann_token, worker=0)
    bob = await site.enter(bob_token, worker=1)
    assert bob.people == ["ann", "bob"]
    while "bob" not in (await ann.next("moved"))["came"]:
        pass

    await ann.say("hello")
    assert await ann.hear(1) == [("ann", "hello")]
    hello = await bob.next("said")
    await bob.socket.close()
    await ann.say("one", "two")
    assert await ann.hear(2) == [("ann", "one"), ("ann", "two")]
    bob = await site.enter(bob_token, since=hello["at"][1], worker=1)
    assert bob.heard[0]["type"] == "joined" and bob.heard[0]["recovered"]
    assert await bob.hear(2) == [("ann", "one"), ("ann", "two")]
    await bob.say("back")
    assert await ann.hear(1) == await bob.hear(1) == [("bob", "back")]

    notified = run_python("-m", "rooms.notify", "ann", "Your report is ready", cwd=site.folder)
    assert notified.returncode == 0, notified.stderr
    assert (await ann.next("notice"))["text"] == "Your report is ready"

    tab = await site.enter(ann_token)
    assert (await site.post("/logout", token=ann_token)).status_code == 204
    for visitor in (ann, tab):
        assert await close_of(visitor.socket) == (4403, "You have logged out")
    assert await site.refused(ann_token) == 401
    await bob.socket.close()
