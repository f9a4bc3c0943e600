"""Whatever a client sends: a handler's call, a short error or the end, and no other message is disturbed."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from consumers import InMemoryChannelLayer, channel_layers
from consumers.typed import TypedConsumer, group_send_message, on, on_event
from consumers.typed.incoming import Incoming

from ..support.wire import Wire, connected, eventually

LONGEST = 20_000
"""Characters of an error at most: ten entries, each of sixteen keys."""


class Probe(BaseModel):
    """Is valid, and asked for behind each message."""

    type: Literal["probe"] = "probe"


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["tree"] = "tree"
    name: Annotated[str, Field(min_length=1, max_length=5)] = "a"
    numbers: list[int] = []
    children: "dict[str, Tree | None]" = {}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    type: Literal["open", "opened"]
    share: float | None = None


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["inner"] = "inner"
    name: str


class Picky(BaseModel):
    """Has validators of its own, which change what they get."""

    type: Literal["picky"] = "picky"
    name: Any = None

    @model_validator(mode="before")
    @classmethod
    def without_frame(cls, values: dict[str, Any]) -> dict[str, Any]:
        values.pop("frame", None)
        assert "tag" not in values, values
        return values

    @field_validator("name")
    @classmethod
    def odd(cls, value: Any) -> Any:
        if isinstance(value, str) and len(value) % 2 == 0:
            raise ValueError(value * 1000)
        return value


class Event(BaseModel):
    type: Literal["event"] = "event"
    number: int = 0


class Chat(TypedConsumer):
    """Says what its handlers have got."""

    groups = ["all"]
    sends = Probe
    calls: list[Any]
    events: list[Any]

    def __init__(self, calls: list[Any], events: list[Any]) -> None:
        super().__init__()
        self.calls, self.events = calls, events

    @on
    async def take(self, message: Tree | Open | Inner | Picky) -> None:
        self.calls.append(message)

    @on
    async def probe(self, message: Probe) -> Probe:
        return message

    @on_event
    async def event(self, message: Event) -> None:
        self.events.append(message)


KEYS = st.sampled_from(["type", "id", "name", "numbers", "children", "share", "frame", "tag", "to"]) | st.text(
    max_size=8
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.sampled_from(["tree", "open", "opened", "inner", "event", "probe", "ack", "error", "consumers.message"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)
TAGS = st.sampled_from(["tree", "open", "opened", "inner", "picky", "event"])
MESSAGES = st.builds(lambda tag, more: {"type": tag, **more}, TAGS, st.dictionaries(KEYS, VALUES)) | VALUES
# Some that are valid, but perhaps for their id.
MESSAGES |= st.builds(
    lambda tag, id: {"type": tag, "name": "ann", "id": id}, st.sampled_from(["tree", "inner"]), SCALARS
)
DUMPS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False, indent=1),
    lambda value: json.dumps(value, separators=(",", ":")),
]


def escaped(value: Any) -> str:
    """Return a value as JSON, with each character of its own names written as its number."""
    if not isinstance(value, dict):
        return json.dumps(value)
    members = {
        "".join(f"\\u{ord(each):04x}" if ord(each) < 0x10000 else each for each in name): json.dumps(each)
        for name, each in value.items()
    }
    return "{" + ",".join(f'"{name}" :{each}' for name, each in members.items()) + "}"


def twice(value: Any) -> str:
    """Return a value as JSON in which each name is there twice, first with something else."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    members = json.dumps(value)[1:-1]
    first = json.dumps(dict.fromkeys(value, "tree"))[1:-1]
    return f"{{{first}, {members}}}"


DUMPS += [escaped]
# Of two equal names, older versions of pydantic may take the first.
if Incoming([], "id").read_from_client('{"name": "tree", "id": "tree", "name": "ann", "id": null}')[1] is None:
    DUMPS += [twice]
TEXTS = st.builds(lambda value, dumps: dumps(value), MESSAGES, st.sampled_from(DUMPS)) | st.text()


TEXTS |= st.builds(
    lambda depth, id: f'{{"type":"open","x":{"[" * depth}{"]" * depth},"id":{id}}}', st.integers(0, 3000), st.integers()
)


def id_in(text: str) -> Any:
    """Return the id that a text has by Python's own reading; None if it has none that may be repeated."""
    content = json.loads(text)
    id = content.get("id")
    if type(id) is int:
        return id if abs(id) < 2**63 else None
    return id if isinstance(id, str) and len(id) <= 64 else None


async def outcome(wire: Wire, calls: list[Any], text: str) -> str:
    """Send a text, and something valid behind it; check what came of it, and return its name."""
    calls.clear()
    wire.text(text)
    wire.text('{"type":"probe","id":"what comes behind"}')
    answers: list[Any] = []
    while True:
        event = await wire.next()
        if event["type"] == "websocket.close":
            assert answers == calls == []
            assert event["code"] == 1008
            return "close"
        answer = json.loads(event["text"])
        if answer == {"type": "probe", "to": "what comes behind"}:
            break
        answers.append(answer)
        assert len(event["text"]) < LONGEST
    if calls:
        [message] = calls
        type(message).model_validate(message.model_dump(by_alias=True))
        id = id_in(text)
        assert answers == ([] if id is None else [{"type": "ack", "to": id}])
        return "call"
    [error] = answers
    if error["type"] == "probe":  # so was the text
        return "call"
    assert error["type"] == "error"
    assert error["code"] in ("not_json", "unknown_type", "invalid")
    assert len(error["errors"]) <= 10
    if "to" in error:
        assert error["to"] == id_in(text)
    return "error"


class Strict(Chat):
    max_invalid = 1


async def converse(consumer: type[Chat], texts: list[str]) -> None:
    calls: list[Any] = []
    events: list[Any] = []
    async with connected(consumer.as_asgi(calls=calls, events=events)) as wire:
        for text in texts:
            if await outcome(wire, calls, text) == "close":
                break
        else:
            assert events == []
            await group_send_message("all", Event(number=5))
            await eventually(lambda: events)
            assert events == [Event(number=5)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(consumer=st.sampled_from([Chat, Strict]), texts=st.lists(TEXTS, max_size=12))
def test_one_of_three_things_happens(backend: str, consumer: type[Chat], texts: list[str]) -> None:
    channel_layers.set("default", InMemoryChannelLayer())
    anyio.run(converse, consumer, texts, backend=backend)
