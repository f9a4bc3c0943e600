"""`python -m consumers serve`: where it listens, and what the person reads who has asked for what cannot be."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consumers.__main__ import main
from consumers.server import serve

from ..support import tls
from ..support.pages import ROOT
from ..support.served import close_of, running, serving
from ..support.slow import left_to_ci

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HANGING = "tests.support.hanging_app:app"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


# Where it listens


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_unix_socket_is_served_and_removed_when_nobody_listens(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    async with serving(uds=str(path), workers=workers) as served:
        client = await served.open("member")
        await client.send("pid")
        assert int(await client.recv()) in served.workers()
        await client.send("soon")
        assert await client.recv() == "begun"
        served.signal(signal.SIGTERM)
        await served.until(lambda: not path.exists())
        assert await client.recv() == "done"
        await served.end()


@pytest.mark.parametrize("workers", [1, *left_to_ci(2)])
async def test_a_unix_socket_that_another_process_has_taken_over_is_left_to_it(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    async with serving(uds=str(path), workers=workers) as served:
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            served.signal(signal.SIGTERM)
            await served.end()
            assert path.exists()


@pytest.mark.parametrize("workers", [2, *left_to_ci(1)])
async def test_the_unix_socket_of_a_process_that_was_killed_is_no_obstacle(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    async with serving(uds=str(path), workers=workers) as served:
        await served.open("member")
        assert stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.parametrize("what", ["socket", *left_to_ci("file")])
async def test_what_is_in_use_stays_as_it_is(tmp_path: Path, what: str) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        if what == "socket":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("text")
        async with running(uds=str(path), workers=2) as served:
            assert await served.end() == 3
            assert "Address already in use" in served.text()
        assert path.exists()


@pytest.mark.parametrize("workers", [1, *left_to_ci(2)])
async def test_a_file_descriptor_is_served(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(listener=listener, workers=workers) as served:
            client = await served.open("member")
            await client.send("pid")
            assert int(await client.recv()) in served.workers()
            served.signal(signal.SIGTERM)
            await served.end()


@pytest.mark.parametrize("loop", ["asyncio", *left_to_ci("uvloop")])
async def test_tls_is_spoken_to_the_end_on_each_event_loop(loop: str) -> None:
    files = [word for name, path in tls.server_options().items() for word in (f"--{name.replace('_', '-')}", str(path))]
    async with serving("--loop", loop, *files, tls=tls.client_context()) as served:
        clients = [await served.open("member") for _ in range(3)]
        await clients[0].send("soon")
        assert await clients[0].recv() == "begun"
        served.signal(signal.SIGTERM)
        assert await clients[0].recv() == "done"
        assert {await close_of(client) for client in clients} == {(1012, "retry=5-20")}
        await served.end()
        assert "Traceback" not in served.text()


# What cannot be

PORT = "a port that is in use"

CANNOT_BE: list[tuple[list[str], int, str]] = [
    (["nowhere:app"], 3, 'Could not import module "nowhere"'),
    (["tests.support.served_app:nothing"], 3, 'Attribute "nothing" not found'),
    (["tests.support.served_app"], 3, '"<module>:<attribute>"'),
    (["{app}", "--port", PORT], 3, "ddress already in use"),
    (["{app}", "--uds", "/nowhere/socket"], 3, "No such file or directory"),
    (["{app}", "--fd", "77"], 3, "cannot listen on file descriptor 77"),
]

SETTINGS: list[tuple[list[str], str]] = [
    (["--port", "65536"], "port is 65536"),
    (["--ssl-certfile", "nowhere.pem"], "ssl_certfile is 'nowhere.pem'"),
    (["--log-config", "nowhere.json"], "log_config is 'nowhere.json'"),
    (["--log-level", "loud"], "invalid choice: 'loud'"),
    (["--reload"], "run `uvicorn --reload`"),
    (["--grace", "0"], "grace is 0.0"),
    (["--grace", "1", "--spread", "2"], "spread is 2.0"),
    (["--retry", "5"], "'5' is not of the form 5-20"),
    (["--retry", "20-5"], "retry is (20.0, 5.0)"),
    (["--batch", "0"], "batch is 0"),
]


def outcome(*arguments: str) -> tuple[int, str]:
    """Return the exit status of `serve`, and what it has written."""
    ran = subprocess.run(
        [sys.executable, "-m", "consumers", "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("workers", ["1", *left_to_ci("2")])
@pytest.mark.parametrize(("arguments", "status", "text"), CANNOT_BE, ids=[" ".join(line[0]) for line in CANNOT_BE])
def test_what_cannot_be_had_is_said_in_a_line(arguments: list[str], status: int, text: str, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [port if word == PORT else word.format(app="tests.support.served_app:app") for word in arguments]
        where = [] if {"--port", "--uds", "--fd"}.intersection(words) else ["--port", "0"]
        found, said = outcome(*words, *where, "--workers", workers)
    assert text in said
    assert "Traceback" not in said
    assert found == status


@pytest.mark.parametrize(("arguments", "text"), SETTINGS, ids=[" ".join(line[0]) for line in SETTINGS])
def test_a_setting_that_cannot_work_is_refused_before_anything_happens(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "nowhere:app", *arguments])
    assert ended.value.code == 2  # and not 3, which is that of an application that is not there
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("workers", [-1, None])
def test_no_workers_at_all_are_refused(workers: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "0")
    with pytest.raises(ValueError, match="workers is "):
        serve("nowhere:app", workers=workers, log_config=None)


@pytest.mark.parametrize("place", ["import", *left_to_ci("startup")])
@pytest.mark.parametrize("workers", [1, 2])
async def test_an_application_that_fails_shows_where(tmp_path: Path, place: str, workers: int) -> None:
    (tmp_path / place).touch()
    async with running(app=HANGING, environment={"HANGS": str(tmp_path)}, workers=workers) as served:
        status = await served.end()
        assert status == (1 if (place, workers) == ("import", 1) else 3)
        assert "Traceback" in served.text() and ", as asked" in served.text()
        assert served.text().count("could not start") == (0 if workers == 1 else workers)


@pytest.mark.parametrize("workers", [2, *left_to_ci(1)])
async def test_a_script_that_serves_what_cannot_be_had_fails(tmp_path: Path, workers: int) -> None:
    script = tmp_path / "script.py"
    line = f"serve('nowhere:app', port=0, workers={workers})"
    script.write_text(f"from consumers.server import serve\n\nif __name__ == '__main__':\n    {line}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), env=environment, stderr=subprocess.PIPE)
    assert b"Could not import module" in (await process.communicate())[1]
    assert process.returncode == 3


# Workers that die


async def test_each_worker_that_has_died_is_there_again_once_it_can_start(tmp_path: Path) -> None:
    async with serving(app=HANGING, environment={"HANGS": str(tmp_path)}, workers=3) as served:
        one, two, three = served.workers()
        (tmp_path / "import").touch()
        for pid in (one, two):
            os.kill(pid, signal.SIGKILL)
        await served.until(lambda: served.text().count("could not start (status 1)") >= 2, 60)
        assert served.workers() == [three]
        (tmp_path / "import").unlink()
        await served.until(lambda: len(served.workers()) == 3)
        assert three in served.workers()


@pytest.mark.slow
async def test_workers_that_die_as_soon_as_they_serve_are_not_started_without_a_pause(tmp_path: Path) -> None:
    async with serving(app=HANGING, workers=2) as served:
        began = time.monotonic()
        for _ in range(3):
            await served.until(lambda: len(served.workers()) == 2)
            os.kill(served.workers()[1], signal.SIGKILL)
            await served.until(lambda: len(served.workers()) == 1)
        await served.until(lambda: len(served.workers()) == 2)
        assert time.monotonic() - began > 3


@pytest.mark.slow
async def test_a_worker_that_dies_while_they_are_replaced_is_replaced_once(tmp_path: Path) -> None:
    async with serving(app=HANGING, environment={"HANGS": str(tmp_path)}, workers=2) as served:
        old = served.workers()

        def are_replaced() -> bool:
            return not set(old) & set(served.workers()) and len(served.workers()) >= 2

        served.signal(signal.SIGHUP)
        await served.until(lambda: len(served.lines("starting")) == 3)
        os.kill(old[1], signal.SIGKILL)
        for _ in range(2):  # one too many would be there after the second time
            await served.until(are_replaced, 60)
            assert len(served.workers()) == 2
            old = served.workers()
            served.signal(signal.SIGHUP)
        served.signal(signal.SIGTERM)
        assert await served.end() == 0


@pytest.mark.slow
async def test_what_is_new_is_replaced_again_if_that_is_asked_for_meanwhile(tmp_path: Path) -> None:
    async with serving(app=HANGING, workers=2) as served:
        old = set(served.workers())
        served.signal(signal.SIGHUP)
        await served.until(lambda: len(served.lines("up")) == 3)
        new = set(served.workers())
        served.signal(signal.SIGHUP)
        await served.until(lambda: len(served.workers()) == 2 and not (old | new) & set(served.workers()))


@pytest.mark.slow
async def test_a_worker_that_cannot_start_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    async with serving(app=HANGING, environment={"HANGS": str(tmp_path)}, workers=2) as served:
        (tmp_path / "startup").touch()
        old = served.workers()
        served.signal(signal.SIGHUP)
        await served.until(lambda: "the others go on as they are" in served.text())
        assert served.workers() == old
        (tmp_path / "startup").unlink()
        served.signal(signal.SIGHUP)
        await served.until(lambda: len(served.workers()) == 2 and not set(old) & set(served.workers()))


@pytest.mark.slow
async def test_a_worker_that_is_killed_while_it_drains_holds_nobody_up() -> None:
    async with serving(workers=2) as served:
        client = await served.open("member")
        await client.send("pid")
        pid = int(await client.recv())
        await client.send("ignore")
        assert await client.recv() == "begun"
        served.signal(signal.SIGTERM)
        await served.until(lambda: served.workers() == [pid])
        os.kill(pid, signal.SIGKILL)
        assert await served.end() == 0


@pytest.mark.slow
async def test_workers_that_start_when_their_supervisor_is_killed_end_too(tmp_path: Path) -> None:
    async with running(app=HANGING, workers=2, environment={"WAITS": "1"}) as served:
        await served.until(lambda: len(served.lines("starting")) == 2)
        served.signal(signal.SIGKILL)
        await served.until(lambda: len(served.lines("down")) == 2)
        assert "Traceback" not in served.text()
