"""The channel-layer contract, the rules for names, and capacities."""

import fnmatch
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from .._aio.loops import call_soon as call_soon
from .._aio.loops import running_loop as running_loop
from ..types import CallObserver, Close, Deliver, Message, Room, handler_name
from ._checks import DEFAULT_CODE as DEFAULT_CODE
from ._checks import EXAMPLE, GOES_TO, refuse_history, refuse_presence, what_is_wrong
from ._checks import closing as closing
from ._checks import positive as positive
from ._history import EXCLUDE, History, HistoryRules, Joined, Retention
from ._options import checked_exclusion as checked_exclusion
from ._options import require_unmarked
from ._options import without_history as without_history
from ._overrides import RULES_FOR_NAMES, overrides
from ._parts import Remembers, WhoIsThere
from ._presence import PresenceRule, presence_options


class BaseChannelLayer:
    """The base of channel layers as Channels has them: a subclass overrides those methods that it has.

    Consumers get its messages by `receive()`, which is called in a loop for each. A layer that hands messages over as
    they arrive derives from `Layer`, which is the whole contract.

    Args:
        expiry: seconds until a message that nobody has received is dropped.
        capacity: how many messages a channel holds.
        channel_capacity: other capacities by channel name, as globs ("http.request!*") or compiled regular
            expressions; the first that matches counts.
        history: which groups remember their messages, where a layer can have that.
        presence: see `PresenceOptions`, where a layer can have that.

    Raises:
        TypeError: if expiry or a capacity is no number, or `history` or `presence` is no such dict.
        ValueError: if one is not positive, or `history` or `presence` has a value that cannot be.
    """

    MAX_NAME_LENGTH: ClassVar[int] = 100
    """Names have fewer characters than this (100)."""

    extensions: ClassVar[list[str]] = []
    """Which extensions of Channels' specification the layer has: "groups", "flush"."""

    channel_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+(![a-zA-Z0-9\-_.]*)?")
    """What a channel's name matches."""

    group_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+")
    """What a group's name matches."""

    invalid_name_error = (
        f"{{}} name must be a valid unicode string with length < {MAX_NAME_LENGTH} containing only ASCII "
        "alphanumerics, hyphens, underscores, or periods"
    )
    """The text of the error for a name, with a place for "Channel" or "Group". What is wrong with it follows."""

    can_have_history: ClassVar[bool] = False
    """Whether its groups may have a history: then it takes the argument `history` (False)."""

    can_have_presence: ClassVar[bool] = False
    """Whether it knows who is there: then it takes the argument `presence` (False)."""

    _observer: CallObserver | None = None  # sees the operations; see `_observed`

    def __init__(
        self,
        expiry: float = 60,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        history: History = None,
        presence: PresenceRule | None = None,
    ) -> None:
        if not self.can_have_history:
            refuse_history(type(self), history)
        if not self.can_have_presence:
            refuse_presence(type(self), presence)
        self._history_rules = HistoryRules(history)
        self._presence_options = presence_options(presence)
        self.expiry = positive("expiry", expiry)
        self.capacity = positive("capacity", capacity)
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self._has_own_rules = overrides(type(self), *RULES_FOR_NAMES)  # then a name that is known is checked too

    def compile_capacities(
        self, channel_capacity: Mapping[str | re.Pattern[str], int]
    ) -> list[tuple[re.Pattern[str], int]]:
        """Turn the `channel_capacity` argument into the list that `get_capacity` searches."""
        return [
            (
                re.compile(fnmatch.translate(pattern)) if isinstance(pattern, str) else pattern,
                positive(f"channel_capacity of {pattern!r}", capacity),
            )
            for pattern, capacity in channel_capacity.items()
        ]

    def get_capacity(self, channel: str) -> int:
        """Return how many messages a channel holds: the first match in `channel_capacity`, or `capacity`."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """Check a channel name: as a group name, but with one "!" allowed after the first character.

        Args:
            name: the value to check.
            receive: also require that a name with a "!" ends there, as Channels does for some layers.

        Returns:
            True.

        Raises:
            TypeError: if the name breaks the rule; the message says where.
        """
        self._require_valid_name("Channel", self.channel_name_regex, name)
        if receive and isinstance(name, str) and "!" in name and not name.endswith("!"):
            raise TypeError(f"Specific channel names in receive() must end at the !, {name!r} does not")
        return True

    def require_valid_group_name(self, name: object) -> bool:
        """Check a group name: ASCII letters, digits, "-", "_" and "."; fewer than `MAX_NAME_LENGTH`.

        Returns:
            True.

        Raises:
            TypeError: if the name breaks the rule; the message says where.
        """
        self._require_valid_name("Group", self.group_name_regex, name)
        return True

    def require_valid_message(self, message: object) -> None:
        """Check that a message is a dict with a "type" that a handler can have. `send` and `group_send` do so, once.

        Raises:
            TypeError: if it is no dict.
            ValueError: if it has no type, one that names no method, or a layer's own key; the error says what to write.
        """
        if not isinstance(message, dict):
            raise TypeError(f"A message must be a dict, such as {EXAMPLE}, not {type(message).__name__}")
        if "type" not in message:
            raise ValueError(f'The message has no "type", which names the handler: {GOES_TO}')
        try:
            handler_name(message)
        except ValueError as error:
            raise ValueError(f"{error}. The type names the handler: {GOES_TO}") from None
        if EXCLUDE in message:
            require_unmarked(message, None)

    def retention_of(self, group: str) -> Retention | None:
        """Return how many of a group's messages are kept, as the `history` option says; None: it has no history."""
        return self._history_rules.retention_of(group)

    def non_local_name(self, name: str) -> str:
        """Return a process-specific channel name up to and including its "!", any other name as it is."""
        head, mark, _ = name.partition("!")
        return head + mark

    def _require_valid_name(self, noun: str, allowed: re.Pattern[str], name: object) -> None:
        if not (self._fits(name) and allowed.fullmatch(str(name))):
            reason = what_is_wrong(name, self.MAX_NAME_LENGTH, noun == "Channel")
            raise TypeError(f"{self.invalid_name_error.format(noun)}: {reason}")

    def _fits(self, name: object) -> bool:
        return isinstance(name, str) and len(name) < self.MAX_NAME_LENGTH

    # What a subclass overrides; `Layer` says more

    async def send(self, channel: str, message: Message) -> None:
        """Send a message, a dict, to one channel."""
        raise NotImplementedError("send() should be implemented in a channel layer")

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the oldest message of a channel and take it."""
        raise NotImplementedError("receive() should be implemented in a channel layer")

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a new channel name, for use with `receive()` in this process."""
        raise NotImplementedError("new_channel() should be implemented in a channel layer")

    async def group_add(self, group: str, channel: str) -> Any:
        """Add a channel to a group; once more does nothing but renew the membership."""
        raise NotImplementedError("group_add() not implemented (groups extension)")

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group; harmless if it is not in it."""
        raise NotImplementedError("group_discard() not implemented (groups extension)")

    async def group_send(self, group: str, message: Message) -> Any:
        """Send a message, a dict, to every channel in a group."""
        raise NotImplementedError("group_send() not implemented (groups extension)")

    async def flush(self) -> None:
        """Forget all messages and groups."""
        raise NotImplementedError("flush() not implemented (flush extension)")

    async def close(self) -> None:
        """Release what the layer holds on to. It opens again when it is next used."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Layer(WhoIsThere, Remembers, BaseChannelLayer, ABC):
    """The contract of a layer that hands messages over as they arrive; the arguments are those of `BaseChannelLayer`.

    `consumers.testing.LayerContract` tests a layer for it. The how-to "Write a layer" is for authors of layers.
    """

    lacks: frozenset[str] = frozenset()
    """The methods of the contract that the layer does not have. Only a foreign layer lacks any."""

    @property
    def leaves_at_once(self) -> bool:
        """Whether `group_discard()` never waits, and so needs no time limit (False)."""
        return False

    @property
    def has_history(self) -> bool:
        """Whether groups may have a history: then `attach()` takes a `room`, and `resume()` is called."""
        return bool(self._history_rules)

    @abstractmethod
    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        """Make a channel whose messages are handed to `deliver` as they arrive.

        Immediate. Must be called on the event loop that `deliver` and `close` belong to. They are called on that loop
        only, whichever thread or loop a message is sent from.

        Args:
            deliver: takes a message; plain and immediate. Returns how many messages
                wait there now, or 0 if it has no room for it.
            close: what `close_group()` calls with a code and a reason; plain and immediate. None: it only
                sends the channel a message.
            room: says how many more messages of groups with history there is room for; plain and immediate. Once it
                has said 0, the receiver must call `resume()` when it has room again. None: a receiver whose `deliver`
                returned 0 is tried again within 0.25 seconds.

        Returns:
            The channel's name.

        Raises:
            RuntimeError: if no event loop is running.
        """

    @abstractmethod
    def detach(self, name: str) -> None:
        """Undo `attach()`: remove the channel from every group and forget it.

        Immediate. Its `deliver` and `close` are not called again. Doing it twice is harmless.
        """

    @abstractmethod
    def groups_of(self, channel: str) -> frozenset[str]:
        """Return the groups that an attached channel is in, or is about to be. Immediate."""

    @abstractmethod
    async def close_group(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        """Close every member of a group; see `consumers.close_group()`.

        A member's `close` is called, which no message can bring about. After that the group is sent
        `{"type": "consumers.close", "code": code, "reason": reason}`, for the members that have none.

        Args:
            group: the group.
            code: the close code (1008).
            reason: a text for the clients.

        Raises:
            TypeError: if the name is invalid or the reason is not a str.
            ValueError: if the code is none that may be sent.
        """

    @abstractmethod
    async def send(self, channel: str, message: Message) -> None:
        """Send a message to one channel.

        Args:
            channel: the channel.
            message: the message, a dict.

        Raises:
            TypeError: if the name is invalid or the message is not a dict.
            ValueError: if the message has no type, or one that no handler can have.
            ChannelFull: if the channel holds as many messages as it may.
        """

    @abstractmethod
    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the oldest message of a channel and take it.

        If several tasks wait on one channel, each message reaches one of them.

        Raises:
            TypeError: if the name is invalid.
        """

    @abstractmethod
    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a new channel name, for use with `receive()` in this process.

        Raises:
            TypeError: if the prefix makes an invalid name.
        """

    @abstractmethod
    async def group_add(self, group: str, channel: str, since: str | None = None, last: int = 0) -> Joined:
        """Add a channel to a group; once more does nothing but renew the membership.

        In a group with history, what was missed comes first, in order, then what is new: nothing is missing and nothing
        comes twice. It is not waited for. Whoever may join a group may read what it keeps.

        Args:
            group: the group.
            channel: the channel.
            since: a position. All later messages are handed over, or none of them: then they are no longer kept, or
                this is no position of the group's. It may come from a client and be any text.
            last: how many of the newest messages are handed over, without `since` or if that is not recovered.

        Returns:
            The group's newest position, whether nothing is missing, and how many messages are handed over first.

        Raises:
            TypeError: if a name is invalid.
            ValueError: if `last` is no number of messages; `since` or `last` for a channel that is in the group.
        """

    @abstractmethod
    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group; harmless if it is not in it.

        Raises:
            TypeError: if a name is invalid.
        """

    @abstractmethod
    async def group_send(
        self, group: str, message: Message, id: str | None = None, keep: bool = True, exclude: str | Iterable[str] = ()
    ) -> str | None:
        """Send a message to every channel in a group. It is dropped for those that are full.

        In a group with history it is kept for those, and for who joins later. `event["history"]` has its "position".

        Args:
            group: the group.
            message: the message, a dict.
            id: 1 to 200 characters that tell the message from others. A message with an id that was sent in the last
                five minutes (or in `ttl` seconds, if that is less) is the same message, and not sent again.
            keep: whether a group with history keeps the message. Who is typing, say, is nothing to keep.
            exclude: a channel that does not get the message, or several.

        Returns:
            The message's position; None if it is not kept.

        Raises:
            TypeError: if a name is invalid or the message is not a dict.
            ValueError: if the message has no type, or one that no handler can have, or a key that the layer sets; an
                `id` that is too long, or for a message that is not kept.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Forget all messages and groups. Attached channels stay attached."""

    # What a layer may have

    def adopt(self, name: str, close: Close) -> None:
        """Take a channel of `new_channel()` for a consumer's, until `detach()`: it is closed with its groups.

        Must be called on the event loop that `close` belongs to. Harmless if the name is no such channel's. The base
        does nothing: such a consumer gets the message that `close_group()` sends.
        """

    def held(self, channel: str) -> int:
        """Return how many messages for a channel wait in this process, and would be lost with it. Immediate."""
        return 0

    async def put_back(self, channel: str, message: Message) -> None:
        """Put a message that `receive()` returned back, before those that wait: nobody has handled it.

        Raises:
            NotImplementedError: if the layer cannot; the base.
        """
        raise NotImplementedError("put_back() is not implemented in this channel layer")
