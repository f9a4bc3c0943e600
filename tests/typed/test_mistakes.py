"""Mistakes in a typed class: errors when it is made an application, which say what to write."""

from typing import Annotated, Any, Literal, TypeVar

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, computed_field

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, JsonWebsocketConsumer
from consumers.typed import SyncTypedConsumer, TypedConsumer, on, on_event

from .models import Moved, Said, Say

M = TypeVar("M")


class Untyped(BaseModel):
    text: str


class Joined(BaseModel):
    text: str


class Loose(BaseModel):
    type: str = "loose"


class Kind(BaseModel):
    kind: Literal["kind"] = "kind"


class Numbered(BaseModel):
    type: Literal[1, 2] = 1


class Ping(BaseModel):
    type: Literal["ping", "pung"] = "ping"


class WithId(Say):
    id: int


class WithAlias(Say):
    number: int = Field(alias="id")


class WithIdInside(Say):
    number: int = Field(validation_alias=AliasChoices("number", AliasPath("id", "number")))


class Other(BaseModel):
    type: Literal["say"] = "say"


class To(Said):
    to: str


class Computed(Said):
    @computed_field(alias="to")
    def whom(self) -> str:
        return "all"


class Hidden(BaseModel):
    type: Literal["hidden"] = Field("hidden", exclude=True)


class OnlyIn(BaseModel):
    kind: Literal["only"] = Field("only", validation_alias="type")


class Incomplete(BaseModel):
    type: Literal["incomplete"] = "incomplete"
    other: "Missing"  # type: ignore[name-defined]  # noqa: F821


def handling(annotation: Any, returning: Any = None, decorator: Any = on, **attributes: Any) -> Any:
    """Return a class with one handler of this annotation."""

    async def handle_it(self: Any, message: Any) -> Any: ...

    handle_it.__annotations__ = {"message": annotation, "return": returning}
    handle_it.__qualname__ = "handle_it"
    return type("Chat", (TypedConsumer,), {"handle_it": decorator(handle_it), **attributes})


def refusal(consumer_class: Any, error: type[Exception] = TypeError) -> str:
    with pytest.raises(error) as raised:
        consumer_class.as_asgi()
    return str(raised.value)


@pytest.mark.parametrize("decorator", [on, on_event])
@pytest.mark.parametrize(
    ("annotation", "error"),
    [
        (Untyped, 'Untyped has no type to be known by: write type: Literal["untyped"] = "untyped" in it'),
        (Joined, 'Joined has no type to be known by: write type: Literal["joined_message"] = "joined_message" in it'),
        (Loose, "Loose.type must be a Literal of str, not <class 'str'>"),
        (Kind, 'Kind is known by "kind" in JSON, and messages are by "type": rename the field, or write Field(alias='),
        (Numbered, "Numbered.type must be a Literal of str, not typing.Literal[1, 2]"),
        (Ping, "Ping: type 'ping' is reserved for the framework: choose another"),
        (dict[str, Any], "Chat.handle_it(): dict"),
        (str, "Chat.handle_it(): str is no message: write a pydantic model"),
        (Say | None, "Chat.handle_it(): NoneType is no message"),
        (M, "Chat.handle_it(): M is no message"),
        (BaseModel, "BaseModel has no type to be known by"),
        (
            Say | Other,
            "Chat.handle_it(): Say and Other both have type 'say': give each a type of its own, or tell them",
        ),
        (Incomplete, "Incomplete is not complete: 'Missing' is not defined. Define it before"),
    ],
)
def test_a_handler_takes_models_with_a_type_each(decorator: Any, annotation: Any, error: str) -> None:
    assert refusal(handling(annotation, decorator=decorator)).startswith(error)


@pytest.mark.parametrize(
    ("bases", "instead"),
    [
        ((AsyncWebsocketConsumer,), "derive Chat from TypedConsumer"),
        ((JsonWebsocketConsumer,), "derive Chat from SyncTypedConsumer"),
        ((AsyncJsonWebsocketConsumer, TypedConsumer), "write TypedConsumer as its first base"),
    ],
)
@pytest.mark.parametrize("name", ["say", "_say", "receive"])
def test_a_mark_that_nothing_reads_is_refused(bases: tuple[type, ...], instead: str, name: str) -> None:
    async def say(self: Any, message: Say) -> None: ...

    marked = on(say)
    wanted = f"Chat.{name}() has @on or @on_event, which this class does not read: {instead}"
    assert refusal(type("Chat", bases, {name: marked})) == wanted
    refusal_of_mixin = refusal(type("Chat", (type("Mixin", (), {name: marked}), *bases), {}))
    assert refusal_of_mixin == wanted


@pytest.mark.parametrize("base", [TypedConsumer, AsyncWebsocketConsumer])
def test_a_proxy_among_the_attributes_is_not_asked_for_a_mark(base: type) -> None:
    asked: list[str] = []

    class Proxy:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return self

    consumer_class: Any = type("Chat", (base,), {"server": Proxy()})
    consumer_class.as_asgi()
    assert "__consumers_mark__" not in asked


@pytest.mark.parametrize(("model", "field"), [(WithId, "id"), (WithAlias, "number"), (WithIdInside, "number")])
def test_the_id_is_the_envelopes(model: Any, field: str) -> None:
    text = refusal(handling(model))
    assert text.startswith(f"{model.__name__}.{field}: 'id' is the envelope's")
    assert 'id_key = "message_id"' in text
    handling(model, id_key="message_id").as_asgi()
    handling(model, decorator=on_event).as_asgi()


@pytest.mark.parametrize("key", ["", "type", "to", "a/b", 'a"', "a b", None, 5])
def test_the_key_of_the_id_is_a_key(key: Any) -> None:
    assert "Chat.id_key must be a key" in refusal(handling(Say, id_key=key), ValueError)


@pytest.mark.parametrize("model", [Said, Said | None, Said | Moved])
def test_what_a_handler_returns_is_declared(model: Any) -> None:
    text = refusal(handling(Say, model))
    assert text.startswith("Chat.handle_it() returns Said")
    assert "write sends = Said" in text
    handling(Say, model, sends=Said | Moved).as_asgi()


def test_a_handler_returns_models_without_a_field_to() -> None:
    text = refusal(handling(Say, To, sends=To))
    assert text == "Chat.handle_it() returns a To, whose field 'to' an answer sets: rename the field"
    text = refusal(handling(Say, Computed, sends=Computed))
    assert text == "Chat.handle_it() returns a Computed, whose field 'to' an answer sets: rename the field"
    assert "a handler returns one of `sends`, or None" in refusal(handling(Say, dict[str, int]))
    assert "which nobody waits to be answered" in refusal(handling(Say, Said, on_event, sends=Said))


@pytest.mark.parametrize(
    ("sends", "error"),
    [
        ([Said, Moved], "Chat.sends must be a model, or a union of models such as Said | Left"),
        (Untyped, "Untyped has no type to be known by"),
        (dict, "Chat.sends: dict is no message"),
        (
            OnlyIn,
            'Chat.sends: the type of OnlyIn is not called "type" in JSON that goes out: write Field(alias="type")',
        ),
        (Hidden, 'Chat.sends: the type of Hidden is not called "type" in JSON that goes out'),
        (Say | Other, "Chat.sends: Say and Other both have type 'say'"),
    ],
)
def test_sends_is_of_models(sends: Any, error: str) -> None:
    assert refusal(handling(Say, sends=sends)).startswith(error)


def test_a_type_has_one_handler() -> None:
    class Chat(TypedConsumer):
        @on
        async def say(self, message: Say) -> None: ...

        @on
        async def tell(self, message: Other) -> None: ...

    assert refusal(Chat) == "Chat.say() and Chat.tell() both handle type 'say': give each a type of its own"

    class Both(TypedConsumer):
        @on
        async def say(self, message: Say) -> None: ...

        @on_event
        async def said(self, message: Other) -> None: ...

    Both.as_asgi()


def test_a_handler_takes_one_message_with_an_annotation() -> None:
    class Bare(TypedConsumer):
        @on
        async def say(self, message): ...  # type: ignore[no-untyped-def]

    class Nothing(TypedConsumer):
        @on
        async def say(self) -> None: ...

    class Many(TypedConsumer):
        @on
        async def say(self, message: Say, user: str) -> None: ...

    assert refusal(Bare) == "Bare.say(): message has no annotation, which says what it takes: write message: Say"
    for consumer in (Nothing, Many):
        assert refusal(consumer).endswith("say() is called with one message: write say(self, message: Say)")


def test_a_handler_is_async_or_plain_as_its_class_is() -> None:
    class Chat(TypedConsumer):
        @on
        def say(self, message: Say) -> None: ...

    class PlainChat(SyncTypedConsumer):
        @on
        async def say(self, message: Say) -> None: ...

    assert "Chat.say() must be `async def`" in refusal(Chat)
    assert "PlainChat.say() must be a plain `def`" in refusal(PlainChat)


def test_a_handler_replaces_no_method_of_the_framework() -> None:
    class Chat(TypedConsumer):
        @on
        async def close(self, message: Say) -> None: ...  # type: ignore[override]

    assert "Chat.close() would replace" in refusal(Chat)


def test_a_handler_that_is_overridden_keeps_its_decorator_or_is_taken_away() -> None:
    class Base(TypedConsumer):
        @on
        async def say(self, message: Say) -> None: ...

    class Chat(Base):
        async def say(self, message: Say) -> None: ...

    class Silent(Base):
        say = None  # type: ignore[assignment]

    assert "Chat.say replaces the handler of a base class: write @on" in refusal(Chat)
    Silent.as_asgi()


def test_a_name_that_only_type_checkers_see_is_an_error() -> None:
    class Chat(TypedConsumer):
        @on
        async def say(self, message: "Unseen") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert refusal(Chat).startswith("Chat.say(): name 'Unseen' is not defined: define or import it above the class")


@pytest.mark.parametrize("decorator", [on, on_event])
def test_the_decorators_are_for_methods(decorator: Any) -> None:
    with pytest.raises(TypeError, match="are for a consumer's methods"):
        decorator(staticmethod(lambda message: None))
    with pytest.raises(TypeError, match="has a decorator of this kind already"):
        on(decorator(lambda self, message: None))


@pytest.mark.parametrize(
    "options", [{"rate_limit": 0}, {"rate_limit": "5"}, {"rate_limit": True}, {"rate_limit": 5, "rate_burst": 0}]
)
def test_a_rate_limit_is_a_number(options: Any) -> None:
    with pytest.raises(ValueError, match="@on: rate_"):
        on(**options)


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_invalid", 0), ("max_invalid", None), ("max_invalid", 1.5), ("expires_notice", -1), ("expires_notice", "60")],
)
def test_options_are_numbers(option: str, value: Any) -> None:
    assert f"Chat.{option} must be" in refusal(handling(Say, **{option: value}), ValueError)


def test_two_models_of_one_type_are_told_apart_by_another_field() -> None:
    class A(Say):
        kind: Literal["a"]

    class B(Say):
        kind: Literal["b"]

    handling(Annotated[A | B, Field(discriminator="kind")]).as_asgi()


def test_a_handler_without_its_decorator_is_told() -> None:
    class Chat(TypedConsumer):
        async def say(self, message: Say) -> None: ...

    text = "Chat.say() takes the model Say and nothing here calls it: write @on above it, or @on_event for what is sent"
    assert refusal(Chat).startswith(text)
    assert refusal(Chat).endswith("if code elsewhere calls it, name it _say()")


def test_a_method_that_takes_a_model_is_no_handler_where_code_calls_it_or_another_handles_the_model() -> None:
    class Calls(TypedConsumer):
        @on
        async def moved(self, message: Moved) -> None:
            await self.store(Say(text="moved"))

        async def store(self, message: Say) -> None: ...

    class Handles(TypedConsumer):
        @on
        async def say(self, message: Say) -> None: ...

        async def store(self, message: Say) -> None: ...

    class Takes(TypedConsumer):
        async def store(self, message: Untyped, room: str) -> None: ...

    class Private(TypedConsumer):
        async def _store(self, message: Say) -> None: ...

    for consumer_class in (Calls, Handles, Takes, Private):
        consumer_class.as_asgi()


def test_the_hook_of_another_class_is_told() -> None:
    class Chat(TypedConsumer):
        async def receive_json(self, content: Any) -> None: ...

    assert refusal(Chat) == (
        "Chat.receive_json() is never called: a typed consumer has a method with @on for each model that it takes"
    )


@pytest.mark.parametrize("name", ["presence_dif", "presence_sate", "layer_gop", "presence_cuont"])
def test_a_misspelt_handler_of_what_layers_send_is_told(name: str) -> None:
    async def handler(self: Any, event: Any) -> None: ...

    text = refusal(type("Chat", (TypedConsumer,), {name: handler}))
    assert text.startswith(f"Chat.{name}() is never called: did you mean ")
