"""What models may be: aliases, unions, generics, references to what comes later."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.alias_generators import to_camel

from consumers.typed import TypedConsumer, on

from ..support.wire import connected
from .models import Said, ask

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Later(TypedConsumer):
    """Its handler's model is defined behind it."""

    sends = Said

    @on
    async def hear(self, message: Heard) -> Said:
        return Said(user=message.by.name, text=repr(message.again))


class Heard(BaseModel):
    type: Literal["heard"] = "heard"
    by: Person
    again: Heard | None = None


class Person(BaseModel):
    name: str


async def answers(consumer: type[TypedConsumer], *messages: dict[str, Any]) -> list[Any]:
    async with connected(consumer.as_asgi()) as wire:
        return [await ask(wire, message) for message in messages]


async def test_models_may_come_behind_the_class_and_refer_to_what_comes_later() -> None:
    ann = {"name": "ann"}
    [answer, error] = await answers(
        Later,
        {"type": "heard", "by": ann, "again": {"by": ann}},
        {"type": "heard", "by": ann, "again": {"by": {}}},
    )
    assert answer["user"] == "ann"
    assert error["errors"][0]["loc"] == ["again", "by", "name"]


async def test_models_and_classes_may_be_local() -> None:
    class Local(BaseModel):
        type: Literal["local"] = "local"

    class Chat(TypedConsumer):
        @on
        async def local(self, message: Local) -> None:
            assert type(message) is Local

    assert await answers(Chat, {"type": "local", "id": 1}) == [{"type": "ack", "to": 1}]


async def test_the_type_may_have_another_name_in_python() -> None:
    class Named(BaseModel):
        model_config = ConfigDict(alias_generator=to_camel)
        kind_of: Literal["named", "called"] = Field(alias="type")
        first_name: str

    class ByName(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        type: Literal["byName"] = Field("byName", validation_alias=AliasChoices("sort", "type"), alias="type")

    class Chat(TypedConsumer):
        sends = Named

        @on
        async def named(self, message: Named | ByName) -> Named | None:
            return message if isinstance(message, Named) else None

    named, called, by_name, error = await answers(
        Chat,
        {"type": "named", "firstName": "ann", "id": 1},
        {"type": "called", "firstName": "bob"},
        {"type": "byName", "id": 2},
        {"type": "named", "first_name": "ann"},
    )
    assert named == {"type": "named", "firstName": "ann", "to": 1}
    assert called == {"type": "called", "firstName": "bob"}
    assert by_name == {"type": "ack", "to": 2}
    assert error["errors"][0]["loc"] == ["firstName"]


async def test_a_type_may_be_of_an_enum() -> None:
    class Sort(StrEnum):
        UP = "up"
        DOWN = "down"

    class Step(BaseModel):
        type: Literal[Sort.UP, Sort.DOWN]

    class Chat(TypedConsumer):
        @on
        async def step(self, message: Step) -> None:
            assert message.type is Sort.DOWN

    assert await answers(Chat, {"type": "down", "id": 1}) == [{"type": "ack", "to": 1}]


class Circle(BaseModel):
    type: Literal["shape"] = "shape"
    form: Literal["circle"]
    radius: float


class Square(BaseModel):
    type: Literal["shape"] = "shape"
    form: Literal["square"]
    side: float


class Line(BaseModel):
    type: Literal["line"] = "line"
    length: float


class Dot(BaseModel):
    type: Literal["dot"] = "dot"


Shape = Annotated[Circle | Square, Field(discriminator="form")]
Other = Annotated[Line | Dot, Field(discriminator="type")]


async def test_unions_may_lie_in_unions_and_share_a_type_and_fields() -> None:
    class Chat(TypedConsumer):
        sends = Said

        @on
        async def draw(self, message: Shape | Other) -> Said:
            return Said(user="", text=type(message).__name__)

    *drawn, no_form, no_side = await answers(
        Chat,
        {"type": "shape", "form": "circle", "radius": 1},
        {"type": "shape", "form": "square", "side": 1},
        {"type": "line", "length": 1},
        {"type": "dot"},
        {"type": "shape", "form": "a secret one"},
        {"type": "shape", "form": "square"},
    )
    assert [each["text"] for each in drawn] == ["Circle", "Square", "Line", "Dot"]
    assert (no_form["code"], no_form["errors"][0]["type"]) == ("invalid", "union_tag_invalid")
    assert "secret" not in json.dumps(no_form)
    assert no_side["code"] == "invalid"


async def test_a_function_may_tell_models_of_one_type_apart() -> None:
    def form(value: Any) -> str:
        return "circle" if "radius" in value else "square"

    Formed = Annotated[
        Annotated[Circle, Tag("circle")] | Annotated[Square, Tag("square")],
        Discriminator(form),
    ]

    class Chat(TypedConsumer):
        @on
        async def draw(self, message: Formed) -> None:
            assert isinstance(message, Circle)

    assert await answers(Chat, {"type": "shape", "form": "circle", "radius": 1, "id": 1}) == [{"type": "ack", "to": 1}]


async def test_generic_models_are_models_of_their_own() -> None:
    class Put(BaseModel, Generic[T]):
        type: Literal["put"] = "put"
        value: T

    class Chat(TypedConsumer):
        sends = Put[int]

        @on
        async def put(self, message: Put[int]) -> Put[int]:
            return Put[int](value=message.value + 1)

    good, bad = await answers(Chat, {"type": "put", "value": 1}, {"type": "put", "value": "x"})
    assert (good["value"], bad["code"]) == (2, "invalid")


async def test_strict_models_are_strict_as_json_is() -> None:
    from datetime import date

    class Dated(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid")
        type: Literal["dated"] = "dated"
        day: date
        number: int

    class Chat(TypedConsumer):
        @on
        async def dated(self, message: Dated) -> None: ...

    good, bad = await answers(
        Chat,
        {"type": "dated", "day": "2026-01-01", "number": 1, "id": 1},
        {"type": "dated", "day": "2026-01-01", "number": "1", "id": 2},
    )
    assert good == {"type": "ack", "to": 1}
    assert (bad["to"], bad["errors"][0]["loc"]) == (2, ["number"])


async def test_a_model_that_keeps_what_it_does_not_know_gets_no_id() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        type: Literal["open"] = "open"

    class Chat(TypedConsumer):
        @on
        async def open(self, message: Open) -> None:
            assert message.model_extra == {"more": 1.5}

    assert await answers(Chat, {"type": "open", "id": 1, "more": 1.5}) == [{"type": "ack", "to": 1}]


async def test_a_validator_may_put_another_model_in_the_place() -> None:
    class Base(BaseModel):
        type: Literal["base"] = "base"

        @model_validator(mode="wrap")
        @classmethod
        def check(cls, value: Any, handler: Callable[[Any], Base]) -> Base:
            return handler(value) if cls is not Base else Special()

    class Special(Base): ...

    class Chat(TypedConsumer):
        @on
        async def base(self, message: Base) -> None:
            assert type(message) is Special

    assert await answers(Chat, {"type": "base", "id": 1}) == [{"type": "ack", "to": 1}]


async def test_handlers_may_be_inherited_decorated_and_replaced() -> None:
    def logged(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        async def wrapper(self: Any, *args: Any) -> Any:
            self.calls.append(function.__name__)
            return await function(self, *args)

        return wrapper

    class Base(TypedConsumer):
        sends = Said

        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        @logged
        @on
        async def line(self, message: Line) -> Said:
            return Said(user="base", text=str(self.calls))

        @on
        async def dot(self, message: Dot) -> Said:
            return Said(user="base", text="")

    class Chat(Base):
        @on
        @logged
        async def dot(self, message: Dot) -> Said:
            return Said(user="chat", text=str(self.calls))

    line, dot = await answers(Chat, {"type": "line", "length": 1}, {"type": "dot"})
    assert (line["user"], line["text"]) == ("base", "['line']")
    assert (dot["user"], dot["text"]) == ("chat", "['line', 'dot']")


async def test_a_class_may_only_send() -> None:
    class Feed(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            await self.accept()
            await self.send_message(Said(user="a", text="b"))

    async with connected(Feed.as_asgi()) as wire:
        assert json.loads(await wire.next_text())["type"] == "said"
        for tag in ("say", ""):
            assert (await ask(wire, {"type": tag}))["type"] == "error"
