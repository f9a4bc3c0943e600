"""What `python -m compat run` and `python -m compat exec` do."""

import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from socket import socket
from typing import TYPE_CHECKING, Any

from consumers.__main__ import UsageError, import_application

from .conf import has_django
from .hook import install

if TYPE_CHECKING:
    from uvicorn import Config as UvicornConfig
    from uvicorn import Server as UvicornServer
else:
    try:
        from uvicorn import Config as UvicornConfig
        from uvicorn import Server as UvicornServer
    except ImportError:  # run() says so
        UvicornConfig = UvicornServer = object

TARGET = "COMPAT_APPLICATION"
"""The environment variable that tells the server's processes, which it starts anew, what to serve."""


STARTUP_FAILURE = 3
"""The exit status with which uvicorn's processes say that to start them once more will not help."""


def run(target: str, options: Sequence[str]) -> None:
    """Serve an application with uvicorn.

    Args:
        target: `package.module:attribute`.
        options: further words of uvicorn's command line, such as `--port 8001 --reload`.

    Raises:
        UsageError: uvicorn is not installed.
        SystemExit: at the end, with uvicorn's status.
    """
    try:
        uvicorn = importlib.import_module("uvicorn.main")  # `uvicorn.main` itself is the command in it
    except ImportError as error:
        raise UsageError("uvicorn is not installed: pip install 'starlette-consumers[server]'") from error
    os.environ[TARGET] = target
    setattr(uvicorn, "Config", Config)  # noqa: B010
    uvicorn.main([f"{__name__}:application", "--factory", *options], prog_name="python -m compat run APPLICATION")


class Config(UvicornConfig):
    """Has each process make a `Server` of ours."""

    def configure_logging(self) -> None:
        super().configure_logging()
        for module in ("uvicorn.main", "uvicorn.supervisors.multiprocess"):  # a process that serves does this first
            setattr(importlib.import_module(module), "Server", Server)  # noqa: B010


class Server(UvicornServer):
    """Imports the application before there is an event loop, as Daphne does.

    Django refuses queries while a loop runs in the thread, and applications make some when they are imported. Of
    several processes, each answers its parent by then: one that is silent is taken for hung, and started anew.
    """

    def run(self, sockets: list[socket] | None = None) -> None:
        application()
        super().run(sockets)


def application() -> Any:
    """Return the application that the environment variable names; uvicorn calls this in each of its processes."""
    install()
    try:
        return import_application(os.environ[TARGET])
    except UsageError as error:
        sys.stderr.write(f"python -m compat run: error: {error}\n")
        raise SystemExit(STARTUP_FAILURE) from error


def execute(target: str, arguments: Sequence[str], is_module: bool = False) -> None:
    """Run a script or a module as `python` would; the import hook is installed already.

    Args:
        target: the script's path or the module's name.
        arguments: its command line.
        is_module: whether it is a module.

    Raises:
        UsageError: there is no such file.
    """
    if not is_module and not os.path.exists(target):
        raise UsageError(f"no file {target!r} in {os.getcwd()}")
    _keep_when_django_reloads([*(["-m"] if is_module else ()), target, *arguments])
    sys.argv = [target, *arguments]
    sys.path.insert(0, os.getcwd() if is_module else os.path.dirname(os.path.abspath(target)))
    if is_module:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(target, run_name="__main__")


def _keep_when_django_reloads(words: Sequence[str]) -> None:
    """Have Django's autoreloader, which starts the command line anew, start it under the hook."""
    if not has_django():
        return
    from django.utils import autoreload

    flags = [f"-W{option}" for option in sys.warnoptions]
    autoreload.get_child_arguments = lambda: [sys.executable, *flags, "-m", __package__, "exec", *words]
