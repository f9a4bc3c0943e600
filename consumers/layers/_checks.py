"""What layers check of their arguments, and what they say is wrong."""

from typing import TypeVar

from ..exceptions import InvalidChannelLayerError
from ..types import CloseCode, Message, check_close_code, cut_reason

Number = TypeVar("Number", int, float)

EXAMPLE = '{"type": "chat.message", "text": "hello"}'
GOES_TO = '{"type": "chat.message", ...} goes to chat_message(self, event)'

CLOSE = "consumers.close"
"""The type of the message that members get which have no `close`: those in processes with channels_redis, say."""

DEFAULT_CODE = CloseCode.POLICY_VIOLATION
"""The close code of `close_group()`."""


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


WITH_HISTORY = "consumers.layers.InMemoryChannelLayer or consumers.layers.redis.RedisPubSubChannelLayer"


def no_history(layer: object, call: str) -> InvalidChannelLayerError:
    """Return the error for a call that needs groups with history."""
    return InvalidChannelLayerError(
        f"{type(layer).__qualname__}.{call} needs groups with history: configure {WITH_HISTORY} with that option"
    )


OF_THIS_LIBRARY = (
    "consumers.layers.InMemoryChannelLayer, consumers.layers.redis.RedisChannelLayer or "
    "consumers.layers.redis.RedisPubSubChannelLayer"
)


def no_presence(layer: object, call: str) -> InvalidChannelLayerError:
    """Return the error for a call that needs a layer which knows who is there."""
    return InvalidChannelLayerError(
        f"{type(layer).__qualname__} has no {call}, as it does not know who is there: configure {OF_THIS_LIBRARY}"
    )


def refuse_presence(layer: type, presence: object) -> None:
    """Check that a layer which does not know who is there is not to.

    Raises:
        TypeError: if it is.
    """
    if presence is not None:
        raise TypeError(f"{layer.__name__} has no presence: configure {OF_THIS_LIBRARY}, or leave `presence` out")


def refuse_history(layer: type, history: object) -> None:
    """Check that a layer which cannot have groups with history is not to have any.

    Raises:
        TypeError: if it is.
    """
    if history is not None:
        raise TypeError(
            f"{layer.__name__} has no groups with history: configure {WITH_HISTORY}, or leave `history` out"
        )


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


def what_is_wrong(name: object, max_length: int, is_channel: bool) -> str:
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
