"""Workers: an application that handles the messages of named channels, instead of a client's.

    layer.receive("thumbnails") → Worker → connection of type "channel" → mailbox → handler

A worker is to a channel what a server is to a socket: it calls the application with a scope of
`{"type": "channel", "channel": name}` and hands it the channel's messages as it asks for them.

A consumer waits in `receive()` all the time, so that it sees the worker's end. It gets a message there when one of its
handlers is free; until then messages stay in the layer, where another worker may take them. See `ChannelSource`.
"""

import logging
import math
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager

import anyio

from ._checks.applications import require_application
from ._connection import events
from ._connection.backlog import Backlog
from .exceptions import InvalidChannelLayerError
from .layers._adapt import adapt
from .layers.base import BaseChannelLayer
from .layers.registry import get_channel_layer
from .types import ASGIApp, Message

logger = logging.getLogger("consumers.worker")

# A connection ends on a client's disconnect after it has handled what it took. A channel has no event of its own.
END = {"type": "websocket.disconnect", "code": 1001, "reason": "the worker stops"}  # RFC 6455, 7.4.1: going away

LOOK_TIME = 1.0
"""Seconds that the layer has, when the worker stops, to give a message that it says is there."""


class Worker:
    """Runs an application for named channels of a layer.

    A crash is logged with its traceback, and the channel gets a fresh consumer after `restart_delay`; the other
    channels go on. A message without a type is logged and dropped, and a layer that fails is asked again: in
    Channels' worker either of these two ends the channel's listener, unseen until all the others have ended.

    A worker runs once: make another one to run again.

    Args:
        application: a consumer's `as_asgi()`, a `ChannelNameRouter` or a `ProtocolTypeRouter`.
        channels: the channels' names.
        layer: the layer to receive from; None: the one with the alias "default".

    Attributes:
        restart_delay: seconds between a crash, or a failure of the layer, and the next attempt.
        disconnect_timeout: seconds, after `stop()`, for messages that no handler has got and that would be lost with
            this process; and for an application that is too busy to ask for another message, until it is cancelled.
            Handlers that run, a consumer finishes within its own `disconnect_timeout`.
        is_stopping: whether `stop()` has been called.
        deadline: when those seconds are over, by the event loop's clock.

    Raises:
        InvalidChannelLayerError: there is no such layer.
        TypeError: `application` is no application, or a name is no channel name.
        ValueError: there are no channels.
    """

    restart_delay: float = 1.0
    disconnect_timeout: float = 10.0

    def __init__(self, application: ASGIApp, channels: Iterable[str], layer: BaseChannelLayer | None = None) -> None:
        require_application(application, "Worker")
        if isinstance(channels, str):
            raise TypeError(f"Worker takes a list of channel names, not the str {channels!r}")
        self.application = application
        self.channels = list(dict.fromkeys(channels))
        if not self.channels:
            raise ValueError("Worker got no channels: name at least one")
        layer = get_channel_layer() if layer is None else layer
        if layer is None:
            raise InvalidChannelLayerError(
                "Worker has no channel layer: give it one, or configure 'default' by channel_layers.configure({...})"
            )
        self.layer = layer
        contract = adapt(layer)
        for channel in self.channels:
            contract.require_valid_channel_name(channel)
        self.is_stopping = False
        self.deadline = math.inf
        self._runs: dict[str, _Run] = {}
        self._backlogs = {channel: Backlog(contract, channel) for channel in self.channels}
        self._handles_rest = False
        self._waits: set[anyio.CancelScope] = set()
        self._not_ready = set(self.channels)
        self._all_ready = anyio.Event()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Handle messages until `stop()`; no message is taken before the application runs for every channel.

        A cancellation ends it too, but cancels the handlers at once.

        Raises:
            Exception: what the application raised for a channel before it asked for the first message, such as a
                router's ValueError for a channel it does not know. The worker has stopped then.
        """
        await self._run()
        self._raise_failure()

    async def run_until_signal(self) -> bool:
        """Run until SIGTERM or SIGINT, which stop the worker; a second one cancels its handlers.

        Needs the main thread.

        Returns:
            Whether it stopped after the first signal, or by itself.

        Raises:
            Exception: as `run()`.
        """
        is_graceful = False
        async with anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                tasks.start_soon(self._watch, signals, tasks.cancel_scope)
                await self._run()
                is_graceful = not tasks.cancel_scope.cancel_called
                tasks.cancel_scope.cancel()
        self._raise_failure()
        return is_graceful

    def stop(self) -> None:
        """Take no more messages; `run()` returns when those that were taken are handled.

        So are those that wait in this process alone, as in the in-memory layer. To be called on the event loop of
        `run()`.
        """
        if self.is_stopping:
            return
        self.is_stopping = True
        self._handles_rest = not self._not_ready
        self._all_ready.set()
        self.deadline = anyio.current_time() + self.disconnect_timeout
        for backlog in self._backlogs.values():
            backlog.close()
        for run in self._runs.values():
            run.stop_by(self.deadline)
        for scope in self._waits:
            scope.cancel()

    def is_done_with(self, backlog: Backlog) -> bool:
        """Tell whether nothing more of a channel is to be handled."""
        if not self.is_stopping:
            return False
        return not (self._handles_rest and backlog.waits_here and anyio.current_time() < self.deadline)

    async def _run(self) -> None:
        names = ", ".join(self.channels)
        logger.info("worker starts: %s", names)
        try:
            async with anyio.create_task_group() as tasks:
                for channel in self.channels:
                    tasks.start_soon(self._serve, channel)
        finally:
            logger.info("worker has stopped: %s", names)

    def _raise_failure(self) -> None:
        """Raise the application's error outside of task groups, which would wrap it."""
        if self._failure is not None:
            raise self._failure

    async def _watch(self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        async for number in signals:
            if self.is_stopping:
                logger.warning("%s again: handlers are cancelled", number.name)
                scope.cancel()
            self.stop()

    async def _serve(self, channel: str) -> None:
        """Run the application for one channel, again and again."""
        backlog = self._backlogs[channel]
        try:
            while not self.is_done_with(backlog):
                run = self._runs[channel] = _Run(self, channel, backlog)
                try:
                    await self._run_once(run, channel)
                finally:
                    del self._runs[channel]
                if self.is_stopping and not run.has_received:
                    break  # it handles nothing
        finally:
            await backlog.give_back()

    async def _run_once(self, run: "_Run", channel: str) -> None:
        try:
            await run()
        except Exception as error:
            if channel in self._not_ready:
                error.add_note(f"The worker could not start the application for channel {channel!r}")
                self._failure = self._failure or error
                self.stop()
            elif self.is_stopping:
                logger.exception("channel %r: the application failed", channel)
            else:
                logger.exception(
                    "channel %r: the application failed and is restarted in %s s", channel, self.restart_delay
                )
                await self.pause()
        else:
            self.note_ready(channel)
            if not run.has_received:  # else a handler raised StopConsumer: the next message is a fresh one's
                await self.pause()

    def note_ready(self, channel: str) -> None:
        """Note that the application runs for this channel."""
        self._not_ready.discard(channel)
        if not self._not_ready:
            self._all_ready.set()

    async def all_ready(self) -> None:
        """Wait until it runs for every channel, or the worker stops."""
        await self._all_ready.wait()

    async def pause(self) -> None:
        """Wait for `restart_delay`, or until the worker stops."""
        with self.until_stop():
            await anyio.sleep(self.restart_delay)

    @contextmanager
    def until_stop(self) -> Iterator[None]:
        """Cancel what is in the block when the worker stops."""
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                if self.is_stopping:
                    scope.cancel()
                yield
            finally:
                self._waits.discard(scope)


class _Run:
    """One life of the application for one channel: its `receive` and `send`, and its `ChannelSource`."""

    def __init__(self, worker: Worker, channel: str, backlog: Backlog) -> None:
        self.scope = anyio.CancelScope()
        self.has_received = False
        self._worker = worker
        self._channel = channel
        self._backlog = backlog
        self._free: Callable[[], int] = lambda: 1  # an application that is no consumer asks when it wants one
        self._change = anyio.Event()
        self._asks = False
        self._has_ended = False

    async def __call__(self) -> None:
        scope = {"type": "channel", "channel": self._channel, "extensions": {events.WORKER: self}}
        self.stop_by(self._worker.deadline)
        with self.scope:
            await self._worker.application(scope, self._receive, self._send)
        if self.scope.cancelled_caught and not self._has_ended:
            logger.warning(
                "channel %r: the application was cancelled: it was too busy to end within %s s",
                self._channel,
                self._worker.disconnect_timeout,
            )

    def serve(self, free: Callable[[], int]) -> None:
        self._free = free
        self.changed()

    def changed(self) -> None:
        change, self._change = self._change, anyio.Event()
        change.set()

    def give_back(self, messages: list[Message]) -> None:
        self._backlog.messages.extendleft(reversed(messages))

    def stop_by(self, deadline: float) -> None:
        """Have it end; it is cancelled if it has not asked for a message by then (the event loop's clock)."""
        if not self._asks:
            self.scope.deadline = deadline
        self.changed()

    async def _receive(self) -> Message:
        self._worker.note_ready(self._channel)
        await self._worker.all_ready()
        self._asks, self.scope.deadline = True, math.inf
        message = await self._next()
        if message is not None:
            self.has_received = True
            self._asks, self.scope.deadline = False, self._worker.deadline
            return message
        if self._has_ended:  # an application that knows no end, and is idle now
            self.scope.cancel()
            await anyio.sleep_forever()
        self._has_ended = True
        return dict(END)

    async def _next(self) -> Message | None:
        """Wait for a message that a handler is free for; None if no more is to be handled."""
        while not self._worker.is_done_with(self._backlog):
            if self._free() <= 0:
                with anyio.CancelScope(deadline=self._worker.deadline):
                    await self._change.wait()
            elif self._backlog.messages:
                message: Message = self._backlog.messages.popleft()
                return message
            else:
                await self._take()
        return None

    async def _take(self) -> None:
        try:
            if self._worker.is_stopping:
                with anyio.move_on_after(LOOK_TIME):  # another worker of this process may get what is there
                    await self._backlog.take()
            else:
                with self._worker.until_stop():
                    await self._backlog.take()
        except Exception:  # not the application's fault: what it does meanwhile goes on
            logger.exception(
                "channel %r: the layer failed and is asked again in %s s", self._channel, self._worker.restart_delay
            )
            await anyio.sleep(self._worker.restart_delay) if self._worker.is_stopping else await self._worker.pause()

    async def _send(self, event: Message) -> None:
        raise RuntimeError(
            f"self.send() in a worker: channel {self._channel!r} has no client to send {event.get('type')!r} to. "
            "Answer by channel_layer.send() or group_send()"
        )
