"""docs/howto/proxies.md: nginx and Caddy in front of two processes; containers' files are parsed and compared.

There is no Docker and no Kubernetes where tests run. So their files are only read: their names, ports, commands and
times have to fit the application and each other.
"""

import argparse
import json
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from consumers.server import GunicornWorker
from consumers.server.command import add_options
from consumers.server.settings import SETTINGS

from ..support.examples import run
from ..support.pages import ROOT, blocks
from ..support.processes import PATIENCE, serve
from ..support.redis_server import RedisServer, free_port, running_redis
from ..support.web_proxies import running_caddy, running_nginx

PAGE = "docs/howto/proxies.md"
[CHAT] = blocks(PAGE, "python")
[NGINX], [CADDY], [DOCKERFILE] = (blocks(PAGE, language) for language in ("nginx", "caddy", "dockerfile"))
LABELS, COMPOSE, KUBERNETES = (list(yaml.safe_load_all(block.text)) for block in blocks(PAGE, "yaml"))

Proxy = Callable[[str, list[int], Path], AbstractContextManager[int]]

PROXIES: dict[str, tuple[Proxy, str]] = {
    "nginx": (running_nginx, NGINX.text),
    "caddy": (running_caddy, CADDY.text),
}

NAMES = ["nginx", pytest.param("caddy", marks=pytest.mark.slow)]

WHERE = """
import os
import anyio
from chat import app
from consumers import AsyncJsonWebsocketConsumer

class Where(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await anyio.sleep(float(os.environ["HESITATES"]))
        await self.accept()
        await self.send_json([self.scope["client"][0], self.scope["scheme"], self.headers["host"], os.getpid()])

app.add_api_websocket_route("/where", Where.as_endpoint())
"""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class Site:
    """A proxy, and two processes behind it.

    Attributes:
        port: the proxy's.
        processes: the two.
    """

    def __init__(self, port: int, processes: list[Any]) -> None:
        self.port = port
        self.processes = processes

    def open(self, path: str, **headers: str) -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{self.port}{path}", additional_headers=headers, open_timeout=PATIENCE, proxy=None
        )


@contextmanager
def serving(name: str, folder: Path, redis: RedisServer, hesitates: float = 0) -> Iterator[Site]:
    """Serve a site; its first process hesitates for some seconds before it accepts a client of `/where`."""
    (folder / "chat.py").write_text(CHAT.text)
    (folder / "where.py").write_text(WHERE)
    processes, ports = [], []
    with ExitStack() as stack:
        for seconds in (hesitates, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("REDIS_URL", redis.url)
                patch.setenv("HESITATES", str(seconds))
                words = "-m", "consumers", "serve", "where:app", "--grace", "8"
                port, process = stack.enter_context(serve(*words, cwd=folder))
            ports.append(port)
            processes.append(process)
        running, config = PROXIES[name]
        yield Site(stack.enter_context(running(config, ports, folder)), processes)


@pytest.fixture(scope="module", params=NAMES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Any:
    with serving(request.param, tmp_path_factory.mktemp("site"), redis_server) as site:
        yield site


@pytest.mark.slow
def test_clients_of_both_processes_hear_each_other_through_the_proxy(site: Site) -> None:
    assert httpx.get(f"http://127.0.0.1:{site.port}/health", trust_env=False).json() == {"status": "ok"}
    with site.open("/where") as one, site.open("/where") as two:
        assert len({json.loads(client.recv(PATIENCE))[3] for client in (one, two)}) == 2
        with site.open("/chat") as ann, site.open("/chat") as bob:
            ann.send('{"text": "hello"}')
            assert [json.loads(client.recv(PATIENCE)) for client in (ann, bob)] == [{"text": "hello"}] * 2


@pytest.mark.slow
def test_the_application_sees_the_clients_address_scheme_and_host(site: Site) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    with site.open("/where", **forged) as client:
        assert json.loads(client.recv(PATIENCE))[:3] == ["127.0.0.1", "ws", f"127.0.0.1:{site.port}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_when_a_process_ends_its_clients_come_back_to_the_other_one(
    name: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    with serving(name, tmp_path, redis_server) as site, site.open("/where") as one, site.open("/where") as two:
        first, second = site.processes
        clients = {json.loads(client.recv(PATIENCE))[3]: client for client in (one, two)}
        first.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed, match=r"1012 .*retry=5-20"):
            clients[first.pid].recv(PATIENCE)
        for _ in range(4):
            with site.open("/where") as client:
                assert json.loads(client.recv(PATIENCE))[3] == second.pid


@pytest.mark.slow
def test_behind_nginx_another_process_answers_a_handshake_that_an_ending_one_refuses(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with serving("nginx", tmp_path, redis_server, hesitates=3600) as site:
        first, second = site.processes
        answers: list[int] = []

        def come() -> None:
            with site.open("/where") as client:
                answers.append(json.loads(client.recv(PATIENCE))[3])

        clients = [threading.Thread(target=come) for _ in range(2)]
        for client in clients:
            client.start()
        clients[0].join(1)
        clients[1].join(1)
        assert answers == [second.pid]  # the other client waits for the first process
        first.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(PATIENCE)
        assert answers == [second.pid] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_process_that_is_back_gets_clients_before_the_other_one_goes(name: str, tmp_path: Path) -> None:
    alone = "from fastapi import FastAPI\napp = FastAPI()"
    (tmp_path / "where.py").write_text(WHERE.replace("from chat import app", alone))
    words = "-m", "consumers", "serve", "where:app", "--grace", "1"
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("HESITATES", "0")
        port, first = stack.enter_context(serve(*words, cwd=tmp_path))
        away = free_port()
        running, config = PROXIES[name]
        site = Site(stack.enter_context(running(config, [away, port], tmp_path)), [])

        def come() -> int:
            with site.open("/where") as client:
                return int(json.loads(client.recv(PATIENCE))[3])

        assert {come() for _ in range(4)} == {first.pid}  # some were tried with the port that is closed
        _, back = stack.enter_context(serve(*words, cwd=tmp_path, port=away))
        first.terminate()
        first.wait(PATIENCE)
        assert {come() for _ in range(4)} == {back.pid}


def options_of(words: list[str]) -> dict[str, Any]:
    """Return what a command line of `python -m consumers serve` says."""
    assert words[:5] == ["python", "-m", "consumers", "serve", "chat:app"]
    parser = argparse.ArgumentParser()
    add_options(parser)
    return vars(parser.parse_args(words[5:]))


def test_the_dockerfile_serves_the_file_on_the_port_that_it_exposes() -> None:
    lines = dict(line.split(" ", 1) for line in DOCKERFILE.text.splitlines())
    options = options_of(json.loads(lines["CMD"]))
    assert (options["host"], options.get("port", 8000)) == ("0.0.0.0", int(lines["EXPOSE"]))
    assert options["grace"] < 10  # what Docker waits
    assert lines["COPY"] == f"{CHAT.file} ."


def test_the_compose_file_names_its_services_and_leaves_them_time() -> None:
    [compose] = COMPOSE
    chat = compose["services"]["chat"]
    options = options_of(shlex.split(chat["command"]))
    assert options["workers"] == 2
    assert options["grace"] < int(chat["stop_grace_period"].removesuffix("s"))
    assert chat["environment"]["REDIS_URL"].partition("//")[2].partition(":")[0] in compose["services"]
    assert set(chat["depends_on"]) <= set(compose["services"])
    assert chat["ports"] == [f"{options['port']}:{options['port']}"]
    assert f"http://127.0.0.1:{options['port']}/health" in chat["healthcheck"]["test"][-1]
    compile(chat["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_the_pod_has_time_for_its_hook_and_its_end_and_its_names_agree(no_layer: None) -> None:
    deployment, service = KUBERNETES
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    options = options_of([*container["command"], *container["args"]])
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > int(hook[1]) + options["grace"]
    [port] = container["ports"]
    assert port["containerPort"] == options["port"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    paths = {route.path for route in run(CHAT.text)["app"].routes}
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": port["name"]}
        assert container[probe]["httpGet"]["path"] in paths


def test_the_labels_name_the_port_and_the_check() -> None:
    labels = dict(label.split("=", 1) for label in LABELS[0]["labels"])
    assert labels["traefik.http.services.chat.loadbalancer.server.port"] == "8000"
    assert labels["traefik.http.services.chat.loadbalancer.healthcheck.path"] == "/health"


def test_what_the_page_says_of_pings_and_gunicorn_is_so() -> None:
    read_timeout = re.search(r"proxy_read_timeout (\d+)s", NGINX.text)
    assert read_timeout and SETTINGS["ws_ping_interval"] < int(read_timeout[1])
    [gunicorn] = [line for block in blocks(PAGE, "sh") for line in block.commands if line.startswith("gunicorn")]
    assert f"-k consumers.server.{GunicornWorker.__name__}" in gunicorn
    assert (ROOT / "consumers/server/gunicorn.py").is_file()
