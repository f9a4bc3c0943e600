"""Real ASGI servers, each in a process of its own: what a client sees, and what the application is told."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ..support.pages import ROOT
from ..support.slow import left_to_ci

PATIENCE = 20  # seconds until a test gives up
CODES = [1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4000]
APP = "tests.support.server_app:app"

HANDSHAKE = (
    b"GET /member?reset HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Kind(NamedTuple):
    """A server, and in what it is unlike the others.

    Args:
        command: how it is started; `{port}` stands for the port.
        denies: whether it answers a handshake with the application's own response.
        reports_codes: whether it tells the application the client's close code.
        sends_reasons: whether it sends the reasons of closes.
        takes: which standard codes it sends; the others become private ones.
        ends_by_itself: whether at SIGTERM it closes its sockets and lets `disconnect()` run.
        runs_lifespan: whether the application's lifespan begins when the server starts.
        python: the environment variable that names the Python it is installed for, if that is another one.
    """

    command: str
    denies: bool = True
    reports_codes: bool = True
    sends_reasons: bool = True
    takes: Callable[[int], bool] = lambda code: True
    ends_by_itself: bool = True
    runs_lifespan: bool = True
    python: str = ""


KINDS = {
    "uvicorn, websockets": Kind(f"uvicorn --ws websockets --port {{port}} {APP}"),
    "uvicorn, websockets-sansio": Kind(f"uvicorn --ws websockets-sansio --port {{port}} {APP}"),
    "uvicorn, consumers.server": Kind(f"uvicorn --ws consumers.server:WebSocketProtocol --port {{port}} {APP}"),
    "uvicorn, wsproto": Kind(f"uvicorn --ws wsproto --port {{port}} {APP}"),
    "hypercorn, asyncio": Kind(
        f"hypercorn -k asyncio --graceful-timeout 1 --bind 127.0.0.1:{{port}} {APP}",
        reports_codes=False,
        ends_by_itself=sys.version_info < (3, 12),  # from then on asyncio's servers wait for their connections to end
    ),
    "hypercorn, trio": Kind(
        f"hypercorn -k trio --graceful-timeout 1 --bind 127.0.0.1:{{port}} {APP}", reports_codes=False
    ),
    "daphne": Kind(
        f"daphne -b 127.0.0.1 -p {{port}} {APP}",
        denies=False,
        sends_reasons=False,
        takes=lambda code: code == 1000 or code >= 3000,
        ends_by_itself=False,
        runs_lifespan=False,
        python="DAPHNE_PYTHON",  # compat tells whether Daphne is installed
    ),
    "granian": Kind(f"granian --interface asgi --host 127.0.0.1 --port {{port}} {APP}", ends_by_itself=False),
}


class Served:
    """A server that runs; `name` of a connection is in the URL's query, and in the log."""

    def __init__(self, kind: Kind, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.kind, self.port, self.process = kind, port, process

    def connect(self, path: str, name: str, **options: Any) -> ClientConnection:
        client: ClientConnection = connect(f"ws://127.0.0.1:{self.port}/{path}?{name}", **options)
        return client

    def log(self, name: str) -> list[Any]:
        """Return what the application has written for this connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/log")
        entries = json.loads(connection.getresponse().read())
        connection.close()
        return [entry for logged, entry in entries if logged == name]

    def wait_for_log(self, name: str, *expected: Any) -> None:
        """Look until the application has written this, nothing less and nothing more."""
        eventually(lambda: len(self.log(name)) >= len(expected))
        assert self.log(name) == list(expected)


def eventually(condition: Callable[[], bool]) -> None:
    """Look again and again: what is looked for happens in another process."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def start(kind: Kind) -> Iterator[Served]:
    if kind.python and kind.python not in os.environ:
        pytest.skip(f"{kind.python} names no Python with this server: `make test` does")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    python = os.environ.get(kind.python, sys.executable)
    command = [python, "-W", "ignore", "-m", *kind.command.format(port=port).split()]
    with (
        tempfile.TemporaryFile() as output,
        # A session of its own, to kill its workers with it.
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            eventually(lambda: answers(port) or process.poll() is not None)
            yield Served(kind, port, process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output.seek(0)
            print(output.read().decode())  # shown if a test fails


RUN_HERE = ("uvicorn, websockets-sansio", "hypercorn, asyncio", "hypercorn, trio")
"""One on each event loop, and what depends on the version of Python; the others are left to CI."""


def all_of(names: list[str]) -> list[Any]:
    """Return the servers' names as parameters."""
    return [name if name in RUN_HERE else left_to_ci(name)[0] for name in names]


@pytest.fixture(scope="module", params=all_of([*KINDS]))
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from start(KINDS[request.param])


def closed(client: ClientConnection) -> tuple[int, str]:
    """Wait for the close frame; return its code and reason."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def expected(kind: Kind, code: int, reason: str) -> tuple[int, str]:
    """Return what a client of this server sees of a close."""
    return code if kind.takes(code) else code + 3000, reason if kind.sends_reasons else ""


def test_text_binary_subprotocol_and_the_clients_code(served: Served) -> None:
    with served.connect("member", "echo", subprotocols=["chat"]) as client:
        assert client.subprotocol == "chat"
        for data in ("hällo", b"\x00\xff"):
            client.send(data)
            assert client.recv(PATIENCE) == data
        client.close(4123, "bye")
    served.wait_for_log("echo", 4123 if served.kind.reports_codes else 1006, "ended")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["member", "endpoint"])
@pytest.mark.parametrize("code", CODES)
def test_the_applications_close_code_reaches_the_client_and_disconnect(served: Served, code: int, path: str) -> None:
    name = f"{path}-{code}"
    with served.connect(path, name) as client:
        client.send(f"close {code}")
        assert closed(client) == expected(served.kind, code, "because")
    served.wait_for_log(name, code, "ended")


def test_a_group_reaches_its_members_and_close_group_closes_them(served: Served) -> None:
    with served.connect("member", "one") as one, served.connect("member", "two") as two:
        one.send("group hello")
        assert [client.recv(PATIENCE) for client in (one, two)] == ["hello", "hello"]
        one.send("close_group")
        assert [closed(client) for client in (one, two)] == [expected(served.kind, 1008, "all")] * 2
    for name in ("one", "two"):
        served.wait_for_log(name, 1008, "ended")


def test_an_error_closes_with_1011(served: Served) -> None:
    with served.connect("member", "error") as client:
        client.send("raise")
        assert closed(client) == expected(served.kind, 1011, "internal error")
    served.wait_for_log("error", 1011, "ended")


@pytest.mark.parametrize("path", ["rejecting", "rejecting_endpoint"])
def test_a_rejection_is_403_and_waits_for_nothing(served: Served, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidStatus) as refused:
        served.connect(path, path)
    assert refused.value.response.status_code == 403
    served.wait_for_log(path, 4003, "ended")
    assert time.monotonic() - began < 5  # `disconnect_timeout` is 10


def test_a_denial_is_the_applications_response_where_the_server_can(served: Served) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidStatus) as refused:
        served.connect("denying", "denying")
    response = refused.value.response
    assert response.status_code == (401 if served.kind.denies else 403)
    if served.kind.denies:
        assert (bytes(response.body or b""), response.headers["x-reason"]) == (b"who are you?", "none")
    eventually(lambda: "ended" in served.log("denying"))
    assert time.monotonic() - began < 5


def test_a_connection_that_is_reset_disconnects(served: Served) -> None:
    client = socket.create_connection(("127.0.0.1", served.port))
    client.sendall(HANDSHAKE)
    assert client.recv(1000).startswith(b"HTTP/1.1 101")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() sends a reset
    client.close()
    eventually(lambda: len(served.log("reset")) == 2)
    assert served.log("reset")[0] in (1005, 1006)  # servers differ in what they call it


@pytest.mark.parametrize("name", all_of([name for name, kind in KINDS.items() if kind.ends_by_itself]))
def test_sigterm_closes_the_sockets_with_1012(name: str) -> None:
    for served in start(KINDS[name]):
        with served.connect("member", "member") as member, served.connect("endpoint", "endpoint") as endpoint:
            for client in (member, endpoint):
                client.send("here")
                assert client.recv(PATIENCE) == "here"
            served.process.terminate()
            assert [closed(client)[0] for client in (member, endpoint)] == [1012, 1012]
        served.process.wait(PATIENCE)


def test_the_lifespan_has_begun_where_the_server_runs_it(served: Served) -> None:
    assert served.log("lifespan") == (["began"] if served.kind.runs_lifespan else [])


def test_the_table_in_the_docs_says_what_is_tested_here() -> None:
    text = (ROOT / "docs/reference/servers.md").read_text(encoding="utf-8")
    table = text.partition("## What each server can")[2].partition("\n\n- ")[0]
    header, _, *rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines() if "|" in row]
    facts: list[Callable[[Kind], bool]] = [
        lambda kind: kind.denies,
        lambda kind: kind.reports_codes,
        lambda kind: kind.takes(1008),
        lambda kind: kind.sends_reasons,
        lambda kind: kind.ends_by_itself,
        lambda kind: kind.runs_lifespan,
    ]
    for (_, *cells), fact in zip(rows, facts, strict=False):
        for server, cell in zip(header[1:], cells, strict=True):
            kinds = [kind for name, kind in KINDS.items() if name.partition(",")[0] == server]
            said = {"yes": {True}, "no": {False}, "on trio": {True, KINDS["hypercorn, asyncio"].ends_by_itself}}
            assert {fact(kind) for kind in kinds} == said[cell], (server, cells)
    assert len(rows) == len(facts) + 1


MIB = 1024 * 1024


def memory(process: "subprocess.Popen[bytes]") -> float:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def growth(path: str, size: int, frames: int) -> float:
    """Return by how many MiB a server grows that gets frames of zeros, compressed, for a handler that is blocked."""
    [grown] = (_growth(served, path, size, frames) for served in start(KINDS["uvicorn, websockets-sansio"]))
    return grown


def _growth(served: Served, path: str, size: int, frames: int) -> float:
    with served.connect(path, path, close_timeout=0) as client:
        before = memory(served.process)

        def send() -> None:
            with suppress(ConnectionClosed):
                for _ in range(frames):
                    client.send(bytes(size))

        sender = threading.Thread(target=send)
        sender.start()
        seen = [before]
        while len(seen) < 20 or seen[-1] != seen[-20]:
            time.sleep(0.05)
            seen.append(memory(served.process))
        served.process.kill()
        sender.join()
    return seen[-1] - before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux' /proc")
@pytest.mark.slow
@pytest.mark.parametrize("path", ["blocked", "blocked_endpoint"])
def test_a_client_whose_handler_is_blocked_takes_little_memory(path: str) -> None:
    assert growth(path, MIB, 99) < 64
    assert growth(path, 16 * MIB, 12) < growth("plain", 16 * MIB, 12) + 64
