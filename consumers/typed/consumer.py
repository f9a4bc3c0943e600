"""The typed consumers: what comes in is a model, and so is what goes out.

The logic is written once, in `Typed` and `TypedConsumer`; the sync class offers the same methods to worker threads.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from .._connection.events import Headers
from .._connection.groups import require_groups
from .._connection.log import log_once
from .._connection.positions import AT, Place
from .._connection.shared import relays_by
from .._sync import awaitable, maybe_await, run_on_loop, sync_method
from ..consumer import AsyncConsumer
from ..exceptions import InvalidFrame
from ..layers import _adapt
from ..layers._history import Joined
from ..types import CloseCode, Message, Receive, Scope, Send, hook
from ..websocket import AsyncWebsocketConsumer, WebsocketConsumer
from .contract import Contract, Handler, contract_of
from .expiry import Expiry, checked_time
from .frames import FRAME, answer_text, as_json, frame_of, id_text
from .handlers import marked_names
from .incoming import MessageId
from .passing import MODELS, text_of
from .problems import FAILED, INVALID, RATE_LIMITED, Problem, error_text
from .recovery import (
    LONGEST_PING,
    PONG,
    SUBPROTOCOL,
    Client,
    Handled,
    checked_label,
    gap_text,
    handled_by,
    handling,
    is_ping,
    joined_text,
    with_place,
)


class Typed(AsyncConsumer):
    """What both kinds of typed consumers have, and none of them does in another way."""

    sends: ClassVar[Any] = None
    """What the client gets: a model, or a union of models (None: only answers of the framework's own)."""

    id_key: ClassVar[str] = "id"
    """The key under which a client's message may have an id, which the answer to it repeats ("id")."""

    max_invalid: int = 10
    """How many messages in a row may be invalid (10). The last of them closes the connection with 1008."""

    expires_notice: float = 60.0
    """Seconds before `expires_at` at which the client gets `{"type": "expires", "in": seconds}` (60.0)."""

    max_message_size: int | None = 1024 * 1024
    """Bytes of one message of the client's (1 MiB). A larger one closes the connection with 1009."""

    _open_to_layers: ClassVar[frozenset[str]] = frozenset({FRAME.replace(".", "_"), "layer_gap"})
    _contract: Contract
    _expires_at: datetime | None = None
    _expiry: Expiry | None = None
    _invalid: int = 0  # messages in a row
    _known_client: Client | None = None
    _owes_pong = False
    _full_at: dict[str, float] | None = None  # by handler: when as many messages may come at once as ever

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the handlers of models from messages of a layer, which may be a client's that was passed on."""
        super().__init_subclass__(**kwargs)
        cls._closed_to_layers = marked_names(cls)

    @classmethod
    def _check_class(cls) -> None:
        super()._check_class()
        contract_of(cls)

    def _run_connection(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self._contract = contract_of(type(self))
        return super()._run_connection(scope, receive, send)

    @property
    def message_id(self) -> str | None:
        """A name for the message that this handler handles, the same if the client sends it again after a cut.

        It has 40 characters. No message of another client or user has it. None outside of handlers of `@on`, and if the
        client has not given the message an id, or itself a key.
        """
        handled = handled_by(self)
        return None if handled is None or handled.id is None else self._client.message_id(handled.id)

    @property
    def _client(self) -> Client:
        if self._known_client is None:
            self._known_client = Client(self.scope)
        return self._known_client

    @property
    def expires_at(self) -> datetime | None:
        """When the client's token expires, an aware datetime; None, the default, is never.

        Set it in `connect()`, and again in the handler that takes a new token. When the time has come the connection is
        closed with 4401.

        Raises:
            TypeError: it is set to something else.
            ValueError: it is set to a time without a zone.
            RuntimeError: it is set before `connect()`.
        """
        return self._expires_at

    @expires_at.setter
    def expires_at(self, value: datetime | None) -> None:
        checked = checked_time(value)
        if not hasattr(self, "_connection"):
            raise RuntimeError("expires_at is about a connection: set it in connect(), or later")
        self._expires_at = checked
        self._on_loop(self._set_expiry)

    def _set_expiry(self) -> None:
        if self._expiry is None:
            self._expiry = self._connection.expiry = Expiry(self._connection, self.expires_notice, self._tell_expiry)
        self._expiry.set(self._expires_at)

    def _tell_expiry(self, seconds: int) -> None:
        text = json.dumps({"type": "expires", "in": seconds})
        self._connection.start_background_task(self._send_if_open, text)

    def _on_loop(self, function: Any) -> None:
        function()

    async def _on_error(self, exc: Exception, message: Message | None) -> None:
        await super()._on_error(exc, message)
        if message is not None and message.get("type") == "websocket.receive" and isinstance(message.get("text"), str):
            # The connection lives on, and its client waits for an answer.
            id = self._contract.incoming.id_of(message["text"])
            await self._send_if_open(error_text(Problem(FAILED), id))

    def _takes_early(self, message: Message) -> bool:
        """Have a ping answered at once: a handler may run for longer than the client would wait."""
        text = message.get("text")
        if text is None or len(text) > LONGEST_PING or ("ping" not in text and "\\u" not in text) or not is_ping(text):
            return False
        if not self._owes_pong:
            self._owes_pong = True
            self._connection.start_background_task(self._send_pong)
        return True

    async def _send_pong(self) -> None:
        await self._send_if_open(PONG)
        self._owes_pong = False

    async def _send_if_open(self, text: str) -> None:
        """Send a text, on the event loop."""
        if self._connection.is_open:
            await self._connection.send({"type": "websocket.send", "text": text})

    def _place_after(self, event: Mapping[str, Any]) -> Place | None:
        """Return where the client is when it has got a group's event; None if it is not to know."""
        return None if self._known_client is None else self._known_client.place_after(event)

    def _id_for(self, group: str) -> str | None:
        """Return the id of the next message to a group that the handler sends; None if it needs none."""
        message_id = self.message_id
        if message_id is None or not _adapt.remembers(self.channel_layer, group):
            return None
        handled = handled_by(self)
        assert handled is not None
        handled.sends += 1
        return f"{message_id}.{handled.sends}"

    def _is_too_fast(self, handler: Handler) -> bool:
        """Count a message against its handler's rate limit."""
        if self._full_at is None:
            self._full_at = {}
        now = monotonic()
        full_at = max(self._full_at.get(handler.name, 0.0), now)
        if full_at - now > handler.slack:
            return True
        self._full_at[handler.name] = full_at + handler.interval
        return False


class TypedConsumer(Typed, AsyncWebsocketConsumer):
    """A WebSocket consumer of models: `@on` marks the methods that handle them, `sends` says what the client gets.

    A message is an object in JSON, whose `type` says which model it is. Anything else is answered with an error.
    """

    async def accept(self, subprotocol: str | None = None, headers: Headers | None = None) -> None:
        """Accept the handshake, as of `AsyncWebsocketConsumer`. Without `subprotocol`, "consumers.v1" if offered."""
        if subprotocol is None and SUBPROTOCOL in (self.scope.get("subprotocols") or ()):
            subprotocol = SUBPROTOCOL
        await AsyncWebsocketConsumer.accept(self, subprotocol, headers)

    async def join(self, group: str, label: str, last: int = 0) -> Joined:
        """Add this connection to a group that its client can go on with after a cut.

        The client is told, and where it is from then on: each of the group's messages has `"at": [label, position]`.
        When it connects again, it says the last position of each label; so check first what it may read.

        Args:
            group: the group's name, which the client does not get to know.
            label: what the client calls the group: 1 to 64 of `A-Z a-z 0-9 _ . -`. It stands for one group.
            last: how many of the newest messages come first, if the client has no position, or an unknown one.

        Returns:
            As the layer's `group_add()`.

        Raises:
            RuntimeError: before `accept()`, or after the connection's end.
            ValueError: the label is not valid.
            TypeError: one of `sends` has a field "at".
            TypeError, ValueError, TooManyGroups, InvalidChannelLayerError: as of `group_join()`.
        """
        checked_label(label)
        self._contract.require_without(AT)
        if not self._connection.is_open:
            if self._connection.is_ending:
                raise RuntimeError("join() at the end of the connection: its client hears of nothing any more")
            raise RuntimeError("join() before accept(): the client cannot be told where it is, call accept() first")
        client = self._client
        self._has_labels = True
        self._connection.note_labels()
        client.joins(group, label)
        layer = require_groups(self, "join()")
        since, is_member = client.since(label), _adapt.is_member(layer, group, self.channel_name)
        joined = await _adapt.join(layer, group, self.channel_name, None if is_member else since, last)
        if is_member and since is not None:  # what it has missed cannot come before what waits for it
            joined = joined._replace(recovered=False)
        told = client.has_joined(group, label, joined, since, is_member)
        await awaitable(self.send(text_data=joined_text(label, told)))
        return joined

    @hook
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Make a frame a model, and have it handled.

        Raises:
            InvalidFrame: a binary frame (close code 1003), or one more invalid message than may come in a row (1008).
        """
        if text_data is None:
            raise InvalidFrame(CloseCode.UNSUPPORTED_DATA, "binary frames are not accepted")
        contract = self._contract
        message, id, problem = contract.incoming.read_from_client(text_data)
        if message is None:
            await _refuse(self, problem or Problem(INVALID), id)
            return
        self._invalid = 0
        handler = contract.handler_of.get(type(message)) or contract.nearest_handler(message)
        if handler.interval and self._is_too_fast(handler):
            await awaitable(self.send(text_data=error_text(Problem(RATE_LIMITED), id)))
            return
        if id is None:
            answer = await awaitable(getattr(self, handler.name)(message))
        else:
            with handling(Handled(self, id)):
                answer = await awaitable(getattr(self, handler.name)(message))
        # A client that the handler has closed: send() ends this then.
        if answer is not None:
            if type(answer) not in contract.answers:
                contract.refuse_answer(answer, handler.name)
            await awaitable(self.send(text_data=answer_text(answer, id)))
        elif id is not None:
            await awaitable(self.send(text_data=f'{{"type":"ack","to":{id_text(id)}}}'))

    async def send_message(self, message: BaseModel) -> None:
        """Send a model to the client. In a handler of `@on_event` it says where in the group's history that is.

        Args:
            message: one of the class' `sends`.

        Raises:
            TypeError: it is something else.
            starlette.websockets.WebSocketDisconnect: the client has gone.
        """
        if type(message) not in self._contract.sent:
            self._contract.refuse_unsent(message, "what send_message() was given")
        text, handled = as_json(message).decode(), handled_by(self)
        if handled is not None and handled.place is not None:
            text = with_place(text, handled.place)
        await awaitable(self.send(text_data=text))

    async def group_send_message(
        self,
        group: str,
        message: BaseModel,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        """Send a model to the members of a group, encoded once for all of them.

        A member's `@on_event` handler for it gets it. Where there is none, its client does, if the member's class has
        it in `sends`.

        Args:
            group: the group's name.
            message: the model.
            id: names the message, 1 to 200 characters: one with the same `id` is not sent again for five minutes. None:
                in a group with history it is made of `message_id`, if there is one. So a message that the client sends
                again is not kept twice.
            keep: whether a group with history keeps the message (True).
            exclude: a channel that does not get it, or several (none). `self.channel_name` leaves out this connection.

        Returns:
            The message's position in the group's history; None if it is not kept.

        Raises:
            TypeError: it is no model, or has no type of its own; the layer's serializer is one that has no bytes.
            InvalidChannelLayerError: there is no channel layer, or it lacks one of the options.
        """
        call = "group_send_message()"
        frame = frame_of(message)
        if id is None and keep:
            id = self._id_for(group)
        position: str | None = await maybe_await(self._send_frame_to_group, call, group, frame, id, keep, exclude)
        return position

    async def consumers_message(self, event: Message) -> None:
        """Handle what `group_send_message()` has sent to a group."""
        tag, frame = event.get("tag"), event.get("frame")
        if type(frame) is not bytes or type(tag) is not str:
            log_once(
                type(self), f"one of type {FRAME!r} without bytes as its 'frame', which group_send_message() sends"
            )
            return
        contract, place = self._contract, self._place_after(event)
        if tag not in contract.event_tags:
            if tag in contract.sent_tags and self._connection.is_open:
                await awaitable(self.base_send({"type": "websocket.send", "text": text_of(frame, place)}))
            return
        try:
            message = contract.events.read(frame)
        except ValidationError as error:
            log_once(type(self), f"a frame of type {tag!r:.80} that is no such model ({error.error_count()} errors)")
            return
        handler = contract.event_handler_of.get(type(message)) or contract.nearest_handler(message, of_event=True)
        arguments = (message, event) if handler.takes_event else (message,)
        if place is None:
            await maybe_await(getattr(self, handler.name), *arguments)
            return
        with handling(Handled(self, place=place)):
            await maybe_await(getattr(self, handler.name), *arguments)

    async def layer_gap(self, event: Any) -> None:
        """Tell the client that messages of a group which it knows by a label are lost."""
        if self._known_client is not None and self._connection.is_open:
            for label in self._known_client.labels_of_gap(event["group"]):
                await awaitable(self.send(text_data=gap_text(label)))


relays_by(TypedConsumer.consumers_message, MODELS)


class SyncTypedConsumer(Typed, WebsocketConsumer):
    """The sync version of `TypedConsumer`: the same methods, as plain functions for worker threads."""

    accept = sync_method(TypedConsumer.accept)
    join = run_on_loop(TypedConsumer.join)
    receive = hook(sync_method(TypedConsumer.receive))
    send_message = sync_method(TypedConsumer.send_message)
    group_send_message = sync_method(TypedConsumer.group_send_message)
    consumers_message = sync_method(TypedConsumer.consumers_message)
    layer_gap = sync_method(TypedConsumer.layer_gap)

    def _on_loop(self, function: Any) -> None:
        self._threads.start_on_loop(function)


relays_by(SyncTypedConsumer.consumers_message, MODELS)


async def _refuse(consumer: Any, problem: Problem, id: MessageId | None) -> None:
    """Answer an invalid message, unless it is one too many."""
    consumer._invalid += 1
    if consumer._invalid >= consumer.max_invalid:
        raise InvalidFrame(CloseCode.POLICY_VIOLATION, f"{consumer._invalid} invalid messages in a row")
    await awaitable(consumer.send(text_data=error_text(problem, id)))
