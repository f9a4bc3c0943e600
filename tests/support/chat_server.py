"""The chat of `tests.browser.client_app` in a process of its own, which a test kills, drains and starts again."""

import os
import socket
import subprocess
import sys
from secrets import token_hex
from urllib.request import Request, urlopen

from .pages import ROOT
from .processes import wait_for
from .tls import client_context, server_options


class ChatServer:
    """A server on a port that stays its own.

    Args:
        redis_url: where its groups and their history are.
        is_secure: whether it speaks TLS.

    Attributes:
        port: its port.
        scheme: "http", or "https".
        room: where the test's clients are; other tests' hear nothing of it.
    """

    def __init__(self, redis_url: str, is_secure: bool = False) -> None:
        self._environment = {**os.environ, "REDIS_URL": redis_url}
        self._is_secure = is_secure
        self.scheme = "https" if is_secure else "http"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.new_room()
        self.start()

    def start(self) -> None:
        words = ["-m", "uvicorn", "tests.browser.client_app:app", "--port", str(self.port), "--log-level", "warning"]
        for name, value in server_options().items() if self._is_secure else ():
            words += [f"--{name.replace('_', '-')}", value]
        self._process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=self._environment)
        wait_for(self.port)

    def new_room(self) -> None:
        """Have the next test, whose clients hear nothing of the last one's."""
        self.room = token_hex(4)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def publish(self, first: int, count: int) -> None:
        """Say so many numbers in the room, from one on."""
        self._post(f"publish/{self.room}?first={first}&count={count}")

    def drain(self) -> None:
        """Send its clients away, and refuse others from now on, but go on to listen."""
        self._post("drain")

    def _post(self, path: str) -> None:
        host = "localhost" if self._is_secure else "127.0.0.1"
        context = client_context() if self._is_secure else None
        request = Request(f"{self.scheme}://{host}:{self.port}/{path}", method="POST")
        with urlopen(request, timeout=10, context=context) as answer:
            answer.read()
