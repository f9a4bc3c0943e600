"""One connection's life.

The server's own task is the reader: it awaits `receive()` and nothing else. A child task, the worker, runs
`connect`, the handlers and `disconnect`; it is shielded from whatever happens to the server's task, so that
every ending, of which there are many, takes the one way through `_clean_up` and `_finish`:

    client's disconnect      ──┐ drains: waiting messages are handled, for at most `disconnect_timeout`
    handler's error          ──┤
    StopConsumer             ──┤ these cancel the handlers at once
    a limit was hit          ──┤
    close_group()            ──┤
    the server's cancellation──┘
          → close frame → tasks and threads have ended → websocket_disconnect() → detach → the error leaves
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio

from .._aio import cancel
from .._aio.loops import pauses
from .._aio.mailbox import FROM_LAYER
from ..layers._overrides import is_pumped
from ..layers.base import BaseChannelLayer
from ..limits import LimitedLayer
from ..types import CloseCode, Deliver, Message, Receive, Send
from . import events
from .backlog import Taken
from .dispatch import table_of
from .enforce import LimitHit
from .frames import FRAME, Frames
from .sender import State
from .shutdown import INTERNAL_ERROR_REASON, CloseRequest, EndingConnection, Handler
from .undecided import Undecided

logger = logging.getLogger("consumers.connection")


class Connection(EndingConnection):
    """Runs one consumer for one connection; its arguments are those of `EndingConnection`."""

    _starting = 0  # handler tasks that have not taken their message yet
    _is_done = False  # the worker
    _worker_ended: anyio.Event | None = None  # while the reader waits for that
    _calls_handlers = False  # `dispatch()` is left out
    _gives_text: bool | None = None  # whether `websocket_receive()` is, for text frames

    def __init__(self, consumer: Handler, receive: Receive, send: Send) -> None:
        super().__init__(consumer, receive, send)
        self._table = table_of(type(consumer))
        if consumer.raw_frames and not hasattr(consumer, "websocket_send"):
            self._frames = Frames(self._sender, type(consumer))
        if self._protocol == "channel":
            source = (consumer.scope.get("extensions") or {}).get(events.WORKER)
            self._taken = Taken(source, consumer.max_tasks) if source is not None else None

    async def run(self) -> None:
        """Live the connection's life, in the server's task.

        Raises:
            Exception: whatever a handler raised, as it was raised.
        """
        self._reader = cancel.current_task()
        try:
            async with anyio.create_task_group() as self._tasks:
                self._scope = self._make_scope()
                self._tasks.start_soon(self._work, name=type(self._consumer).__qualname__)
                if self._enforcer is not None:
                    self._enforcer.start(self._tasks, self._protocol == "websocket")
                await self._mailbox.feed(self._read())
        finally:
            if self._forced is not None:
                self._forced.forget(self)
            if self._taken is not None:
                self._taken.source.give_back(self._taken.among(self._mailbox.messages))
            error, self._error = self._error, None
            self._let_go()
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback refers to this frame

    def start_background_task(self, function: Callable[..., Awaitable[Any]], *args: Any) -> anyio.CancelScope:
        """Run `function` until it returns or the connection ends; its exception counts as a handler's."""
        scope = anyio.CancelScope()
        if self._close_request is None:
            if self._background is None:
                self._background = set()
            self._background.add(scope)
            self._tasks.start_soon(self._run_background_task, scope, function, args)
        else:
            scope.cancel()
        return scope

    @property
    def is_over(self) -> bool:
        """Whether `run()` has ended."""
        return not hasattr(self, "_consumer")

    @property
    def _deliver(self) -> Deliver:
        """What takes the channel layer's messages."""
        return self._mailbox

    def close_by_group(self, code: int, reason: str) -> None:
        """End at once, because a group that this connection is in was closed."""
        if self._close_request is None:
            self._log.closed_by_group(code, reason)
        self._end(CloseRequest(code, reason, rejects=True))

    # The reader

    async def _read(self) -> None:
        """Put the client's messages into the mailbox until it disconnects, or is to be read no more."""
        receive, disconnects, mailbox = self._receive, events.DISCONNECTS, self._mailbox
        is_watched = self._enforcer is not None
        try:
            if self._protocol == "channel":
                message = await self._read_channel()
            else:
                while (message := await receive()).get("type") not in disconnects:
                    if is_watched and self._refuses(message):
                        return
                    mailbox.put(message)
                    del message  # an idle connection is not to keep it
                    if mailbox.is_full and not await self._wait_for_room():
                        return
            self._on_disconnect(message)
            self._mailbox.notify_now()  # most connections end within
            if not self._is_done:
                self._worker_ended = anyio.Event()
                await self._worker_ended.wait()  # here, so that a cancellation is seen while the worker drains
        except Exception as error:
            self._end(CloseRequest(CloseCode.ABNORMAL_CLOSURE), error)
        except BaseException:
            self._end(CloseRequest(self._sender.close_code or CloseCode.SERVICE_RESTART))
            raise

    async def _read_channel(self) -> Message:
        """Put the messages of a worker's channel, which are a layer's, into the mailbox until the worker stops."""
        if self._taken is not None:
            self._taken.source.serve(self._free_handlers)
        while (message := await self._receive()).get("type") not in events.DISCONNECTS:
            if self._taken is not None:
                self._taken.add(message)
                self._mailbox.put_anyhow(message)  # a handler was free
                del message  # an idle channel is not to keep it
                continue
            while not self._mailbox.put_layer(message):
                await self._mailbox.wait_for_layer_room()
            del message
            await self._mailbox.wait_for_layer_room()  # what there is no room for stays in the layer
        return message

    def _free_handlers(self) -> int:
        return self._consumer.max_tasks - self._running - len(self._mailbox.messages) + self._starting

    def _on_disconnect(self, message: Message) -> None:
        code = message.get("code")
        code = CloseCode.NO_STATUS_RECEIVED if code is None else code
        drains = code != CloseCode.SERVICE_RESTART  # uvicorn's shutdown
        own = self._sender.lost(code)
        code = code if self._consumer._codes_as_reported else own
        self._end(CloseRequest(code, message.get("reason") or "", drains=drains))

    def _refuses(self, message: Message) -> bool:
        return self._enforcer is not None and self._enforcer.refuses(message)

    async def _wait_for_room(self) -> bool:
        """Wait until more may be read; return False if it is never to be."""
        if self._close_request is not None:
            return False
        if self._enforcer is not None:
            self._enforcer.pause()
        with anyio.move_on_after(self._consumer.stall_timeout):
            await self._mailbox.wait_for_room()
            if self._enforcer is not None:
                self._enforcer.resume()
            return True
        limit = f"no message was taken for {self._consumer.stall_timeout} s while {len(self._mailbox.messages)} wait"
        self._end_by_limit(LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "the server is busy with your earlier messages"))
        return False

    # The worker

    async def _work(self) -> None:
        """Serve, then finish, in a shield against what happens to the server's task.

        That is a scope which can be cancelled when the connection ends; if it is, the clean-up has one of its own.
        """
        cancel.note_current_task(self.own_tasks)
        try:
            with self._scope:
                await self._serve()
                if not self._scope.cancel_called:  # as after most disconnects: one scope will do
                    await self._clean_up()
        except Exception as error:
            self._end(CloseRequest(CloseCode.INTERNAL_ERROR), error)
        except BaseException:
            if self._close_request is None:
                logger.info("%s ends: its worker was cancelled by something else than the server", self._log)
            self._end(CloseRequest(CloseCode.SERVICE_RESTART))
            raise
        finally:
            try:
                if not self._is_finishing:
                    with self._make_scope() as self._scope:
                        await self._clean_up()
            finally:
                self._finish()
                self._is_done = True
                if self._worker_ended is not None:
                    self._worker_ended.set()

    async def _serve(self) -> None:
        """Attach to the layer, let the consumer connect, and handle messages until the connection ends."""
        if (layer := self._consumer.channel_layer) is not None:
            self._attach(layer, await layer.new_channel() if is_pumped(layer) else None)
        if not await self._serve_first():
            return
        if self._taken is not None and self._consumer.max_tasks == 1:
            await self._serve_channel()
        elif self._consumer.max_tasks == 1:
            await self._serve_in_turn()
        else:
            await self._serve_at_once(self._consumer.max_tasks)

    def _attach(self, layer: BaseChannelLayer, channel_name: str | None) -> None:
        """Let the layer hand its messages over; if it is one to be pumped, those of a new channel of its."""
        deliver = self._deliver
        if channel_name is None:
            close = (self.close_by_group,) if hasattr(layer, "close_group") else ()  # foreign layers may lack it
            self._consumer.channel_name = layer.attach(deliver, *close)
        else:
            self._consumer.channel_name = channel_name
            if hasattr(layer, "adopt"):
                layer.adopt(channel_name, self.close_by_group)
            self.start_background_task(self._pump, layer, deliver)
        if (most := self._consumer.max_groups) is not None and hasattr(layer, "group_add"):
            self._consumer.channel_layer = cast(
                BaseChannelLayer, LimitedLayer(layer, self._consumer.channel_name, most)
            )
        if hasattr(layer, "get_capacity"):  # foreign layers may have none
            self._mailbox.layer_limit = layer.get_capacity(self._consumer.channel_name)

    async def _pump(self, layer: BaseChannelLayer, deliver: Deliver) -> None:
        """Call a layer's `receive()` where that stands in for `attach()`; what there is no room for waits in it."""
        try:
            while True:
                await self._mailbox.wait_for_layer_room()
                deliver(await layer.receive(self._consumer.channel_name))
        except Exception as error:
            self._end(CloseRequest(CloseCode.INTERNAL_ERROR, INTERNAL_ERROR_REASON), error)

    async def _serve_first(self) -> bool:
        """Handle the event that opens a WebSocket, alone; return False if the connection ends before anything came."""
        while not self._mailbox.messages:
            if self._close_request is not None:
                return False
            await self._mailbox.wait()
        self._connected = True
        if self._protocol == "websocket":
            message, size = self._mailbox.take()
            await self._handle(message, size != FROM_LAYER)
            self._mailbox.release(size)
            if self._sender.is_rejected and self._close_request is None:  # not every server reports a disconnect then
                code = None if self._consumer._codes_as_reported else self._sender.close_code
                self._end(CloseRequest(code or CloseCode.ABNORMAL_CLOSURE))
            if self._sender.state is State.CONNECTING and self._close_request is None:
                self._undecided = Undecided(self._sender, self._log.undecided, self._tasks)
        return True

    async def _serve_in_turn(self) -> None:
        turns = self._consumer._turns_between
        if turns and (self._mailbox.messages or self._mailbox.is_closed):
            await pauses(turns)
        self._calls_handlers = self._table.passes_on(self._consumer, "dispatch")
        await self._mailbox.serve(self._handling, self._fail, turns)

    async def _serve_channel(self) -> None:
        """Handle one message of a worker's channel after the other; it gives the next one when that is done."""
        while await self._serve_first() and not self._mailbox.is_stopped:
            self._running += 1
            await self._handle_next()

    async def _handle_next(self) -> None:
        """Handle the oldest message, as one of the handlers that run."""
        try:
            if self._mailbox.messages and not self._mailbox.is_stopped:
                message, size = self._mailbox.take()
                try:
                    await self._handle(message, size != FROM_LAYER)
                finally:
                    self._mailbox.release(size)
        finally:
            self._running -= 1
            self._mailbox.notify()
            if self._taken is not None:
                self._taken.source.changed()

    async def _serve_at_once(self, max_tasks: int) -> None:
        while True:
            while self._running < max_tasks and self._starting < len(self._mailbox.messages):
                self._running += 1
                self._starting += 1
                self._tasks.start_soon(self._run_handler)
            if self._close_request is not None and not self._mailbox.messages and not self._running:
                return
            await self._mailbox.wait()

    async def _run_handler(self) -> None:
        self._starting -= 1
        with cancel.noted(self.own_tasks):
            await self._handle_next()

    async def _run_background_task(
        self, scope: anyio.CancelScope, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope, cancel.noted(self.own_tasks):
                await self._guard(function, args, None)
        finally:
            if self._background is not None:
                self._background.discard(scope)
            self._mailbox.notify()

    async def _handle(self, message: Message, is_clients: bool) -> None:
        try:
            handling = self._handling(message, is_clients)
            if handling is not None:
                await handling
        except BaseException as error:
            await self._fail(error, message)

    def _handling(self, message: Message, is_clients: bool) -> Awaitable[None] | None:
        """Return what handles a message, to be awaited at once; None if nothing does.

        Raises:
            TypeError: the handler is a plain function.
        """
        consumer: Any = self._consumer
        name = "dispatch"
        handling: Awaitable[None] | None
        if is_clients:
            if self._calls_handlers and message["type"] == "websocket.receive" and self._takes_text(message):
                name = "receive"
                handling = consumer.receive(text_data=message["text"])
            else:
                handling = consumer.dispatch(message)
        elif (found := self._table.handler_of(message)) is not None:
            if self._calls_handlers and found in self._table.direct:
                name = found
            handling = getattr(consumer, name)(message)
        elif self._frames is not None and message.get("type") == FRAME:
            return self._frames.send(message)
        elif self._table.accepts(consumer, message, consumer.strict_types):
            handling = consumer.dispatch(message)
        else:
            return None
        if handling is None:
            raise TypeError(f"{type(consumer).__name__}.{name}() must be `async def`: this is an async consumer")
        return handling

    def _takes_text(self, message: Message) -> bool:
        """Tell whether a frame is a text that `receive()` can be given, without `websocket_receive()`."""
        if self._gives_text is None:  # not before the first frame, so that `connect()` may replace them
            self._gives_text = self._table.gives_text(self._consumer)
        return self._gives_text and message.get("text") is not None
