"""What a client's message brings about: its handler with a model, an answer, an error, or the end."""

import json
import tracemalloc
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model, field_validator

from consumers import InMemoryChannelLayer
from consumers.typed import SyncTypedConsumer, TypedConsumer, on
from consumers.typed.incoming import without_key
from consumers.types import Message

from ..support.wire import connected
from .models import Move, Moved, Numbers, Said, Say, ask

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Chat(TypedConsumer):
    sends = Said | Moved

    @on
    async def say(self, message: Say) -> Said | None:
        if message.text == "silence":
            return None
        return Said(user="ann", text=message.text)

    @on
    async def move(self, message: Move) -> None:
        await self.send_message(Moved(x=message.x))

    @on
    async def numbers(self, message: Numbers) -> None: ...


class PlainChat(SyncTypedConsumer):
    sends = Said | Moved

    @on
    def say(self, message: Say) -> Said | None:
        if message.text == "silence":
            return None
        return Said(user="ann", text=message.text)

    @on
    def move(self, message: Move) -> None:
        self.send_message(Moved(x=message.x))


async def test_a_handler_gets_the_model_and_what_it_returns_is_the_answer() -> None:
    async with connected(Chat.as_asgi()) as wire:
        assert await ask(wire, {"type": "say", "text": "hi"}) == {"type": "said", "user": "ann", "text": "hi"}
        answer = await ask(wire, {"type": "say", "text": "hi", "id": "a1"})
        assert answer == {"type": "said", "user": "ann", "text": "hi", "to": "a1"}
        assert await ask(wire, {"type": "say", "text": "silence", "id": 7}) == {"type": "ack", "to": 7}
        assert await ask(wire, {"type": "move", "x": "5"}) == {"type": "moved", "x": 5}


@only_asyncio
async def test_a_sync_consumer_does_the_same() -> None:
    async with connected(PlainChat.as_asgi()) as wire:
        answer = await ask(wire, {"type": "say", "text": "hi", "id": "a1"})
        assert answer == {"type": "said", "user": "ann", "text": "hi", "to": "a1"}
        assert await ask(wire, {"type": "say", "text": "silence", "id": 7}) == {"type": "ack", "to": 7}
        assert await ask(wire, {"type": "move", "x": 5}) == {"type": "moved", "x": 5}
        assert (await ask(wire, {"type": "no", "id": 8}))["code"] == "unknown_type"


@pytest.mark.parametrize("id", ["", "a", "x" * 64, '"\\/\n\u00e9\U0001f600', 0, -1, 2**63 - 1])
async def test_an_answer_repeats_the_id(id: str | int) -> None:
    async with connected(Chat.as_asgi()) as wire:
        for text in (json.dumps, lambda message: json.dumps(message, ensure_ascii=False)):
            assert (await ask(wire, text({"id": id, "type": "say", "text": "silence"})))["to"] == id
            assert (await ask(wire, text({"type": "nothing", "id": id})))["to"] == id


@pytest.mark.parametrize("id", ["x" * 65, 2**63, -(2**63), 1.5, True, None, [], {}, ["a"]])
async def test_a_wrong_id_is_invalid_and_answered_without_it(id: Any) -> None:
    async with connected(Chat.as_asgi()) as wire:
        error = await ask(wire, {"type": "say", "text": "hi", "id": id})
        assert (error["code"], error["errors"][0]["loc"]) == ("invalid", ["id"])
        assert "to" not in error
        assert len(json.dumps(error)) < 300


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 5, "type": "move", "x": 1}',
        '{"type": "move", "x": 1, "id": 5}',
        ' \n{\t"type" : "move" ,\r "id" : 5 , "x" : 1 } ',
        '{"type": "move", "\\u0069d": 5, "x": 1}',
        '{"id": 4, "type": "move", "x": 1, "id": 5}',
    ],
)
async def test_the_id_is_taken_out_for_models_that_forbid_what_they_do_not_know(text: str) -> None:
    async with connected(Chat.as_asgi()) as wire:
        wire.text(text)
        assert json.loads(await wire.next_text()) == {"type": "moved", "x": 1}
        assert json.loads(await wire.next_text()) == {"type": "ack", "to": 5}
        error = await ask(wire, '{"type": "move", "x": 1, "y": {"id": 3}, "other": 2}')
        assert [fault["loc"] for fault in error["errors"]] == [["y"], ["other"]]
        assert "to" not in error  # it has no id itself


@given(
    st.dictionaries(
        st.text(max_size=3) | st.just("id"),
        st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.just("id"), inner)),
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_whatever_else_is_in_a_message_stays(content: dict[str, Any], indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=is_ascii)
    rest = {key: value for key, value in content.items() if key != "id"}
    assert json.loads(without_key(text, "id")) == rest
    escaped = text.replace('"id"', '"\\u0069d"')
    assert json.loads(without_key(f" {escaped} ", "id")) == rest


async def test_another_key_may_have_the_id() -> None:
    class Item(Say):
        id: int

    class Shop(TypedConsumer):
        id_key = "ref"

        @on
        async def item(self, message: Item) -> None: ...

    class FrenchShop(Shop):
        id_key = "r\u00e9f"

    for consumer in (Shop, FrenchShop):
        async with connected(consumer.as_asgi()) as wire:
            for ascii_only in (True, False):
                message = {"type": "say", "text": "a", "id": 1, consumer.id_key: "r"}
                answer = await ask(wire, json.dumps(message, ensure_ascii=ascii_only))
                assert answer == {"type": "ack", "to": "r"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nope",
        '{"type": "say", "text": "a"',
        '{"type": "numbers", "share": NaN}',
        '{"type": "numbers", "share": -Infinity, "id": 3}',
        '{"type": "say", "text": "a", "more": [Infinity]}',
        '{"type": "say", "text": "\x01"}',
        '{"type": "say", "text": "\\ud800", "id": 4}',
        '{"type": "say", "text": "\ud800"}',
        '{"type": "say", "text": "\ud800NaN"}',
        '\ufeff{"type": "say", "text": "a"}',
        '{"type": "say", "more": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"type": "say", "id": ' + "9" * 5000 + "}",
        "{'type': 'say'}",
        '{"type": "say", "text": "a",}',
    ],
)
async def test_what_is_not_json_is_told_so(text: str) -> None:
    async with connected(Chat.as_asgi()) as wire:
        assert await ask(wire, text) == {"type": "error", "code": "not_json", "errors": [], "more": 0}
        assert (await ask(wire, {"type": "say", "text": "NaN and Infinity"}))["text"] == "NaN and Infinity"


@pytest.mark.parametrize("tag", ["nope", "x" * 100_000, 5, None, True, {"a": 1}, ["say"]])
async def test_an_unknown_type_is_told_so_and_not_repeated(tag: Any) -> None:
    async with connected(Chat.as_asgi()) as wire:
        error = await ask(wire, {"type": tag, "id": 1})
        assert error == {"type": "error", "code": "unknown_type", "to": 1, "errors": [], "more": 0}


@pytest.mark.parametrize("text", ["5", "null", "true", "[1]", '"say"', "{}", '{"text": "a"}', '[{"id": 1}]'])
async def test_what_is_no_message_is_invalid(text: str) -> None:
    async with connected(Chat.as_asgi()) as wire:
        error = await ask(wire, text)
        assert (error["code"], len(error["errors"])) == ("invalid", 1)
        assert error["errors"][0]["loc"] in ([], ["type"])


async def test_an_invalid_message_is_told_where_it_is_wrong_without_its_values() -> None:
    async with connected(Chat.as_asgi()) as wire:
        error = await ask(wire, {"type": "numbers", "values": [1, "secret"], "id": "n"})
        assert error == {
            "type": "error",
            "code": "invalid",
            "to": "n",
            "errors": [
                {
                    "loc": ["values", 1],
                    "msg": "Input should be a valid integer, unable to parse string as an integer",
                    "type": "int_parsing",
                }
            ],
            "more": 0,
        }


async def test_ten_errors_are_listed_and_the_others_counted() -> None:
    async with connected(Chat.as_asgi()) as wire:
        for count in (10, 11, 100):
            error = await ask(wire, {"type": "numbers", "values": ["a"] * count})
            assert (len(error["errors"]), error["more"]) == (10, count - 10)
        error = await ask(wire, {"type": "numbers", "values": ["a"] * 101})
        assert (error["errors"], error["more"]) == ([], 101)


@pytest.mark.slow
async def test_a_large_message_of_wrong_numbers_is_answered_with_a_small_one() -> None:
    class Large(Chat):
        max_message_size = 4 * 1024 * 1024

    async with connected(Large.as_asgi()) as wire:
        wire.text('{"type": "numbers", "values": [' + ",".join(["1.5"] * 750_000) + "]}")
        assert len(await wire.next_text()) < 200


async def test_a_large_message_is_what_a_small_one_is() -> None:
    long = "x" * 20_000
    async with connected(Chat.as_asgi()) as wire:
        assert await ask(wire, {"type": "numbers", "more": long, "id": 1}) == {"type": "ack", "to": 1}
        for content, code in (
            ({"type": "numbers", "values": [long]}, "invalid"),
            ({"type": "no", "more": long}, "unknown_type"),
            ({"more": long}, "invalid"),
            ([long], "invalid"),
            (f"[{long}", "not_json"),
        ):
            assert (await ask(wire, content))["code"] == code


@pytest.mark.slow
async def test_an_error_costs_no_copies_of_the_message() -> None:
    class Form(BaseModel):
        type: Literal["form"] = "form"

    needed: dict[str, Any] = {f"field{number}": (int, ...) for number in range(100)}
    Wide = create_model("Wide", __base__=Form, **needed)

    class Forms(TypedConsumer):
        @on
        async def wide(self, message: Wide) -> None: ...  # type: ignore[valid-type]

    text = json.dumps({"type": "form", "more": list(range(100_000))})
    async with connected(Forms.as_asgi()) as wire:
        assert (await ask(wire, {"type": "form", "more": []}))["more"] == 90
        tracemalloc.start()
        try:
            assert (await ask(wire, text)) == {"type": "error", "code": "invalid", "errors": [], "more": 1}
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


async def test_an_error_is_short_whatever_keys_and_depth_the_client_has_chosen() -> None:
    class Tree(BaseModel):
        model_config = {"extra": "forbid"}
        children: "dict[str, Tree]" = {}

    class Plant(Say):
        tree: Tree

    class Garden(TypedConsumer):
        @on
        async def plant(self, message: Plant) -> None: ...

    async with connected(Garden.as_asgi()) as wire:
        long = "k" * 1_000
        deep: Any = {f"{long}{number}": 1 for number in range(50)}
        for _ in range(60):
            deep = {"children": {long: deep}}
        wire.text(json.dumps({"type": "say", "text": "a", "tree": deep}))
        text = await wire.next_text()
        assert len(text) < 15_000
        assert all(len(fault["loc"]) == 16 for fault in json.loads(text)["errors"])


async def test_what_a_validator_says_is_passed_on_cut() -> None:
    class Name(Say):
        @field_validator("text")
        @classmethod
        def check(cls, text: str) -> str:
            raise ValueError(f"{text} is taken")

    class Names(TypedConsumer):
        @on
        async def name(self, message: Name) -> None: ...

    async with connected(Names.as_asgi()) as wire:
        error = await ask(wire, {"type": "say", "text": "ann"})
        assert error["errors"][0]["msg"] == "Value error, ann is taken"
        error = await ask(wire, {"type": "say", "text": "a" * 1000})
        assert len(error["errors"][0]["msg"]) == 200


async def test_invalid_messages_in_a_row_close_with_1008() -> None:
    async with connected(Chat.as_asgi()) as wire:
        for _ in range(2):
            for _ in range(9):
                assert (await ask(wire, {"type": "no"}))["code"] == "unknown_type"
            await ask(wire, {"type": "say", "text": "a valid one between"})
        for text in ("nope", '{"type": "no"}', '{"type": "say"}') * 3:
            await ask(wire, text)
        wire.text("nope")
        close = await wire.next()
        assert (close["type"], close["code"]) == ("websocket.close", 1008)
        await wire.end()
        assert wire.error is None


async def test_binary_frames_close_with_1003() -> None:
    async with connected(Chat.as_asgi()) as wire:
        wire.client("receive", bytes=b'{"type": "say"}')
        assert (await wire.next())["code"] == 1003


async def test_a_message_has_one_megabyte_at_most() -> None:
    async with connected(Chat.as_asgi()) as wire:
        wire.text(json.dumps({"type": "say", "text": "a", "more": "x" * 1024 * 1024}))
        assert (await wire.next())["code"] == 1009


async def test_a_handler_may_have_a_rate_limit() -> None:
    class Slow(Chat):
        @on(rate_limit=0.001, rate_burst=2)
        async def say(self, message: Say) -> None: ...

    async with connected(Slow.as_asgi()) as wire:
        for number in (1, 2):
            assert await ask(wire, {"type": "say", "text": "a", "id": number}) == {"type": "ack", "to": number}
        for _ in range(20):  # which are valid
            error = await ask(wire, {"type": "say", "text": "a", "id": 3})
            assert error == {"type": "error", "code": "rate_limited", "to": 3, "errors": [], "more": 0}
        assert await ask(wire, {"type": "move", "x": 1}) == {"type": "moved", "x": 1}


class Failing(TypedConsumer):
    @on
    async def say(self, message: Say) -> None:
        raise RuntimeError("a secret")


async def test_the_client_of_a_handler_that_fails_is_told_so_if_the_connection_lives_on() -> None:
    class Lasting(Failing):
        async def on_error(self, exc: Exception, message: Message | None) -> None: ...

    async with connected(Lasting.as_asgi()) as wire:
        error = await ask(wire, {"type": "say", "text": "a", "id": 4})
        assert error == {"type": "error", "code": "failed", "to": 4, "errors": [], "more": 0}
        assert (await ask(wire, {"type": "say", "text": "a"}))["code"] == "failed"


async def test_a_handler_of_the_layers_that_fails_is_not_the_clients_affair(layer: InMemoryChannelLayer) -> None:
    class Lasting(Failing):
        groups = ["room"]

        async def chat_message(self, event: Message) -> None:
            raise RuntimeError("a secret")

        async def on_error(self, exc: Exception, message: Message | None) -> None: ...

    async with connected(Lasting.as_asgi()) as wire:
        await layer.group_send("room", {"type": "chat.message", "text": '{"id": 1}'})
        assert (await ask(wire, {"type": "no"}))["code"] == "unknown_type"


@only_asyncio
async def test_so_is_that_of_a_sync_handler() -> None:
    class Lasting(SyncTypedConsumer):
        @on
        def say(self, message: Say) -> None:
            raise RuntimeError("a secret")

        def on_error(self, exc: Exception, message: Message | None) -> None: ...

    async with connected(Lasting.as_asgi()) as wire:
        error = await ask(wire, {"type": "say", "text": "a", "id": 4})
        assert error == {"type": "error", "code": "failed", "to": 4, "errors": [], "more": 0}


async def test_else_the_connection_is_closed_with_1011_and_the_exception_leaves() -> None:
    async with connected(Failing.as_asgi()) as wire:
        wire.text('{"type": "say", "text": "a", "id": 4}')
        assert (await wire.next())["code"] == 1011
        await wire.end()
        assert str(wire.error) == "a secret"


async def test_a_handler_may_close_and_return() -> None:
    class Closing(TypedConsumer):
        sends = Said

        @on
        async def say(self, message: Say) -> Said | None:
            await self.close(4000)
            return Said(user="a", text="b") if message.text == "answer" else None

    for text in ("answer", "ack"):
        async with connected(Closing.as_asgi()) as wire:
            wire.text(json.dumps({"type": "say", "text": text, "id": 1}))
            assert (await wire.next())["code"] == 4000
            wire.disconnect()
            await wire.end()
            assert wire.error is None


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (Moved(x=1), "Sloppy: what say() has returned is a Moved: declare it, write sends = Said | Moved in Sloppy"),
        ({"type": "said"}, "Sloppy: what say() has returned is a dict, and no model"),
    ],
)
async def test_what_is_not_declared_is_not_sent(returned: Any, error: str) -> None:
    class Sloppy(TypedConsumer):
        sends = Said

        @on
        async def say(self, message: Say):  # type: ignore[no-untyped-def]
            if message.text == "send":
                await self.send_message(returned)
            return returned

    async with connected(Sloppy.as_asgi()) as wire:
        wire.text('{"type": "say", "text": "a"}')
        await wire.end()
        assert str(wire.error).startswith(error)
    async with connected(Sloppy.as_asgi()) as wire:
        wire.text('{"type": "say", "text": "send"}')
        await wire.end()
        assert str(wire.error).startswith(error.replace("say() has returned", "send_message() was given"))


async def test_an_answer_has_no_field_to_of_its_own() -> None:
    class Letter(Said):
        to: str = "bob"

    class Post(TypedConsumer):
        sends = Letter

        @on
        async def say(self, message: Say):  # type: ignore[no-untyped-def]
            return Letter(user="ann", text="hi")

        @on
        async def move(self, message: Move) -> None:
            await self.send_message(Letter(user="ann", text="hi"))

    async with connected(Post.as_asgi()) as wire:
        assert (await ask(wire, {"type": "move", "x": 1}))["to"] == "bob"
        wire.text('{"type": "say", "text": "a"}')
        await wire.end()
        assert "whose field 'to' an answer sets" in str(wire.error)
