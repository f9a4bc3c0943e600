"""Django's command line in processes of its own: plainly for Channels, under the import hook for `compat`."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from . import IS_COMPAT

ROOT = Path(__file__).resolve().parent.parent.parent.parent
SCRIPT = str(Path(__file__).with_name("manage.py"))
MANAGE = [sys.executable, *(["-m", "compat", "exec"] if IS_COMPAT else []), SCRIPT]


def manage(*words, **environment):
    """Run a command to its end and return the finished process, with its output as text."""
    return subprocess.run(
        [*MANAGE, *words], env=_environment(environment), cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@contextmanager
def running(*words, **environment):
    """Run a command while the block runs; its output, both kinds, is read from `stdout`, line by line."""
    with subprocess.Popen(
        [*MANAGE, *words],
        env=_environment(environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def lines_until(process, text):
    """Read a process' output up to a line that contains this text, and return it all."""
    read = []
    for line in process.stdout:
        read.append(line)
        if text in line:
            return "".join(read)
    raise AssertionError(f"{text!r} did not come, but: {''.join(read)}")


def _environment(changed):
    return {**os.environ, "PYTHONUNBUFFERED": "1", **changed}
