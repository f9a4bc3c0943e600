"""The channel-layer contract, the rules for names, and capacities."""

import fnmatch
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from .._aio.loops import call_soon as call_soon
from .._aio.loops import running_loop as running_loop
from ..types import CallObserver, Close, CloseCode, Deliver, Message, check_close_code, cut_reason, handler_name
from ._overrides import RULES_FOR_NAMES, overrides

Number = TypeVar("Number", int, float)

EXAMPLE = '{"type": "chat.message", "text": "hello"}'
GOES_TO = '{"type": "chat.message", ...} goes to chat_message(self, event)'

CLOSE = "consumers.close"
"""The type of the message that members get which have no `close`: those in processes with channels_redis, say."""

DEFAULT_CODE = CloseCode.POLICY_VIOLATION
"""The close code of `close_group()`."""


class BaseChannelLayer:
    """The base of channel layers as Channels has them: a subclass overrides those methods that it has.

    Consumers get its messages by `receive()`, which is called in a loop for each. A layer that hands messages over as
    they arrive derives from `Layer`, which is the whole contract.

    Args:
        expiry: seconds until a message that nobody has received is dropped.
        capacity: how many messages a channel holds.
        channel_capacity: other capacities by channel name, as globs ("http.request!*") or compiled regular
            expressions; the first that matches counts.

    Raises:
        TypeError: if expiry or a capacity is no number.
        ValueError: if one is not positive.
    """

    MAX_NAME_LENGTH: ClassVar[int] = 100
    extensions: ClassVar[list[str]] = []

    channel_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+(![a-zA-Z0-9\-_.]*)?")
    group_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+")
    invalid_name_error = (
        f"{{}} name must be a valid unicode string with length < {MAX_NAME_LENGTH} containing only ASCII "
        "alphanumerics, hyphens, underscores, or periods"
    )
    """The text of the error for a name, with a place for "Channel" or "Group". What is wrong with it follows."""

    _observer: CallObserver | None = None  # sees the operations; see `_observed`

    def __init__(
        self,
        expiry: float = 60,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
    ) -> None:
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
            ValueError: if it has no type, or one that names no method; the message says what to write.
        """
        if not isinstance(message, dict):
            raise TypeError(f"A message must be a dict, such as {EXAMPLE}, not {type(message).__name__}")
        if "type" not in message:
            raise ValueError(f'The message has no "type", which names the handler: {GOES_TO}')
        try:
            handler_name(message)
        except ValueError as error:
            raise ValueError(f"{error}. The type names the handler: {GOES_TO}") from None

    def non_local_name(self, name: str) -> str:
        """Return a process-specific channel name up to and including its "!", any other name as it is."""
        head, mark, _ = name.partition("!")
        return head + mark

    def _require_valid_name(self, noun: str, allowed: re.Pattern[str], name: object) -> None:
        if self._fits(name) and allowed.fullmatch(str(name)):
            return
        reason = _what_is_wrong(name, self.MAX_NAME_LENGTH, noun == "Channel")
        raise TypeError(f"{self.invalid_name_error.format(noun)}: {reason}")

    def _fits(self, name: object) -> bool:
        return isinstance(name, str) and len(name) < self.MAX_NAME_LENGTH

    # What a subclass overrides; `Layer` says what each does

    async def send(self, channel: str, message: Message) -> None:
        raise NotImplementedError("send() should be implemented in a channel layer")

    async def receive(self, channel: str) -> dict[str, Any]:
        raise NotImplementedError("receive() should be implemented in a channel layer")

    async def new_channel(self, prefix: str = "specific.") -> str:
        raise NotImplementedError("new_channel() should be implemented in a channel layer")

    async def group_add(self, group: str, channel: str) -> None:
        raise NotImplementedError("group_add() not implemented (groups extension)")

    async def group_discard(self, group: str, channel: str) -> None:
        raise NotImplementedError("group_discard() not implemented (groups extension)")

    async def group_send(self, group: str, message: Message) -> None:
        raise NotImplementedError("group_send() not implemented (groups extension)")

    async def flush(self) -> None:
        raise NotImplementedError("flush() not implemented (flush extension)")

    async def close(self) -> None:
        """Release what the layer holds on to. It opens again when it is next used."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Layer(BaseChannelLayer, ABC):
    """The contract of a layer that hands messages over as they arrive; the arguments are those of `BaseChannelLayer`.

    `consumers.testing.LayerContract` tests a layer for it. CONTRIBUTING.md has a page for authors of layers.

    Attributes:
        lacks: the methods of the contract that a layer does not have. Only a foreign layer lacks any.
    """

    lacks: frozenset[str] = frozenset()

    @property
    def leaves_at_once(self) -> bool:
        """Whether `group_discard()` never waits, and so needs no time limit (False)."""
        return False

    @abstractmethod
    def attach(self, deliver: Deliver, close: Close | None = None) -> str:
        """Make a channel whose messages are handed to `deliver` as they arrive.

        Immediate. Must be called on the event loop that `deliver` and `close` belong to. They are called on that loop
        only, whichever thread or loop a message is sent from.

        Args:
            deliver: takes a message; plain and immediate. Returns how many messages
                wait there now, or 0 if it has no room for it.
            close: what `close_group()` calls with a code and a reason; plain and immediate. None: it only
                sends the channel a message.

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

        Raises:
            TypeError: if the name is invalid or the reason is not a str.
            ValueError: if the code is none that may be sent.
        """

    @abstractmethod
    async def send(self, channel: str, message: Message) -> None:
        """Send a message to one channel.

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
    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group; once more does nothing but renew the membership.

        Raises:
            TypeError: if a name is invalid.
        """

    @abstractmethod
    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group; harmless if it is not in it.

        Raises:
            TypeError: if a name is invalid.
        """

    @abstractmethod
    async def group_send(self, group: str, message: Message) -> None:
        """Send a message to every channel in a group. It is dropped for those that are full.

        Raises:
            TypeError: if the name is invalid or the message is not a dict.
            ValueError: if the message has no type, or one that no handler can have.
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


def closing(code: int, reason: str) -> Message:
    """Return the message that goes with a close, checked and with its reason cut.

    Raises:
        TypeError: if the reason is not a str.
        ValueError: if the code is none that may be sent.
    """
    check_close_code(code)
    if not isinstance(reason, str):
        raise TypeError(f"the reason of a close must be a str, not {type(reason).__name__}: {reason!r:.80}")
    return {"type": CLOSE, "code": int(code), "reason": cut_reason(reason)}


def positive(what: str, value: Number) -> Number:
    """Return the value of an argument that must be a number above 0.

    Raises:
        TypeError: if it is no number, but text from the environment, say.
        ValueError: if it is not above 0.
    """
    if not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {value!r}")
    if not value > 0:
        raise ValueError(f"{what} must be positive, not {value!r}")
    return value


def _kind(value: object) -> str:
    return f"{type(value).__name__}: {value!r:.80}"


def _what_is_wrong(name: object, max_length: int, is_channel: bool) -> str:
    """Say what is wrong with a name that is known to be invalid."""
    if not isinstance(name, str):
        return f"it is not a string but {_kind(name)}"
    if not name:
        return "it is empty"
    if len(name) >= max_length:
        return f"{name[:20]!r}… has {len(name)} characters"
    if is_channel and name.startswith("!"):
        return f"{name!r} has nothing before its '!'"
    if is_channel and name.count("!") > 1:
        return f"{name!r} has more than one '!'"
    allowed = "-_.!" if is_channel else "-_."
    for position, character in enumerate(name):
        if not (character.isascii() and character.isalnum()) and character not in allowed:
            return f"{name!r} has {character!r} at position {position}"
    return f"{name!r} does not match"  # a subclass has narrower rules
