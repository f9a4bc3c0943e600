"""The types of an application's messages, as TypeScript's own compiler and a reader see them."""

import functools
import operator
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Never

import pydantic
import pytest
from pydantic import BaseModel, Field, create_model, model_serializer
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from typing_extensions import TypedDict

from consumers import AsyncJsonWebsocketConsumer, URLRouter, path
from consumers.typed import TypedConsumer, on, on_event
from consumers.typed.typescript import typescript_module

from ..support.tsc import compile_programs
from . import wide_other
from .documents import sample
from .models import Moved, Said, Say
from .wide import EVERYTHING, Both, Custom, Everything, Item, Wide


class Leave(BaseModel):
    type: Literal["leave"] = "leave"
    at: tuple[int, int] | None = None


class Chat(TypedConsumer):
    """Rooms of people."""

    sends = Said | Moved

    @on
    async def say(self, message: Say) -> Said:
        return Said(user="ann", text=message.text)

    @on
    async def leave(self, message: Leave) -> None: ...


HAS_KEYS = not pydantic.VERSION.startswith("2.9.")
"""Whether pydantic's schemas of dicts say what their keys are."""


def declaration(module: str, name: str) -> str:
    """Return what a module says that a type is, in one line."""
    found = re.search(rf"^export type {name} =\s+(?:\| )?(.*?);$", module, re.MULTILINE | re.DOTALL)
    found = found or re.search(rf"^export interface {name} {{(.*?)^}}", module, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no {name} in {module}"
    return " ".join(found[1].split())


def message(name: str, tag: str, doc: str | None = None, **fields: Any) -> Any:
    """Return a model of a message."""
    make: Any = create_model
    return make(name, __doc__=doc, type=(Literal[tag], tag), **fields)


def consumer(name: str, models: Sequence[Any], **attributes: Any) -> Any:
    """Return a consumer that takes and sends models."""
    union = functools.reduce(operator.or_, models)

    async def handle(self: Any, message: Any) -> Any: ...

    handle.__annotations__["message"] = union
    return type(name, (TypedConsumer,), {"sends": union, "handle": on(handle), **attributes})


def types_of(*models: Any) -> str:
    """Return the module of a consumer that takes and sends models."""
    return typescript_module(consumer("Chat", models).as_asgi())


# What is right, and what is wrong, with the chat's types

HEAD = 'import type { Answer, Channels, ChatIn, ChatOut, ChatReplies, Leave, MessageId, Said, Say } from "./chat";\n'

RIGHT = """
export const messages: ChatIn[] = [
  { type: "say", text: "hello" },
  { type: "say", text: "hello", id: 1 },
  { type: "say", text: "hello", id: "one" },
  { type: "leave" },
  { type: "leave", at: null },
  { type: "leave", at: [1, 2] },
];
export const text = JSON.stringify({ type: "say", text: "hello", id: 1 } satisfies ChatIn);

export function read(text: string): string {
  const message: ChatOut = JSON.parse(text);
  switch (message.type) {
    case "said":
      return `${message.user}: ${message.text}, ${message.to ?? "to nobody"}`;
    case "moved":
      return message.x.toFixed();
    case "ack":
      return String(message.to satisfies MessageId);
    case "error":
      return message.code === "invalid" ? message.errors.map((each) => each.msg + each.loc[0]).join() : message.code;
    case "expires":
      return message.in.toFixed();
    case "joined":
    case "gap":
      return message.label;
    case "pong":
      return message.type;
    default:
      return message satisfies never;
  }
}

declare function ask<M extends ChatIn>(message: M): Promise<ChatReplies[M["type"]]>;
export async function use(): Promise<[string, MessageId]> {
  const said = await ask({ type: "say", text: "hello" });
  const ack = await ask({ type: "leave" });
  return [said.text, ack.to];
}

declare function open<N extends keyof Channels>(name: N, parameters: Channels[N]["parameters"]): Channels[N]["out"];
export const out: ChatOut = open("Chat", { room: "one", page: 2 });
export const address = "/chat/{room}/{page}" satisfies Channels["Chat"]["address"];
"""

WRONG = [
    'export const m: ChatIn = { type: "say" };',
    'export const m: ChatIn = { type: "say", text: 1 };',
    'export const m: ChatIn = { type: "say", text: "hello", more: 1 };',
    'export const m = { type: "say", text: "hello", more: 1 } satisfies ChatIn;',
    'export const m: ChatIn = { type: "say", text: "hello", id: true };',
    'export const m: ChatIn = { type: "shout", text: "hello" };',
    'export const m: ChatIn = { text: "hello" };',
    'export const m: ChatIn = { type: "leave", text: "hello" };',
    'export const m: ChatIn = { type: "leave", at: [1, 2, 3] };',
    'export const m: ChatIn = { type: "said", user: "ann", text: "hello" };',
    "export const f = (m: ChatOut) => m.text;",
    'export const f = (m: ChatOut) => m.type === "moved" && m.to;',
    'export const f = (m: ChatOut) => m.type === "say";',
    "export const f = (m: ChatReplies) => m.shout;",
    "export const f = (m: ChatReplies) => m.leave.text;",
    'export const p: Channels["Chat"]["parameters"] = { room: 1, page: 1 };',
    'export const p: Channels["Chat"]["parameters"] = { page: 1 };',
    'export const a: Channels["Chat"]["address"] = "/chat";',
]


def test_right_programs_compile_and_wrong_ones_do_not(tmp_path: Path) -> None:
    app = Starlette(routes=[WebSocketRoute("/chat/{room}/{page:int}", Chat.as_asgi())])
    wrong = {f"wrong{number}": HEAD + line for number, line in enumerate(WRONG)}
    expected = {f"expected{number}": f"{HEAD}// @ts-expect-error\n{line}" for number, line in enumerate(WRONG)}
    programs = {"chat": typescript_module(app), "right": HEAD + RIGHT, **wrong, **expected}
    errors = compile_programs(programs, tmp_path)
    accepted = [programs[name] for name in wrong if name not in errors]
    assert accepted == []
    assert {name: found for name, found in errors.items() if name not in wrong} == {}
    for number, line in enumerate(WRONG):
        assert all(error.endswith(line) for error in errors[f"wrong{number}"])


# The wide sample

WIDE_WRONG = [
    'export const a: EverythingOutput["price"] = 1.5;',
    'export const a: EverythingInput["price"] = true;',
    'export const a: EverythingInput["moment"] = new Date();',
    'export const a: EverythingInput["color"] = "green";',
    'export const a: EverythingInput["level"] = 3;',
    'export const a: EverythingInput["either"] = false;',
    'export const a: EverythingInput["pair"] = [1];',
    'export const a: EverythingInput["pair"] = ["1", 1];',
    'export const a: EverythingInput["no_items"] = [1];',
    'export const a: EverythingInput["point"] = [];',
    'export const a: EverythingInput["by_name"] = { a: 1 };',
    'export const a: EverythingInput["tree"] = { name: "a", children: [{ name: 1 }] };',
    'export const a: EverythingInput["shape"] = { radius: 1 };',
    'export const a: EverythingInput["shape"] = { shape: "square", radius: 1 };',
    "export const f = (m: EverythingOutput) => m.shape.radius;",
    'export const a: EverythingInput["page"] = { items: [{ weight: 1 }] };',
    'export const a: EverythingInput["other_page"] = { items: [{ name: "a", price: 1 }] };',
    'export const a: EverythingInput["json_value"] = { a: [true] };',
    "export const a = (m: EverythingInput) => m.twice;",
    "export const a = (m: EverythingInput) => m.with_alias;",
    'export const a: WideIn = { type: "draw", form: "line", text: "a" };',
    'export const a: WideIn = { type: "draw", to: [1] };',
]

if HAS_KEYS:
    WIDE_WRONG.append('export const a: EverythingInput["by_color"] = { green: 1 };')

WIDE_RIGHT = """
export const taken: WideIn[] = [
  { type: "draw", form: "line", to: [1] },
  { type: "redraw", form: "text", text: "a", id: 1 },
  { type: "renamed" },
  { type: "several", count: 1 },
  { type: "both", text: "a" },
];
export function area(message: WideOut): number | string | unknown {
  if (message.type === "custom") return message.whatever;
  if (message.type !== "everything") return message.type;
  if (message.by_color.red === 1) return message.by_level[1];
  return message.shape.shape === "circle" ? message.shape.radius : message.shape.side;
}
export const replies = (m: WideReplies) => [m.everything.type, m.draw.more, m.redraw.more, m.several.type, m.both.to];
"""


def test_a_wide_sample_compiles_and_wrong_uses_do_not(tmp_path: Path) -> None:
    head = (
        'import type { EverythingInput, EverythingOutput, WideIn, WideOut, WideReplies } from "./wide";\n'
        "export declare const values: [EverythingInput, EverythingOutput, WideIn, WideOut, WideReplies];\n"
    )
    sent = EVERYTHING.model_dump_json(by_alias=True)
    taken = sent.replace(',"twice":2', "")
    values = f"\nexport const message = {sent} satisfies WideOut;\nexport const again: WideIn = {taken};"
    wrong = {f"wrong{number}": head + line for number, line in enumerate(WIDE_WRONG)}
    programs = {"wide": typescript_module(Wide.as_asgi()), "right": head + WIDE_RIGHT + values, **wrong}
    errors = compile_programs(programs, tmp_path)
    assert [programs[name] for name in wrong if name not in errors] == []
    assert {name: found for name, found in errors.items() if name not in wrong} == {}


def test_the_two_forms_of_a_model_have_two_names_only_if_they_differ() -> None:
    module = typescript_module(Wide.as_asgi())
    assert declaration(module, "EverythingInput") != declaration(module, "EverythingOutput")
    assert declaration(module, "TreeInput") == "name: string; /** @default [] */ children?: TreeInput[];"
    assert declaration(module, "TreeOutput") == "name: string; children: TreeOutput[];"
    for name in ("Both", "Circle", "Json", "Names", "Open", "Options", "Point"):
        declaration(module, name)
        assert f"{name}Input" not in module
        assert f"{name}Output" not in module


def test_models_of_one_name_are_told_apart_by_as_little_of_their_module_as_will_do() -> None:
    module = typescript_module(Wide.as_asgi())
    assert declaration(module, "wide_other_Item") == "weight: number;"
    assert "name: string" in declaration(module, "wide_ItemInput")
    assert declaration(module, "Page_Item_2Output") == "items: wide_other_Item[]; next: number | null;"
    assert {Item.__name__} == {wide_other.Item.__name__}


def test_the_sample_of_the_documents_compiles(tmp_path: Path) -> None:
    module = typescript_module(sample.app)
    assert declaration(module, "Color") == '"red" | "green"'
    assert declaration(module, "other_Color") == '"cyan" | "pink"'
    assert "ColorInput" not in module
    assert compile_programs({"sample": module}, tmp_path) == {}


def test_it_is_the_same_each_time() -> None:
    assert len({typescript_module(Wide.as_asgi()) for _ in range(3)}) == 1


# Channels, and what answers what


def test_answers_belong_to_messages() -> None:
    class First(BaseModel):
        type: Literal["first", "the first"] = "first"

    class Second(BaseModel):
        type: Literal["second"] = "second"

    class Third(BaseModel):
        type: Literal["third"] = "third"

    class Fourth(BaseModel):
        type: Literal["fourth"] = "fourth"

    class To(BaseModel):
        type: Literal["to"] = "to"
        to: str

    class Room(TypedConsumer):
        sends = Said | Both | To

        @on
        async def a(self, message: First) -> Said | None: ...

        @on
        async def b(self, message: Second) -> Said | Both:
            return Both(text="")

        @on
        async def c(self, message: Third) -> Never:
            raise ValueError

    class Untold(Room):
        @on
        async def d(self, message: Fourth):  # type: ignore[no-untyped-def]
            return None

        @on_event
        async def e(self, message: Moved) -> None: ...

    module = typescript_module(
        Starlette(routes=[WebSocketRoute("/", Room.as_asgi()), WebSocketRoute("/untold", Untold.as_asgi())])
    )
    told = 'first: Answer<Said> | AckMessage; "the first": Answer<Said> | AckMessage; '
    told += "second: Answer<Said> | Answer<Both>; third: never;"
    assert declaration(module, "RoomReplies") == told
    assert declaration(module, "UntoldReplies") == f"{told} fourth: Answer<Said> | Answer<Both> | AckMessage;"
    own = "ErrorMessage | AckMessage | ExpiresMessage | JoinedMessage | GapMessage | PongMessage"
    assert declaration(module, "RoomOut") == f"Answer<Sent<Said>> | Answer<Sent<Both>> | Sent<To> | {own}"
    assert declaration(module, "UntoldIn") == "{ id?: MessageId } & (First | Second | Third | Fourth)"
    assert "Moved" not in module


def test_the_id_has_the_key_of_the_class() -> None:
    class Room(TypedConsumer):
        id_key = "message-id"

        @on
        async def say(self, message: Say) -> None: ...

    assert declaration(typescript_module(Room.as_asgi()), "RoomIn") == 'Say & { "message-id"?: MessageId }'


def test_channels_have_addresses_and_parameters(tmp_path: Path) -> None:
    class Plain(AsyncJsonWebsocketConsumer):
        pass

    class Silent(TypedConsumer):
        pass

    Other: Any = type("Chat", (Chat,), {})
    routes = [
        WebSocketRoute("/chat/{room}/{page:int}", Chat.as_asgi()),
        Mount("/inner", routes=[WebSocketRoute("/{share:float}", Chat.as_asgi())]),
        WebSocketRoute("/other", Other.as_asgi()),
        WebSocketRoute("/plain", Plain.as_asgi()),
        Mount("/django", URLRouter([path("<uuid:id>/", Silent.as_asgi())])),
    ]
    module = typescript_module(Starlette(routes=routes))
    channels = module.partition("export interface Channels")[2]
    members = dict(re.findall(r"^  (\w+): {\n(.*?)^  };", channels, re.MULTILINE | re.DOTALL))
    found = {name: re.findall(r"^    \w+: (.*);$", text, re.MULTILINE) for name, text in members.items()}
    untyped = "unknown /* the consumer is no typed one */"
    silent = ["SilentIn", "SilentOut", "SilentReplies"]
    assert found == {
        "Chat": ['"/chat/{room}/{page}"', "{ room: string; page: number }", "ChatIn", "ChatOut", "ChatReplies"],
        "Chat2": ['"/inner/{share}"', "{ share: number }", "ChatIn", "ChatOut", "ChatReplies"],
        "Chat3": ['"/other"', "{}", "Chat2In", "Chat2Out", "Chat2Replies"],
        "Plain": ['"/plain"', "{}", untyped, untyped, "{}"],
        "Silent": ['"/django/{id}/"', "{ id: string }", *silent],
    }
    assert declaration(module, "SilentIn") == "never"
    assert declaration(module, "SilentReplies") == "{}"
    assert compile_programs({"channels": module}, tmp_path) == {}


def test_without_a_consumer_there_is_an_error() -> None:
    with pytest.raises(TypeError, match="no consumer is found in"):
        typescript_module(Starlette())


def test_a_field_that_json_schema_cannot_describe_is_an_error() -> None:
    Bad = message("Bad", "bad", call=(Callable[[], int], ...))
    with pytest.raises(TypeError, match="Bad has a field that JSON Schema cannot describe"):
        types_of(Bad)


# Names and texts that are not harmless

HOSTILE = [
    '"; export const broken = 1; //',
    "*/ export const broken = 1; /*",
    "**//**/",
    "`${broken}`",
    "back\\slash\\",
    "\\u0022; broken",
    "line\nbreak\r\nand\u2028more\u2029",
    "null\x00, escape\x1b, \u202eoverride",
    "@ts-ignore",
    "\n@ts-expect-error",
    "<script>&amp;</script>",
    "é 漢 😀",
    "__proto__",
    "constructor",
    "",
    "new",
    "1",
    "a-b",
    "[key: string]",
]


@pytest.mark.slow
def test_no_text_can_end_what_it_stands_in(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        f"field{number}": (Literal[hostile] | None, Field(default=hostile, alias=hostile, description=hostile))
        for number, hostile in enumerate(HOSTILE)
    }
    programs, values = {}, []
    for number, hostile in enumerate(HOSTILE):
        tag = hostile or "empty"
        name = hostile.replace("\x00", "")  # which no class has in its name
        model = message(f"M{name}", tag, hostile, **fields)
        app = Starlette(routes=[WebSocketRoute(f"/{hostile.replace('{', '')}", Chat.as_asgi())])
        Chat2 = consumer(f"C{name}", [model], __doc__=hostile)
        app.routes.append(WebSocketRoute("/two", Chat2.as_asgi()))
        module = programs[f"module{number}"] = typescript_module(app)
        assert not re.search(r"[^\n -~éα-ωа-я漢😀]", module), "there is something that cannot be seen"
        [out] = re.findall(r"^export type (?!Chat)(\w+)Out =", module, re.MULTILINE)
        value = model().model_dump_json(by_alias=True).replace('"__proto__":', '["__proto__"]:')
        values.append(f'import type {{ {out}Out }} from "./module{number}";\n')
        programs[f"value{number}"] = f"{values[-1]}export const value: {out}Out = {value};\n"
    assert compile_programs(programs, tmp_path) == {}


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    words = ["string", "any", "MessageId", "ErrorMessage", "Channels", "ChatIn", "Array", "Record", "await", "Answer"]
    models = [message(word, word, next=(int, ...)) for word in words]
    module = types_of(*models)
    taken = {"string", "any", "MessageId", "ErrorMessage", "Channels", "ChatIn", "await", "Answer"}
    for word in words:
        name = f"{word}2" if word in taken else word
        assert f'type: "{word}"' in module
        assert re.search(rf"^export interface {name} {{$", module, re.MULTILINE)
    assert compile_programs({"module": module}, tmp_path) == {}


class Shown(TypedDict):
    text: str


class Hidden(BaseModel):
    type: Literal["hidden"] = "hidden"

    @model_serializer
    def write(self) -> Shown:
        return {"text": "a"}


def test_what_a_model_writes_by_itself_has_its_type() -> None:
    module = types_of(Custom, Hidden)
    assert declaration(module, "CustomOutput") == 'type: "custom"; [key: string]: unknown;'
    assert declaration(module, "CustomInput") == 'type: "custom";'
    assert declaration(module, "HiddenOutput") == 'type: "hidden"; text: string;'


def test_a_type_that_has_several_aliases_is_called_type() -> None:
    module = typescript_module(Wide.as_asgi())
    assert declaration(module, "SeveralNames") == 'type: "several"; count: number;'
    assert Everything.__name__ in module
