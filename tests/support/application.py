"""The application of docs/howto/application.md, set up and served by the page's own commands."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .pages import ROOT, blocks
from .processes import run_python, serve, wait_for

PAGE = "docs/howto/application.md"
APPLICATION = ROOT / "docs/howto/application"
SECRET = "a secret of 32 bytes at the least"


def copy_of_the_application(folder: Path) -> Path:
    """Copy the application out of the repository as the page's command does, and return where it is.

    Args:
        folder: stands for the reader's home.
    """
    [command] = [command for block in blocks(PAGE, "sh") for command in block.commands if command.startswith("cp ")]
    copied, entered = (part.split() for part in command.split(" && "))
    source, target = copied[2:]
    assert entered == ["cd", target] and ROOT / source == APPLICATION
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / source, folder / target.removeprefix("~/"), ignore=ignored))


@contextmanager
def serving_the_application(folder: Path, redis_url: str) -> Iterator[tuple[int, int]]:
    """Run a copy of the application on two workers.

    Yields:
        The port, and the id of the process whose children the workers are.
    """
    commands = [command.split() for block in blocks(PAGE, "sh") for command in block.commands]
    [set_up] = [command for command in commands if "rooms.setup" in command]
    [run] = [command for command in commands if "rooms.main:app" in command]
    assert set_up[0] == run[0] == "python"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"REDIS_URL": redis_url, "SECRET": SECRET, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        assert run_python(*set_up[1:], cwd=folder).returncode == 0
        with serve(*run[1:], cwd=folder) as (port, process):
            wait_for(port)
            yield port, process.pid
