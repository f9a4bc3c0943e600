"""An endpoint's task group as its methods see it: anyio's, but what a task raises is told to the endpoint at once."""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

import anyio
from anyio.abc import TaskGroup, TaskStatus


class EndpointTaskGroup(TaskGroup):
    """The tasks that an endpoint's methods start, in a group that the endpoint has opened.

    anyio's own group would keep an exception for itself until all of its tasks have ended, and put it into an
    ExceptionGroup. Here it goes to `failed` when it is raised, so that the connection can be closed for it.

    Args:
        group: where the tasks run.
        cancel_scope: the scope around the group.
        failed: told what a task raises, and the task's name; raises what is not the task's own, such as a cancellation.
    """

    def __init__(
        self,
        group: TaskGroup,
        cancel_scope: anyio.CancelScope,
        failed: Callable[[BaseException, str], None],
    ) -> None:
        self.cancel_scope = cancel_scope
        self._group = group
        self._failed = failed

    def start_soon(  # type: ignore[override, misc]  # final since anyio 4.14, abstract before
        self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None
    ) -> Any:
        """Start a task; as anyio's `TaskGroup.start_soon()`."""
        task_name = _name(func, name)
        return self._group.start_soon(self._run, func, args, task_name, name=task_name)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> Any:
        """Start a task; as anyio's `TaskGroup.create_task()`, which anyio has since 4.14."""
        task_name = _name(coro, name)
        return self._group.create_task(self._finish(coro, task_name), name=task_name, context=context)

    async def start(self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None, **options: Any) -> Any:
        """Start a task and wait until it calls `task_status.started(value)`; as anyio's `TaskGroup.start()`.

        Raises:
            Exception: what the task raised before that, which is the caller's to handle.
        """
        task_name = _name(func, name)
        return await self._group.start(self._run_until_started, func, args, task_name, name=task_name, **options)

    async def __aenter__(self) -> NoReturn:
        raise RuntimeError("the endpoint opens and closes its task_group: start tasks in it, or open one of your own")

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> NoReturn:
        raise RuntimeError("the endpoint opens and closes its task_group")

    async def _run(self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: str) -> Any:
        try:
            return await func(*args)
        except BaseException as exc:
            self._failed(exc, name)

    async def _run_until_started(
        self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: str, *, task_status: TaskStatus[Any]
    ) -> Any:
        status = _Status(task_status)
        try:
            return await func(*args, task_status=status)
        except BaseException as exc:
            if not status.has_started:
                raise
            self._failed(exc, name)

    async def _finish(self, awaitable: Awaitable[Any], name: str) -> Any:
        try:
            return await awaitable
        except BaseException as exc:
            self._failed(exc, name)


class _Status:
    """A task's status, which remembers whether the task has started."""

    def __init__(self, status: TaskStatus[Any]) -> None:
        self._status = status
        self.has_started = False

    def started(self, value: Any = None) -> None:
        self.has_started = True
        self._status.started(value)


def _name(task: object, name: object) -> str:
    """Return the name that a task is given, or else that of its function."""
    if name is not None:
        return str(name)
    while isinstance(task, partial):
        task = task.func
    return getattr(task, "__qualname__", None) or repr(task)
