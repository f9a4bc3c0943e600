"""Several real processes and one real Redis."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from example_project.__main__ import main
from example_project.consumers import answer

from ...support.pages import ROOT
from ...support.processes import stopped, wait_for, workers_of
from ...support.redis_layers import LAYERS
from ...support.redis_server import RedisServer, free_port, running_redis
from ...support.slow import left_to_ci

PATIENCE = 20  # seconds


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pubsub", "queue"])
def test_two_processes_with_two_thousand_consumers_lose_and_reorder_nothing(kind: str, server: RedisServer) -> None:
    command = [sys.executable, "-m", "tests.support.crowd", kind, server.url]
    processes = [
        subprocess.Popen([*command, sender], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for sender in ("one", "other")
    ]
    try:
        outputs = []
        for process in processes:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            print("go", file=process.stdin, flush=True)
        for process in processes:
            assert process.stdout is not None
            outputs.append(json.loads(process.stdout.readline()))
        assert len(server.connections()) == 6  # three per process
        for process in processes:
            process.communicate("stop\n", timeout=PATIENCE)
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for output in outputs:
        assert (output["wrong"], output["dropped"]) == (0, 0)
        assert output["passed"] >= 50
    with server.client() as client:
        assert client.keys() == []
    assert server.connections() == []


@contextlib.contextmanager
def processes_with_members(kind: str, url: str) -> Iterator[list[int]]:
    """Run two servers with `tests.support.members`; their ports."""
    command = [sys.executable, "-m", "tests.support.members", kind, url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    try:
        ports = []
        for process in processes:
            assert process.stdout is not None
            ports.append(int(process.stdout.readline()))
        yield ports
        for process in processes:
            process.communicate("stop\n", timeout=PATIENCE)
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
def test_a_script_closes_the_sockets_that_two_servers_have(kind: str, server: RedisServer) -> None:
    with processes_with_members(kind, server.url) as ports, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(f"ws://127.0.0.1:{port}/")) for port in ports for _ in range(3)]
        for client in clients:
            assert client.recv(timeout=PATIENCE) == "in"
        layer = LAYERS[kind](hosts=[server.url], capacity=1)
        for client in clients[::2]:
            client.send("hang")
            assert client.recv(timeout=PATIENCE) == "hanging"
        for _ in range(20):  # more than the hanging ones, or a queue, have room for
            layer.group_send_sync("user.7", {"type": "note"})
        layer.close_group_sync("user.7", 4001, "you were logged out")
        for client in clients:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=PATIENCE)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "you were logged out")
        later = stack.enter_context(connect(f"ws://127.0.0.1:{ports[0]}/"))
        assert later.recv(timeout=PATIENCE) == "in"
        later.send("still here")
        assert later.recv(timeout=PATIENCE) == "hanging"


def join(stack: contextlib.ExitStack, port: int, name: str) -> ClientConnection:
    """Enter the chat, as soon as somebody listens."""
    wait_for(port)
    client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/ws/chat/lobby?{urlencode({'name': name})}"))
    while json.loads(client.recv(timeout=PATIENCE))["type"] != "here":
        pass
    return client


@contextlib.contextmanager
def example_by_two_processes(server: RedisServer) -> Iterator[tuple[int, list[int]]]:
    """Serve the example; its port, and the processes."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "example_project"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": server.url, "WORKERS": "2", "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Serving on http://127.0.0.1:{port} by 2 processes (Ctrl-C ends it)\n"
        yield port, workers_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.communicate()


def say(client: ClientConnection, *texts: str) -> None:
    for text in texts:
        client.send(json.dumps({"type": "say", "text": text}))


def hear(client: ClientConnection, last: str) -> list[str]:
    """Return what is said, and "a gap" for each, until this text comes."""
    heard: list[str] = []
    while last not in heard:
        event = json.loads(client.recv(timeout=PATIENCE))
        if event["type"] in ("said", "gap"):
            heard.append(event.get("text", "a gap"))
    return heard


@pytest.mark.slow
def test_the_example_chats_across_two_processes_and_misses_nothing_or_says_so(server: RedisServer) -> None:
    with example_by_two_processes(server) as (port, workers), contextlib.ExitStack() as stack:
        clients = []
        for pid in workers:
            with stopped(pid):
                clients.append(join(stack, port, f"Guest {pid}"))
        redis = stack.enter_context(server.client())
        assert redis.pubsub_numsub("example__group__chat.lobby") == [("example__group__chat.lobby", 2)]
        say(clients[0], "hello")
        assert [hear(client, "hello") for client in clients] == [["hello"]] * 2

        others = [str(number) for number in range(20)]
        for number in others:
            redis.client_kill_filter(_type="pubsub")
            say(clients[0], number)
        assert [hear(client, "19") for client in clients] == [others] * 2

        redis.flushall()
        say(clients[1], "new")
        assert [hear(client, "new") for client in clients] == [["a gap", "new"]] * 2


@pytest.mark.slow
def test_an_answer_that_one_process_of_the_example_writes_is_read_from_the_other(server: RedisServer) -> None:
    with example_by_two_processes(server) as (port, (writer, other)):
        with stopped(other):
            wait_for(port)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/answers", b"Why?", method="POST")
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                asked = json.load(response)
        words, since = "", asked["since"]
        for process in (writer, other, writer):  # those that do not serve the reader
            with stopped(process):
                reader = connect(f"ws://127.0.0.1:{port}/ws/answers/{asked['id']}?since=answer:{since}")
            with reader:
                assert json.loads(reader.recv(timeout=PATIENCE))["recovered"]
                for _ in range(10):
                    event = json.loads(reader.recv(timeout=PATIENCE))
                    words, since = words + event["text"], event["at"][1]
        assert answer.ANSWER.format("Why?").startswith(words)
        assert len(words.split()) == 30


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"WORKERS": "2", "REDIS_URL": ""}, "WORKERS=2 needs Redis"),
        ({"WORKERS": "two"}, "WORKERS must be a number from 1 to 64, not 'two'."),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "REDIS_URL: No connection to Redis at 127.0.0.1:1"),
        ({"REDIS_URL": "http://localhost"}, "REDIS_URL: "),
    ],
)
def test_the_example_says_what_is_wrong_with_a_setting(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main() == 1
    assert capsys.readouterr().err.startswith(message)
