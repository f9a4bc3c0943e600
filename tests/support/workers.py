"""Workers, and a consumer for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from consumers import AsyncConsumer, StopConsumer
from consumers.types import ASGIApp, Message
from consumers.worker import Worker

from .wire import PATIENCE, Queue


class Log(Queue):
    """What consumers have done, in order."""

    def add(self, *entry: Any) -> None:
        self.put({"entry": entry})

    async def next(self) -> tuple[Any, ...]:
        with anyio.fail_after(PATIENCE):
            entry: tuple[Any, ...] = (await self.get())["entry"]
            return entry


def recorder(log: Log, **attributes: Any) -> ASGIApp:
    """Make a consumer that logs what it gets, fails, stops or waits as it is told to."""

    class Recorder(AsyncConsumer):
        instances = 0

        def __init__(self) -> None:
            type(self).instances += 1
            self.number = self.instances

        async def note(self, message: Message) -> None:
            log.add(self.scope["channel"], self.number, message["n"])

        async def wait(self, message: Message) -> None:
            log.add("waits")
            await message_gate(message).wait()
            log.add("waited")

        async def crash(self, message: Message) -> None:
            raise RuntimeError("as told")

        async def finish(self, message: Message) -> None:
            raise StopConsumer

        async def answer(self, message: Message) -> None:
            await self.send({"type": "chat.message"})

    for name, value in attributes.items():
        setattr(Recorder, name, value)
    return Recorder.as_asgi()


gates: dict[str, anyio.Event] = {}
"""What handlers wait for, by name."""


def message_gate(message: Message) -> anyio.Event:
    """Return the event that a handler waits for; messages themselves are copied on their way."""
    return gates[message["gate"]]


WAIT = {"type": "wait", "gate": "gate"}


def note(n: int) -> Message:
    return {"type": "note", "n": n}


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """Run a worker; on leaving, it is stopped and no task is left."""
    tasks_before = len(anyio.get_running_tasks())
    with anyio.fail_after(4 * PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            try:
                yield
                worker.stop()
            except BaseException:
                tasks.cancel_scope.cancel()
                raise
    assert len(anyio.get_running_tasks()) == tasks_before


class Impatient(Worker):
    restart_delay = 0.01
    disconnect_timeout = 0.05
