"""Workers: an application that handles the messages of named channels, instead of a client's.

    layer.receive("thumbnails") → Worker → connection of type "channel" → inbox → handler

A worker is to a channel what a server is to a socket: it calls the application with a scope of
`{"type": "channel", "channel": name}` and hands it the channel's messages as it asks for them.

The connection waits in `receive()` all the time, so that it sees the worker's end. How many messages it wants
meanwhile, it says by the ASGI extension `events.WORKER`: one for each handler that is free. What is not wanted stays in
the layer, where another worker may take it. A message that was taken is kept until a handler has it.
"""

import logging
import math
import signal
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress

import anyio

from . import events
from .applications import require_application
from .exceptions import InvalidChannelLayerError
from .layers.base import BaseChannelLayer
from .layers.registry import get_channel_layer
from .types import ASGIApp, Message

logger = logging.getLogger("consumers.worker")

# A connection ends on a client's disconnect after it has handled what it took. A channel has no event of its own.
END = {"type": "websocket.disconnect", "code": 1001, "reason": "the worker stops"}  # RFC 6455, 7.4.1: going away

LOOK_TIME = 1.0
"""Seconds that the layer has, when the worker stops, to give a message that it says is there."""

GIVE_BACK_TIME = 5.0
"""Seconds that the layer has, when the worker stops, to take back what no handler has got."""


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
        if hasattr(layer, "require_valid_channel_name"):  # foreign layers may have none
            for channel in self.channels:
                layer.require_valid_channel_name(channel)
        self.is_stopping = False
        self._runs: dict[str, _Run] = {}
        self._backlogs = {channel: Backlog(self.layer, channel) for channel in self.channels}
        self._deadline = math.inf
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
            bool: whether it stopped after the first signal, or by itself.

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
        self._all_ready.set()
        self._deadline = anyio.current_time() + self.disconnect_timeout
        for backlog in self._backlogs.values():
            if self._not_ready:
                backlog.abandon()
            else:
                backlog.close()
        for run in self._runs.values():
            run.scope.deadline = self._deadline
            run.wake()
        for scope in self._waits:
            scope.cancel()

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
            while not self.is_stopping or (backlog and anyio.current_time() < self._deadline):
                run = self._runs[channel] = _Run(self, channel, backlog)
                run.scope.deadline = self._deadline
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


class Backlog:
    """A channel's messages that the worker answers for, as it is the only one that has them.

    Args:
        layer: the layer.
        channel: the channel's name.

    Attributes:
        taken: what was taken from the layer and no handler has got, oldest first.
    """

    def __init__(self, layer: BaseChannelLayer, channel: str) -> None:
        self.taken: deque[Message] = deque()
        self._layer = layer
        self._channel = channel
        self._is_receiving = False
        self._last: int | None = None  # how many more to take from the layer; None: all that come

    def __bool__(self) -> bool:
        return bool(self.taken or self._last)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to be taken from the layer."""
        return self._last == 0

    def close(self) -> None:
        """Take no more than what waits in this process now, and would be lost with it."""
        if not self._is_receiving:  # else that may have got one, and gives it back when it is cancelled
            self._last = self._layer.held(self._channel) if hasattr(self._layer, "held") else 0

    def abandon(self) -> None:
        """Take nothing more."""
        self._last = 0

    async def take(self, worker: Worker) -> None:
        """Take a message from the layer, unless the worker stops before there is one."""
        if self._last is None:
            self._is_receiving = True
            try:
                with worker.until_stop():
                    self.taken.append(await self._layer.receive(self._channel))
            finally:
                self._is_receiving = False
                if worker.is_stopping:
                    self.close()
        elif self._last:
            self._last -= 1
            with anyio.move_on_after(LOOK_TIME):
                self.taken.append(await self._layer.receive(self._channel))

    async def give_back(self) -> None:
        """Put what no handler has got back to where it was taken from, or say in the log that it is left."""
        left = (self._last or 0) + len(self.taken)
        with anyio.move_on_after(GIVE_BACK_TIME, shield=True):
            while self.taken:
                message = self.taken.pop()  # the newest first, as each is put before the others
                with suppress(Exception):  # a layer that is lost, or has no such method: it is counted below
                    await self._layer.put_back(self._channel, message)
                    left -= 1
        if left:
            logger.error("channel %r: %d message(s) are left that no handler has got", self._channel, left)


class _Run:
    """One life of the application for one channel; holds the `receive` and `send` it is called with."""

    def __init__(self, worker: Worker, channel: str, backlog: Backlog) -> None:
        self.scope = anyio.CancelScope()
        self.has_received = False
        self._worker = worker
        self._channel = channel
        self._backlog = backlog
        self._given = 0  # of the backlog
        self._wanted = math.inf
        self._change = anyio.Event()
        self._has_ended = False

    async def __call__(self) -> None:
        extension = {"want": self._want, "handed": self._handed}
        scope = {"type": "channel", "channel": self._channel, "extensions": {events.WORKER: extension}}
        with self.scope:
            await self._worker.application(scope, self._receive, self._send)
        if self.scope.cancelled_caught and not self._has_ended:
            logger.warning(
                "channel %r: the application was cancelled: it was too busy to end within %s s",
                self._channel,
                self._worker.disconnect_timeout,
            )

    def wake(self) -> None:
        """Have `receive()` look again whether there is something to return."""
        change, self._change = self._change, anyio.Event()
        change.set()

    def _want(self, messages: int) -> None:
        self._wanted = messages + (0 if self._wanted == math.inf else self._wanted)
        self.wake()

    def _handed(self) -> None:
        self._backlog.taken.popleft()
        self._given -= 1

    async def _receive(self) -> Message:
        worker, backlog = self._worker, self._backlog
        worker.note_ready(self._channel)
        await worker.all_ready()
        while not worker.is_stopping or self._given < len(backlog.taken) or not backlog.is_closed:
            if not self._wanted:
                await self._change.wait()
            elif self._given < len(backlog.taken):
                return self._give(backlog.taken[self._given])
            else:
                await self._take()
        if self._has_ended:  # an application that knows no end, and is idle now
            self.scope.cancel()
            await anyio.sleep_forever()
        self._has_ended = True
        self.scope.deadline = math.inf
        return dict(END)

    async def _take(self) -> None:
        try:
            await self._backlog.take(self._worker)
        except Exception:  # not the application's fault: what it does meanwhile goes on
            logger.exception(
                "channel %r: the layer failed and is asked again in %s s", self._channel, self._worker.restart_delay
            )
            await self._worker.pause()
        taken = self._backlog.taken
        if self._given < len(taken) and not self._is_sound(taken[-1]):
            taken.pop()

    def _give(self, message: Message) -> Message:
        self.has_received = True
        self._given += 1
        if self._wanted == math.inf:
            self._handed()
        else:
            self._wanted -= 1
        return message

    def _is_sound(self, message: Message) -> bool:
        kind = message.get("type")
        if isinstance(kind, str) and kind not in events.DISCONNECTS:
            return True
        logger.warning("channel %r: a message was dropped, its type is %.80r", self._channel, kind)
        return False

    async def _send(self, event: Message) -> None:
        raise RuntimeError(
            f"self.send() in a worker: channel {self._channel!r} has no client to send {event.get('type')!r} to. "
            "Answer by channel_layer.send() or group_send()"
        )
