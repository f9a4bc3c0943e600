"""Python in a process of its own: the import hook changes the whole process."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .pages import ROOT as ROOT

PATIENCE = 20  # seconds


def run_python(
    *words: str, cwd: Path, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python` with these words and return how it ended.

    Args:
        words: the command line; a single one that is no option is code.
        cwd: the directory.
        path: a directory in front of where Python looks for packages.
        environment: further variables.
    """
    arguments = ["-c", *words] if len(words) == 1 else words
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**os.environ, **({"PYTHONPATH": str(path)} if path else {}), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_pytest(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest with no plugins but those that the words name: to import the others takes most of a run."""
    return run_python("-m", "pytest", "-p", "no:cacheprovider", *words, cwd=cwd, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@contextlib.contextmanager
def start(*words: str, cwd: Path, start_new_session: bool = False, port: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """Run `python` with a command line that starts uvicorn; yield the process.

    Args:
        words: the command line.
        cwd: the directory.
        start_new_session: whether it and its children are a group of processes of their own.
        port: where it listens; 0 for a free port.
    """
    with subprocess.Popen(
        [sys.executable, "-W", "error", *words, "--port", str(port)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def serve(*words: str, cwd: Path, port: int = 0) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """As `start()`, but yield the port and the process once it listens."""
    with start(*words, cwd=cwd, port=port) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                yield int(match[1]), process
                break
        else:
            raise AssertionError("".join(lines))


def workers_of(pid: int) -> list[int]:
    """Return the two processes of uvicorn's that this one has started, as soon as they are there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True)
        workers = [int(line) for line in found.stdout.split()]
        if len(workers) == 2:
            return workers
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for(port: int) -> None:
    """Return when somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, so that the other one serves who comes now."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
