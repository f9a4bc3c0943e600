"""The examples of docs/howto/send.md: a server, and other processes that send to its clients.

Django's part runs in docs/howto/check_with_django.py. Celery is no requirement of the tests: a stand-in for its
decorator leaves the task the plain function that a worker calls.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from consumers import InMemoryChannelLayer, InvalidChannelLayerError, channel_layers
from consumers.layers import group_send_sync

from ..support.pages import ROOT, blocks
from ..support.processes import PATIENCE, run_python, serve
from ..support.redis_server import RedisServer, running_redis

PAGE = "docs/howto/send.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
CELERY = "def shared_task(function):\n    return function\n"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files of the page; processes that start there use the Redis."""
    for block in blocks(PAGE, "python"):
        if block.file and "django" not in block.text:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    (tmp_path / "celery.py").write_text(CELERY, encoding="utf-8")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return tmp_path


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    with serve("-m", "uvicorn", "mysite.main:app", "--ws", "websockets-sansio", cwd=folder) as (port, _):
        yield port


@pytest.fixture
def ann(port: int) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{port}/news/ann", proxy=None) as client:
        yield client


def heard(client: ClientConnection) -> dict[str, str]:
    told: dict[str, str] = json.loads(client.recv(timeout=PATIENCE))
    return told


@pytest.mark.slow
def test_both_kinds_of_endpoints_reach_the_clients(port: int, ann: ClientConnection) -> None:
    for path in ("/headlines", "/headlines/from-a-thread"):
        assert httpx.post(f"http://127.0.0.1:{port}{path}", json=path, trust_env=False).status_code == 200
        assert heard(ann) == {"text": path}


@pytest.mark.slow
def test_a_task_reaches_its_users_clients_alone(folder: Path, port: int, ann: ClientConnection) -> None:
    code = "from mysite.tasks import make_report; make_report('bob'); make_report('ann')"
    done = run_python(code, cwd=folder, path=ROOT)
    assert done.returncode == 0, done.stderr
    assert heard(ann) == {"url": "/reports/ann.pdf"}


@pytest.mark.slow
@pytest.mark.parametrize("script", ["announce.py", "announce_all.py"])
def test_a_script_reaches_the_clients_and_ends_without_a_word(folder: Path, ann: ClientConnection, script: str) -> None:
    done = run_python(script, "hello", cwd=folder, path=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert heard(ann) == {"text": "hello"}


def said(part: str) -> str:
    [found] = re.findall(rf"^\| `({part}.*?)` \|", TEXT, re.MULTILINE)
    return str(found).partition(": ")[2]


@pytest.mark.anyio
async def test_on_an_event_loop_the_error_is_the_one_of_the_page(no_layer: None) -> None:
    channel_layers.set("default", InMemoryChannelLayer())
    with pytest.raises(RuntimeError, match=re.escape(said("RuntimeError"))):
        group_send_sync("news", {"type": "headline"})


def test_without_a_layer_the_error_is_the_one_of_the_page(no_layer: None) -> None:
    with pytest.raises(InvalidChannelLayerError, match=re.escape(said("InvalidChannelLayerError"))):
        group_send_sync("news", {"type": "headline"})
