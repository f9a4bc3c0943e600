"""Objects in JSON that tell clients where in a group's history they are.

    {"text": "hello", "position": "…"}        a member of `group_add()` or `group_join()`
    {"text": "hello", "at": ["room", "…"]}    one of a typed consumer's `join()`, which knows the group by a label

The layer alone knows the position, and knows it when the object is JSON already. So it is put into the text: once in a
process for all who get the same.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..layers._history import HISTORY, Mark
from .consumer import Consumer

POSITION = "position"
"""The key of a group's message that says where its client is now."""

AT = "at"
"""The same where the client knows the group by a label: [label, position]."""

TAKES_POSITION = "takes_position"
"""The key of a raw frame: true if its text is an object that gets one of the two."""

Place = tuple[str, str]
"""A label, and a position."""

MOST_AT_HAND = 32
"""Texts with their places that a process keeps: each goes to all members of a group, one text after the other."""

LARGE = 32 * 1024
"""The length of a text of which only the newest is at hand: clients choose how large their messages are."""


def with_member(text: str | bytes, key: str, value: str | Place) -> str:
    """Return an object in JSON with one more member, at its end.

    Raises:
        ValueError: the text is no object.
    """
    text = text if isinstance(text, str) else text.decode()
    require_object(text, "the text")
    begin = text.rstrip()[:-1].rstrip()
    comma = "" if begin == "{" else ","
    return f"{begin}{comma}{_as_json(key)}:{_as_json(value)}}}"


_small_with_member = lru_cache(MOST_AT_HAND)(with_member)
_large_with_member = lru_cache(1)(with_member)


def shared_with_member(text: str | bytes, key: str, value: str | Place) -> str:
    """Do as `with_member()`, once for all who get the same."""
    return (_large_with_member if len(text) > LARGE else _small_with_member)(text, key, value)


def member_of(consumer: Consumer, frame: Mapping[str, Any]) -> tuple[str, str | Place] | None:
    """Return the key and value that a raw frame gets for one client; None if it goes out as it is."""
    if not frame.get(TAKES_POSITION):
        return None
    mark = frame.get(HISTORY)
    if not isinstance(mark, Mark) or mark["position"] is None or not isinstance(frame.get("text"), str):
        return None
    place = consumer._place_after(frame)
    return (POSITION, mark["position"]) if place is None else (AT, place)


def require_no_place(content: object) -> None:
    """Check what `group_send_json()` is to send to a group with history.

    Raises:
        ValueError: it is no dict, or has a key that is to say where the client is.
    """
    if not isinstance(content, dict):
        raise ValueError(
            f"group_send_json() to a group with history needs a dict, which it adds the position to, "
            f"not {type(content).__name__}"
        )
    for key in (AT, POSITION):
        if key in content:
            raise ValueError(
                f"group_send_json() to a group with history adds {key!r} to the dict: call yours otherwise"
            )


def require_object(text: str, what: str) -> None:
    """Check a text.

    Args:
        text: the text.
        what: what it is, for the error.

    Raises:
        ValueError: it is no object in JSON, as far as its ends tell.
    """
    stripped = text.strip()
    if len(stripped) < 2 or stripped[0] != "{" or stripped[-1] != "}":
        raise ValueError(f"{what} is {text!r:.80}, no JSON object: it cannot say where its client is")


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
