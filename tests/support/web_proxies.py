"""nginx and Caddy with the configurations of docs/howto/proxies.md, each in a process of its own on a free port."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .processes import wait_for
from .redis_server import free_port

UPSTREAMS = "127.0.0.1:8001", "127.0.0.1:8002"
"""Where the page's configurations look for the application."""

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/chat.conf;
}}
"""


@contextlib.contextmanager
def running_nginx(config: str, upstreams: Sequence[int], folder: Path) -> Iterator[int]:
    """Run nginx until the end of the block; yield its port.

    Args:
        config: the page's, for `/etc/nginx/conf.d`.
        upstreams: the ports of the application's processes.
        folder: for its files.
    """
    program = _find("nginx", "/usr/sbin/nginx")
    port = free_port()
    (folder / "chat.conf").write_text(_for_these(config, upstreams).replace("listen 80;", f"listen 127.0.0.1:{port};"))
    user = "user root;" if os.geteuid() == 0 else ""  # else it could not read the folder
    (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder))
    with _running([program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], port, folder):
        yield port


@contextlib.contextmanager
def running_caddy(config: str, upstreams: Sequence[int], folder: Path) -> Iterator[int]:
    """Run Caddy, without a certificate, until the end of the block; yield its port. The arguments are nginx's."""
    program = _find("caddy")
    port = free_port()
    config = _for_these(config, upstreams).replace("example.com {", f"http://127.0.0.1:{port} {{")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{config}")
    with _running([program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], port, folder):
        yield port


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    log = folder / "log"
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        try:
            wait_for(port)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()


def _for_these(config: str, upstreams: Sequence[int]) -> str:
    """Return a configuration for these ports."""
    for name, port in zip(UPSTREAMS, upstreams, strict=True):
        assert name in config
        config = config.replace(name, f"127.0.0.1:{port}")
    return config


def _find(name: str, otherwise: str = "") -> str:
    """Return a program's path; skip the test if it is not installed."""
    found = shutil.which(name) or (otherwise if Path(otherwise).is_file() else None)
    if found is None:
        pytest.skip(f"{name} is not installed: `apt-get install {name}`")
    return found
