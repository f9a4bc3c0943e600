"""Processes that answer commands, one line of JSON each way."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 60.0
"""Seconds until a child that does not answer is given up."""


class ChildFailed(Exception):
    """A child process ended or did not answer; why is in its error output."""


class Child:
    """A Python module that runs in a process of its own.

    Args:
        module: its name.
        args: its arguments.
    """

    def __init__(self, module: str, *args: str) -> None:
        self.name = " ".join([module, *args])
        self._command = [sys.executable, "-m", module, *args]
        self._process: asyncio.subprocess.Process

    async def start(self) -> Any:
        """Start the process; return what it says first."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        return await self._answer()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, do: str, patience: float = PATIENCE, **arguments: Any) -> Any:
        """Have a command carried out; return the answer.

        Args:
            do: the command.
            patience: seconds to wait for the answer.
            arguments: the command's.

        Raises:
            ChildFailed: if there is none.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await self._answer(patience)

    async def stop(self) -> None:
        """End the process, if need be by force."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, for want of anything worth saying goodbye to."""
        if hasattr(self, "_process"):  # else it could not be started
            self._signal(signal.SIGKILL)
            await self._process.wait()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let the process go on, and stand still afterwards: even an idle one would disturb others."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended
            self._process.send_signal(number)

    async def _answer(self, patience: float = PATIENCE) -> Any:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(patience):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildFailed(
                f"{self.name} has not answered for {patience:.0f} s: frames are missing, or it hangs"
            ) from None
        if not line:
            raise ChildFailed(f"{self.name} ended; its error is above")
        return json.loads(line)
