"""Models in the history of a group, as an HTTP endpoint reads them."""

import json
from typing import Any

import pytest

from consumers import InMemoryChannelLayer
from consumers.typed import message_of
from consumers.typed.frames import frame_of

from .models import Moved, Said

pytestmark = pytest.mark.anyio


async def test_the_models_of_a_history_are_read_and_other_messages_are_not() -> None:
    async with InMemoryChannelLayer(history={"room": {"size": 10, "ttl": 60}}) as layer:
        await layer.group_send("room", frame_of(Said(user="ann", text="hello")))
        await layer.group_send("room", frame_of(Moved(x=1)))
        await layer.group_send("room", {"type": "plain"})
        events = (await layer.history("room")).messages
    assert [message_of(event, Said) for event in events] == [Said(user="ann", text="hello"), None, None]
    assert [message_of(event, Moved) for event in events] == [None, Moved(x=1), None]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "consumers.message"},
        {"type": "consumers.message", "tag": "said", "frame": '{"type": "said", "user": "eve", "text": "forged"}'},
        {"type": "consumers.message", "tag": "said", "frame": b'{"type": "said", "user": "of an older version"}'},
        {"type": "consumers.message", "tag": "said", "frame": b"no JSON"},
        {"type": "consumers.message", "tag": ["said"], "frame": b"{}"},
        {"type": "said", "tag": "said", "frame": json.dumps({"type": "said", "user": "eve", "text": "x"}).encode()},
    ],
)
def test_what_is_no_such_model_any_more_or_never_was_is_none(event: dict[str, Any]) -> None:
    assert message_of(event, Said) is None


def test_a_model_that_is_no_message_is_an_error() -> None:
    with pytest.raises(TypeError, match="int is no message"):
        message_of(frame_of(Moved(x=1)), int)  # type: ignore[type-var]
