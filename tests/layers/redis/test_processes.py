"""Several real processes and one real Redis."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ...support.pages import ROOT
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
        assert len(server.connections()) == 4  # two per process
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


def workers_of(pid: int) -> list[int]:
    """Return the two processes of uvicorn's that this one has started."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True)
        workers = [int(line) for line in found.stdout.split()]
        if len(workers) == 2:
            return workers
        assert time.monotonic() < deadline
        time.sleep(0.02)


def join(stack: contextlib.ExitStack, port: int, name: str) -> ClientConnection:
    """Enter the chat, as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/ws/chat/lobby"))
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    client.send(json.dumps({"type": "join", "name": name}))
    for _ in range(2):  # who one is, and that one is there
        client.recv(timeout=PATIENCE)
    return client


def test_the_example_chats_across_two_processes_and_has_everyone_come_back_after_a_gap(server: RedisServer) -> None:
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
        with contextlib.ExitStack() as stack:
            clients = []
            for pid in workers_of(process.pid):
                os.kill(pid, signal.SIGSTOP)  # the other one serves who comes now
                clients.append(join(stack, port, f"Guest {pid}"))
                os.kill(pid, signal.SIGCONT)
            redis = stack.enter_context(server.client())
            assert redis.pubsub_numsub("example__group__chat.lobby") == [("example__group__chat.lobby", 2)]
            clients[0].send(json.dumps({"type": "say", "text": "hello"}))
            for client in clients:
                while (event := json.loads(client.recv(timeout=PATIENCE)))["type"] != "message":
                    pass
                assert event["text"] == "hello"
            redis.client_kill_filter(_type="pubsub")
            for client in clients:
                with pytest.raises(ConnectionClosed) as closing:
                    while True:
                        client.recv(timeout=PATIENCE)
                assert closing.value.rcvd is not None
                assert closing.value.rcvd.code == 1013
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.communicate()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"WORKERS": "2", "REDIS_URL": ""}, "WORKERS=2 needs Redis"),
        ({"WORKERS": "two"}, "WORKERS must be a number from 1 to 64, not 'two'."),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "REDIS_URL: No connection to Redis at 127.0.0.1:1"),
        ({"REDIS_URL": "http://localhost"}, "REDIS_URL: "),
    ],
)
def test_the_example_says_what_is_wrong_with_a_setting(settings: dict[str, str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "example_project"],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(message)
