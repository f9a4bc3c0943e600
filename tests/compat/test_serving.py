"""`python -m compat run` and `exec`, and the pytest plugin: each in a process of its own."""

import os
import signal
import textwrap
import time
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from ..support.processes import run_pytest, run_python, serve, start
from ..support.slow import left_to_ci

RUN = ["-m", "compat", "run", "mysite.asgi:application"]

CHAT = """
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

class Echo(WebsocketConsumer):
    def receive(self, text_data):
        self.send(text_data)

application = ProtocolTypeRouter({"websocket": URLRouter([path("ws/", Echo.as_asgi())])})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with a Channels project in it."""
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    (tmp_path / "mysite" / "asgi.py").write_text(CHAT)
    return tmp_path


def test_run_serves_a_channels_project_unchanged(project: Path) -> None:
    with serve(*RUN, cwd=project) as (port, process):
        with connect(f"ws://127.0.0.1:{port}/ws/") as client:
            client.send("hello")
            assert client.recv() == "hello"
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        log = process.stderr.read()
    assert "Traceback" not in log
    assert "Application shutdown complete." in log  # the lifespan, which closes the layers


@pytest.mark.slow
def test_run_passes_further_options_on_to_uvicorn(project: Path) -> None:
    with serve(*RUN, "--root-path", "/behind", cwd=project) as (port, _):
        with connect(f"ws://127.0.0.1:{port}/ws/") as client:
            client.send("hello")
            assert client.recv() == "hello"


def connect_soon(url: str) -> ClientConnection:
    """Connect to a server that may not listen yet: nothing says when it does."""
    for _ in range(200):
        try:
            return connect(url)
        except ConnectionRefusedError:
            time.sleep(0.05)
    return connect(url)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "servers"), [([], 0), (["--workers", "2"], 2), *left_to_ci((["--reload"], 1))])
def test_run_imports_the_application_before_there_is_an_event_loop(
    project: Path, options: list[str], servers: int
) -> None:
    # What a module does that queries Django's database, which refuses to while a loop runs.
    refuse = textwrap.dedent(
        """
        import asyncio
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise AssertionError("imported inside of a loop")
        """
    )
    (project / "mysite" / "asgi.py").write_text(refuse + CHAT)
    with serve(*RUN, *options, cwd=project) as (port, process):
        assert process.stderr is not None
        for _ in range(servers):  # in processes of their own
            line = next(line for line in process.stderr if "startup complete" in line or "Traceback" in line)
            assert "Traceback" not in line, process.stderr.read()
        with connect_soon(f"ws://127.0.0.1:{port}/ws/") as client:
            client.send("hello")
            assert client.recv() == "hello"
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_a_worker_answers_its_parent_while_it_imports_the_application(project: Path) -> None:
    # One that does not, for five seconds, is taken for hung, killed and started anew.
    answers = "import threading\nassert 'always_pong' in str(threading.enumerate())\n"
    (project / "mysite" / "asgi.py").write_text(answers + CHAT)
    with serve(*RUN, "--workers", "2", cwd=project) as (_, process):
        assert process.stderr is not None
        for _ in range(2):
            line = next(line for line in process.stderr if "startup complete" in line or "Traceback" in line)
            assert "Traceback" not in line
        process.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "servers"), [([], 1), *left_to_ci((["--reload"], 1), (["--workers", "2"], 2))])
def test_run_is_interrupted_while_the_application_is_imported(project: Path, options: list[str], servers: int) -> None:
    wait = 'import os, time\nos.write(2, b"importing\\n")  # in one piece\ntime.sleep(60)\n'
    (project / "mysite" / "asgi.py").write_text(wait)
    with start(*RUN, *options, cwd=project, start_new_session=True) as process:
        assert process.stderr is not None
        for _ in range(servers):
            next(line for line in process.stderr if "importing" in line)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("mysite.asgi", "'mysite.asgi' is not of the form package.module:attribute"),
        ("nothing.asgi:application", "no module 'nothing' in "),
        ("mysite.asgi:app", "'mysite.asgi:app': <module 'mysite.asgi' from "),
    ],
)
@pytest.mark.parametrize("options", [[], *left_to_ci(["--workers", "2"])])
def test_run_says_what_is_wrong_with_the_application(
    project: Path, target: str, problem: str, options: list[str]
) -> None:
    ended = run_python("-m", "compat", "run", target, "--port", "0", *options, cwd=project)
    assert ended.returncode != 0 or options  # the parent's status is uvicorn's
    assert f"python -m compat run: error: {problem}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_exec_runs_a_script_as_python_would(project: Path) -> None:
    (project / "helper.py").write_text("from channels.exceptions import StopConsumer")
    (project / "manage.py").write_text("import sys, helper, channels\nprint(sys.argv, __name__, channels.__name__)")
    ended = run_python("-m", "compat", "exec", "manage.py", "test", "--fast", cwd=project)
    assert ended.stdout == "['manage.py', 'test', '--fast'] __main__ compat.channels\n", ended.stderr


@pytest.mark.slow
def test_exec_finds_what_lies_beside_the_script(project: Path) -> None:
    (project / "mysite" / "beside.py").write_text("import channels.layers")
    (project / "mysite" / "script.py").write_text("import beside; print('found')")
    ended = run_python("-m", "compat", "exec", "mysite/script.py", cwd=project)
    assert ended.stdout == "found\n", ended.stderr


@pytest.mark.slow
def test_exec_runs_a_module(project: Path) -> None:
    (project / "tool.py").write_text("import sys, channels.layers; print(sys.argv[1:], __name__)")
    ended = run_python("-m", "compat", "exec", "-m", "tool", "-v", cwd=project)
    assert ended.stdout == "['-v'] __main__\n", ended.stderr


@pytest.mark.slow
def test_exec_passes_the_exit_status_on(project: Path) -> None:
    (project / "manage.py").write_text("raise SystemExit(3)")
    assert run_python("-m", "compat", "exec", "manage.py", cwd=project).returncode == 3


@pytest.mark.slow
def test_an_error_in_the_script_keeps_its_traceback(project: Path) -> None:
    (project / "manage.py").write_text("raise RuntimeError('of the script')")
    ended = run_python("-m", "compat", "exec", "manage.py", cwd=project)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, True)
    assert ended.stderr.endswith("RuntimeError: of the script\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nothing.py"], "no file 'nothing.py' in "),
        ([], "the following arguments are required: script"),
        (["-m"], "the following arguments are required: script"),
    ],
)
def test_exec_says_what_is_wrong(project: Path, words: list[str], problem: str) -> None:
    ended = run_python("-m", "compat", "exec", *words, cwd=project)
    assert ended.returncode == 2
    assert f"python -m compat exec: error: {problem}" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["run", "mysite.asgi:application"], ["exec", "mysite/asgi.py"]])
def test_a_real_channels_is_refused_in_one_line(project: Path, command: list[str]) -> None:
    (project / "channels.py").touch()
    ended = run_python("-m", "compat", *command, cwd=project)
    assert ended.returncode == 2
    assert f"python -m compat {command[0]}: error: compat.install() makes" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", ["-p", "conftest", *left_to_ci("addopts")])
def test_a_real_channels_is_refused_in_one_line_under_pytest(tmp_path: Path, way: str) -> None:
    (tmp_path / "channels.py").touch()
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    if way == "addopts":
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p compat.pytest\n")
    elif way == "conftest":
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["compat.pytest"]\n')
    words = ["-p", "compat.pytest"] if way == "-p" else []
    ended = run_pytest(*words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (pytest.ExitCode.USAGE_ERROR, "")
    assert ended.stderr.startswith("ERROR: compat.install() makes `import channels` mean `compat.channels`, but ")
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_pytest_plugin_installs_the_hook_before_the_tests_are_imported(project: Path) -> None:
    (project / "test_echo.py").write_text(
        textwrap.dedent(
            """
            import pytest
            from channels.testing import WebsocketCommunicator
            from mysite.asgi import application

            @pytest.mark.anyio
            async def test_echo():
                communicator = WebsocketCommunicator(application, "/ws/")
                assert await communicator.connect() == (True, None)
                await communicator.send_to(text_data="hello")
                assert await communicator.receive_from() == "hello"
                await communicator.disconnect()

            @pytest.fixture
            def anyio_backend():
                return "asyncio"
            """
        )
    )
    ended = run_pytest("-q", "-p", "compat.pytest", "-p", "anyio", cwd=project)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
