"""The application of the tutorial, as the reader has it after each step."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .pages import Block, blocks
from .processes import serve, wait_for

STEPS = ("echo", "rooms", "presence", "sign-in", "typed", "recovery", "redis", "tests", "deployment")
SECRET = "a secret of 32 bytes at the least"


def page_of(step: str) -> str:
    return f"docs/tutorial/{step}.md"


def files_in(step: str) -> dict[str, Block]:
    """Return the files that a step's page shows, by name. What is HTML is the page for the browser."""
    found = {block.file or "": block for block in blocks(page_of(step), "python")}
    assert "" not in found, f"{page_of(step)} has Python that is no file"
    for block in blocks(page_of(step), "html"):
        found["chat.html"] = block
    return found


def files_after(step: str) -> dict[str, Block]:
    """Return what the reader's folder has after a step: of each file, what the last page shows of it."""
    files: dict[str, Block] = {}
    for each in STEPS[: STEPS.index(step) + 1]:
        files |= files_in(each)
    return files


def write_step(step: str, folder: Path) -> Path:
    """Write the files of a step into a folder, and return that."""
    for name, block in files_after(step).items():
        (folder / name).write_text(block.text, encoding="utf-8")
    return folder


def _command_of(step: str, program: str) -> list[str]:
    """Return the words behind `python` of the command that the reader has last seen, of those that run a program."""
    seen = [
        command.removeprefix("python -m ").split()
        for each in STEPS[: STEPS.index(step) + 1]
        for block in blocks(page_of(each), "sh", "console")
        for command in block.commands
    ]
    return [command for command in seen if command[0] == program][-1]


@contextmanager
def serving_step(
    step: str, folder: Path, redis_url: str = "", port: int = 0
) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Write a step into a folder, and run it as its reader does, but on another port and without reloading.

    Args:
        step: the step.
        folder: the reader's.
        redis_url: a Redis for the steps that have one, which `python -m consumers serve` runs.
        port: where it listens; 0 for a free port.

    Yields:
        The port, and the first process.
    """
    command = [word for word in _command_of(step, "consumers" if redis_url else "uvicorn") if word != "--reload"]
    for option in {"--host", "--port"} & {*command}:
        at = command.index(option)
        del command[at : at + 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        patch.setenv("REDIS_URL", redis_url)
        with serve("-m", *command, cwd=write_step(step, folder), port=port) as (port, process):
            wait_for(port)
            yield port, process
