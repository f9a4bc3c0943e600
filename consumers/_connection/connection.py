"""One connection's life.

The server's own task is the reader: it awaits `receive()` and nothing else. A child task, the worker, runs `connect`,
the handlers and `disconnect`. It is shielded from whatever happens to the server's task, so that every ending takes the
one way through `_work()`. `shutdown` has the endings, and the phases between the two.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette.websockets import WebSocketDisconnect

from .. import _observing
from .._aio import cancel
from .._aio.choice import make_mailbox
from .._aio.loops import Alarm, running_loop, set_alarm
from .._sync import Threads
from ..layers._adapt import Pump, attach_connection
from ..layers.registry import channel_layers
from ..limits import LimitedLayer
from ..types import CloseCode, ConnectionObserver, Receive, Send
from . import close_codes, events, open_connections
from .backlog import Taken
from .close_codes import CloseRequest, code_to_send
from .consumer import Consumer, Expires
from .dispatch import Dispatcher, table_of
from .enforce import LimitHit, make_enforcer, make_sender
from .errors import Errors
from .frames import Frames
from .log import ConnectionLog
from .reader import ChannelReader, Reader
from .scheduler import Scheduler
from .sender import CLOSE_TIMEOUT, CLOSED, State
from .shared import shortcut_of
from .shutdown import CLEANING_UP, DONE, DRAINING, Shutdown
from .tasks import Tasks
from .undecided import Undecided

logger = logging.getLogger("consumers.connection")

DEFAULT_CAPACITY = 100


class Connection:
    """Runs one consumer for one connection.

    Args:
        consumer: the consumer, with `scope` and `channel_layer` set.
        receive: the server's ASGI `receive`.
        send: the server's ASGI `send`.

    Attributes:
        threads: those of a sync consumer, which are waited for at the end.
        expiry: what ends it at a certain time, if anything does.
    """

    threads: Threads | None = None
    expiry: Expires | None = None
    _taken: Taken | None = None  # of a named channel
    _undecided: Undecided | None = None  # once connect() has returned without an answer to the handshake
    _observer: ConnectionObserver | None = None  # if one was in force when the connection began
    _connect_has_begun = False
    _disconnect_has_begun = False

    def __init__(self, consumer: Consumer, receive: Receive, send: Send) -> None:
        limits: Any = consumer
        self._consumer = consumer
        self._protocol: str = consumer.scope["type"]
        layer = consumer.channel_layer
        self._layer = None if layer is None else channel_layers.adapted(consumer.channel_layer_alias, layer)
        self._log = ConnectionLog(type(consumer), consumer.scope)
        if _observing.observer is not None:
            self._observer = _observing.observer.connection(type(consumer), consumer.scope)
        self._mailbox = make_mailbox(consumer.inbox_limit, consumer.inbox_bytes, DEFAULT_CAPACITY, self)
        self._mailbox.observer = self._observer
        self._tasks = Tasks(self._mailbox, self._log)
        self._shutdown = Shutdown(consumer, self._mailbox, self._tasks, self._log)
        self._enforcer = make_enforcer(limits, self._shutdown.begin_by_limit, send)
        close_timeout = min(CLOSE_TIMEOUT, consumer.cleanup_timeout / 4)
        can_deny = events.can_deny(consumer.scope)
        self._sender = make_sender(send, self._enforcer, limits, self, close_timeout, can_deny, self._observer)
        self._errors = Errors(consumer, self._protocol, self._tasks, self._sender, self._shutdown, self._log)
        self._reader = self._make_reader(receive)
        self._dispatcher = self._make_dispatcher()
        self._scheduler = Scheduler(consumer, self._mailbox, self._tasks, self._dispatcher, self._errors, self._taken)

    def _make_reader(self, receive: Receive) -> Reader:
        parts = self._consumer, receive, self._mailbox, self._sender, self._enforcer, self._shutdown, self._observer
        if self._protocol != "channel":
            return Reader(*parts)
        source = (self._consumer.scope.get("extensions") or {}).get(events.WORKER)
        if source is not None:
            self._taken = Taken(source, self._consumer.max_tasks)
        return ChannelReader(*parts, self._taken)

    def _make_dispatcher(self) -> Dispatcher:
        passes_on = self._consumer.raw_frames and not hasattr(self._consumer, "websocket_send")
        frames = Frames(self._sender, type(self._consumer), self._observer) if passes_on else None
        return Dispatcher(self._consumer, frames, self._observer)

    async def run(self) -> None:
        """Live the connection's life, in the server's task.

        Raises:
            Exception: whatever a handler raised, as it was raised.
        """
        here = open_connections.here() if self._protocol == "websocket" else None
        if self._observer is not None:
            self._observer.opened(self._mailbox.messages.__len__)
        try:
            if here is not None:
                here.add(self)
            async with anyio.create_task_group() as self._tasks.group:
                self._tasks.new_scope()
                self._tasks.group.start_soon(self._work, name=type(self._consumer).__qualname__)
                if self._enforcer is not None:
                    self._enforcer.start(self._tasks.group, self._protocol == "websocket")
                if self._taken is not None:
                    self._taken.source.serve(self._scheduler.free)
                await self._mailbox.feed(self._reader.read())
        finally:
            if here is not None:
                here.discard(self)
            try:
                if self._observer is not None:
                    self._tell_end(self._observer)
            finally:
                error = self._release()
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback refers to this frame

    async def _work(self) -> None:
        """Serve, then clean up: the worker's life, shielded from what happens to the server's task."""
        cancel.note_current_task(self._tasks.own_tasks)
        try:
            with self._tasks.scope:
                await self._attach()
                if await self._open():
                    await self._scheduler.serve()
                if not self._tasks.scope.cancel_called:  # as after most disconnects: one scope will do
                    await self._clean_up(self._shutdown.clean_up())
        except Exception as error:
            self._shutdown.begin_by_error(error)
        except BaseException:
            if not self.is_ending:
                logger.info("%s ends: its worker was cancelled by something else than the server", self._log)
            self._shutdown.begin(close_codes.by_cancellation(None))
            raise
        finally:
            try:
                if self._shutdown.phase < CLEANING_UP:
                    with self._tasks.new_scope():
                        await self._clean_up(self._shutdown.clean_up())
            finally:
                self._detach()
                self._log_losses()
                self._tasks.end_worker()

    @property
    def send(self) -> Send:
        """The function that sends an ASGI event."""
        return self._sender.send

    @property
    def is_open(self) -> bool:
        """Whether frames may be sent."""
        return self._sender.is_open

    @property
    def is_ending(self) -> bool:
        """Whether the connection is draining or past that."""
        return self._shutdown.phase >= DRAINING

    @property
    def is_done(self) -> bool:
        """Whether nothing of the connection is left."""
        return self._shutdown.phase is DONE

    def start_background_task(self, function: Callable[..., Awaitable[Any]], *args: Any) -> anyio.CancelScope:
        """Run `function` until it returns or the connection ends; its exception counts as a handler's."""
        scope = anyio.CancelScope()
        if self.is_ending:
            scope.cancel()
        else:
            self._tasks.start_in_background(scope, self._errors.guard, function, args)
        return scope

    def close_by_group(self, code: int, reason: str) -> None:
        """End at once, because a group that this connection is in was closed."""
        if not self.is_ending:
            self._log.closed_by_group(code, reason)
        self.end(code, reason)

    def end(self, code: int, reason: str) -> None:
        """End at once: handlers are cancelled, and the client gets this close code and reason."""
        self._shutdown.begin(close_codes.at_once(self._sender.close_code or code, reason))

    def _drain(self, reason: str, at_once: bool) -> None:
        if at_once or self._sender.state is State.CONNECTING:
            self.end(CloseCode.SERVICE_RESTART, reason)
        elif not self.is_ending:
            self._shutdown.begin(close_codes.by_drain(self._sender.close_code, reason))
            self._mailbox.notify()

    def note_labels(self) -> None:
        """Note that the client knows groups by labels: frames say where it is, and are not those of others."""
        if self._mailbox.shortcut is not None:
            self._mailbox.shortcut.common = None

    def set_alarm(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        """Call a plain function later, on the connection's event loop, unless the alarm is cancelled before."""
        return set_alarm(seconds, ring, self._tasks.group, running_loop())

    # The channel layer

    async def _attach(self) -> None:
        """Have the layer's messages come to the mailbox."""
        layer, consumer = self._layer, self._consumer
        if layer is None:
            return
        mailbox = self._mailbox
        name, pump = await attach_connection(
            layer, mailbox, self.close_by_group, mailbox.room, mailbox.wait_for_layer_room
        )
        consumer.channel_name = name
        if pump is not None:
            self.start_background_task(self._pump, pump)
        if consumer.max_groups is not None and "group_add" not in layer.lacks:
            groups_of = None if "groups_of" in layer.lacks else layer.groups_of
            consumer.channel_layer = LimitedLayer(consumer.channel_layer, name, consumer.max_groups, groups_of)
        mailbox.layer_limit = layer.get_capacity(name)

    async def _pump(self, pump: Pump) -> None:
        try:
            await pump()
        except Exception as error:  # the layer's, and no handler's
            self._shutdown.begin_by_error(error)

    def _detach(self) -> None:
        channel_name = self._consumer.channel_name
        if channel_name and self._layer is not None:
            try:
                self._layer.detach(channel_name)
            except Exception:
                logger.exception("%s: the layer could not detach %s", self._log, channel_name)

    # The worker

    async def _open(self) -> bool:
        """Wait for the first message; return False if the connection ends before. `connect()` handles it, alone."""
        if not await self._mailbox.wait_for_message():
            return False
        self._connect_has_begun = True
        base_send = self._consumer.base_send
        if self._protocol == "websocket":
            await self._scheduler.handle_oldest()
            if self._sender.is_rejected and not self.is_ending:  # not every server reports a disconnect then
                code = None if self._consumer._codes_as_reported else self._sender.close_code
                self._shutdown.begin(close_codes.by_rejection(code))
            elif self._sender.state is State.CONNECTING and not self.is_ending:
                self._undecided = Undecided(self._sender, self._warn_undecided, self._tasks.group)
        self._shutdown.opened()
        if self.expiry is not None:
            self.expiry.opened()
        if self._observer is None and self._protocol == "websocket" and not self.is_ending:
            table, raw_frames = table_of(type(self._consumer)), self._dispatcher.has_raw_frames
            self._mailbox.shortcut = shortcut_of(self._consumer, base_send, table.relays, table.names, raw_frames)
        return True

    async def _clean_up(self, request: CloseRequest) -> None:
        """Close, wait for what still runs, and call `disconnect()`."""
        if self._enforcer is not None:
            self._enforcer.stop()
        if self._undecided is not None:
            self._undecided.stop()
        if self.expiry is not None:
            self.expiry.stop()
        await self._close(request)
        if self._tasks.is_running:
            await self._tasks.wait(self._consumer.cleanup_timeout / 2)
        if self.threads is not None:
            await self.threads.wait()
        await self._close(request)  # a handler that outlived its cancellation may have accepted meanwhile
        self._disconnect_has_begun = True
        if self._connect_has_begun:
            await self._disconnect(request)

    async def _close(self, request: CloseRequest) -> None:
        """Tell the client, unless somebody has: without a close frame it would see 1006."""
        if self._protocol != "websocket" or self._sender.state is CLOSED:
            return
        if self._sender.state is State.CONNECTING and not request.rejects:
            return
        try:
            await self._sender.end(code_to_send(request.code, self._sender.is_open), request.reason)
        except WebSocketDisconnect:
            pass
        except Exception:
            logger.exception("%s: the server refused a close frame", self._log)

    async def _disconnect(self, request: CloseRequest) -> None:
        """Tell the consumer of its end, if it has a handler for that."""
        handler = events.DISCONNECT_HANDLERS.get(self._protocol)
        if handler is not None and hasattr(self._consumer, handler):
            message = {"type": f"{self._protocol}.disconnect", "code": request.code, "reason": request.reason}
            await self._errors.guard(self._dispatcher.dispatch, (message,), message)

    def _warn_undecided(self, seconds: float) -> None:
        if not self.is_ending:
            self._log.undecided(seconds)

    def _log_losses(self) -> None:
        """Say in the log what could not be done as it should."""
        request, cancelled = self._shutdown.request, self._errors.cancelled
        assert request is not None
        if self._tasks.scope.cancelled_caught:
            self._log.clean_up_was_cut(self._consumer.cleanup_timeout, self._disconnect_has_begun)
        is_unanswered = self._protocol == "websocket" and self._connect_has_begun and not self._sender.answered
        was_warned_of = self._undecided is not None and self._undecided.was_warned_of
        if request.drains and is_unanswered and not was_warned_of:
            self._log.left_unanswered()
        waiting = len(self._mailbox.messages)
        if self._taken is not None:  # which gives them back
            waiting -= len(self._taken.among(self._mailbox.messages))
        if request.limit:
            self._log.limit_hit(request.code, request.limit, cancelled, waiting)
        elif cancelled or waiting:
            self._log.dropped(request.code, cancelled, waiting)

    def _tell_end(self, observer: ConnectionObserver) -> None:
        """Have the observer see what was dropped, and how the connection ended."""
        waiting = [entry[0] for entry in self._mailbox.messages if isinstance(entry, tuple)]
        opens = sum(event.get("type") not in events.FROM_CLIENT for event in waiting)  # and these are no messages
        observer.dropped("ending", len(self._mailbox.messages) - opens)
        observer.dropped("handler_cancelled", self._errors.cancelled)
        request, code = self._shutdown.request, None
        if self._protocol == "websocket":
            code = self._sender.close_code
            if code is None:
                code = CloseCode.ABNORMAL_CLOSURE if request is None else request.code
        observer.closed(code, self._sender.is_rejected)

    def _release(self) -> Exception | None:
        """Let go of all that refers to this, and return the error that ended it.

        What has ended is not to wait for the garbage collector, which takes its time.
        """
        self._tasks.have_ended()
        if self._taken is not None:
            self._taken.source.give_back(self._taken.among(self._mailbox.messages))
        self._sender.release()
        if self._enforcer is not None:
            self._enforcer.release()
        self._enforcer = self._mailbox.owner = self._mailbox.shortcut = None
        for part in (self._reader, self._errors, self._dispatcher, self._scheduler):
            part.release()
        del self._consumer
        return self._shutdown.release()

    # What its parts tell it

    def _on_sender_change(self, close_code: int | None) -> None:
        """Watch the open socket; of a closed one, the server has a while to report the disconnect that must follow."""
        if close_code is None:
            if self._enforcer is not None:
                self._enforcer.opened()
            return
        self._mailbox.shortcut = None
        if not self.is_ending:
            if self._enforcer is not None:
                self._enforcer.stop()
            self._tasks.expect_disconnect(self._consumer.disconnect_timeout)

    def _on_layer_room(self) -> None:
        if self._layer is not None and not self.is_ending:
            try:
                self._layer.resume(self._consumer.channel_name)
            except Exception:  # the layer's, within the step in which a message is taken
                logger.exception("%s: the layer could not resume %s", self._log, self._consumer.channel_name)

    def _on_overflow(self) -> None:
        if self._consumer.overflow == "close":
            limit = f"{self._mailbox.layer_limit} layer messages wait"
            hit = LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "messages come faster than you read")
            self._shutdown.begin_by_limit(hit)
