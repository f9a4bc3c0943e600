"""What each kind of JSON Schema is in TypeScript."""

from pathlib import Path
from typing import Any

import pytest

from consumers.typed.typescript_schemas import Writer
from consumers.typed.typescript_text import Names, comment, key, literal, union

from ..support.tsc import compile_programs

STRING, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
ITEM = {"$ref": "#/$defs/Item"}
DEFINITIONS: dict[str, Any] = {
    "Item": {"type": "object", "properties": {"name": STRING}, "required": ["name"]},
    "Color": {"enum": ["red", "blue"], "type": "string"},
    "Level": {"enum": [1, 2], "type": "integer"},
    "Share": {"enum": [0.5], "type": "number"},
}
NAMES = {name: name for name in DEFINITIONS}

CASES: list[tuple[Any, str]] = [
    (True, "unknown"),
    ({}, "unknown"),
    ({"title": "Anything"}, "unknown"),
    (False, "never"),
    ({"const": "a"}, '"a"'),
    ({"const": 'a"\\\u2028'}, '"a\\"\\\\\\u2028"'),
    ({"const": None}, "null"),
    ({"const": True}, "true"),
    ({"const": -1}, "-1"),
    ({"const": 1.5}, "1.5"),
    ({"const": 2**60}, "number"),
    ({"const": float("inf")}, "number"),
    ({"enum": ["a", 1, None, "a"]}, '"a" | 1 | null'),
    ({"enum": [[1, "a"], {"a-b": []}]}, '[1, "a"] | { "a-b": [] }'),
    ({"enum": []}, "never"),
    (STRING, "string"),
    ({"type": "string", "format": "date-time"}, "string"),
    (INTEGER, "number"),
    ({"type": "number"}, "number"),
    ({"type": "boolean"}, "boolean"),
    (NULL, "null"),
    ({"type": ["string", "null"]}, "string | null"),
    ({"type": "file"}, "unknown /* JSON has no type 'file' */"),
    ({"type": "*/ x"}, "unknown /* JSON has no type '*\\/ x' */"),
    ({"type": "array"}, "unknown[]"),
    ({"type": "array", "items": STRING, "minItems": 2}, "string[]"),
    ({"type": "array", "items": {"anyOf": [STRING, NULL]}}, "(string | null)[]"),
    ({"type": "array", "items": {"type": "array", "items": ITEM}}, "Item[][]"),
    ({"items": STRING}, "string[]"),
    ({"type": "array", "maxItems": 0, "minItems": 0}, "[]"),
    ({"type": "array", "prefixItems": [STRING, INTEGER], "minItems": 2, "maxItems": 2}, "[string, number]"),
    ({"type": "array", "prefixItems": [STRING, INTEGER], "minItems": 1, "maxItems": 2}, "[string, number?]"),
    (
        {"type": "array", "prefixItems": [{"anyOf": [STRING, NULL]}, INTEGER], "maxItems": 2},
        "[(string | null)?, number?]",
    ),
    ({"type": "array", "prefixItems": [STRING], "items": INTEGER, "minItems": 1}, "[string, ...number[]]"),
    ({"type": "array", "prefixItems": [STRING], "items": False, "minItems": 1}, "[string]"),
    ({"type": "array", "prefixItems": [STRING], "minItems": 1}, "[string, ...unknown[]]"),
    ({"type": "object"}, "{ [key: string]: unknown }"),
    ({"type": "object", "additionalProperties": True}, "{ [key: string]: unknown }"),
    ({"type": "object", "additionalProperties": False}, "{ [key: string]: never }"),
    ({"type": "object", "additionalProperties": {"anyOf": [ITEM, NULL]}}, "{ [key: string]: Item | null }"),
    ({"additionalProperties": INTEGER, "propertyNames": {"format": "uuid"}}, "{ [key: string]: number }"),
    ({"additionalProperties": INTEGER, "propertyNames": {"enum": ["a"]}}, '{ [key in "a"]?: number }'),
    ({"additionalProperties": INTEGER, "propertyNames": {"const": "a"}}, '{ [key in "a"]?: number }'),
    (
        {"additionalProperties": INTEGER, "propertyNames": {"$ref": "#/$defs/Color"}},
        '{ [key in "red" | "blue"]?: number }',
    ),
    ({"additionalProperties": INTEGER, "propertyNames": {"$ref": "#/$defs/Level"}}, '{ [key in "1" | "2"]?: number }'),
    ({"additionalProperties": INTEGER, "propertyNames": {"$ref": "#/$defs/Share"}}, "{ [key: string]: number }"),
    ({"additionalProperties": INTEGER, "propertyNames": {"$ref": "#/$defs/None"}}, "{ [key: string]: number }"),
    (
        {"type": "object", "patternProperties": {"^a": INTEGER, "^b": STRING}},
        "{ [key: string]: number | string }",
    ),
    (
        {"patternProperties": {"^a": INTEGER}, "additionalProperties": NULL},
        "{ [key: string]: number | null }",
    ),
    (
        {"type": "object", "properties": {"a": STRING, "b-c": INTEGER}, "required": ["a"]},
        '{ a: string; "b-c"?: number }',
    ),
    (
        {"properties": {"a": STRING}, "additionalProperties": True},
        "{ a?: string; [key: string]: unknown }",
    ),
    (
        {"properties": {"a": STRING}, "additionalProperties": INTEGER},
        "{ a?: string; [key: string]: unknown /* number, except for the keys above */ }",
    ),
    ({"anyOf": [STRING, INTEGER, STRING]}, "string | number"),
    ({"oneOf": [ITEM, NULL]}, "Item | null"),
    ({"allOf": [ITEM], "description": "One."}, "Item"),
    ({"allOf": [ITEM, {"properties": {"a": STRING}}]}, "(Item & { a?: string })"),
    ({"anyOf": [{"allOf": [ITEM, {"type": ["string", "null"]}]}, NULL]}, "(Item & (string | null)) | null"),
    ({"type": "object", "properties": {"a": STRING}, "anyOf": [ITEM, {}]}, "((Item | unknown) & { a?: string })"),
    ({"$ref": "#/$defs/Item", "description": "One.", "default": None}, "Item"),
    ({"$ref": "#/$defs/Other"}, "unknown /* there is no schema #/$defs/Other */"),
    ({"$ref": "https://example.com/*/"}, "unknown /* there is no schema https://example.com/*\\/ */"),
    ({"not": STRING}, "unknown /* TypeScript has nothing like not */"),
    ({"if": STRING, "contains": {}}, "unknown /* TypeScript has nothing like if, contains */"),
    ({"type": "string", "not": {"const": "a"}}, "string"),
]


def text_of(schema: Any) -> str:
    return " | ".join(Writer(DEFINITIONS, NAMES).of(schema))


@pytest.mark.parametrize(("schema", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_a_schema(schema: Any, expected: str) -> None:
    assert text_of(schema) == expected


def module_of(definitions: dict[str, Any]) -> str:
    writer = Writer(definitions, {name: name for name in definitions})
    return "\n".join(line for name in definitions for line in writer.definition(name)) + "\n"


CYCLES: dict[str, Any] = {
    "Self": {"anyOf": [{"$ref": "#/$defs/Self"}, INTEGER]},
    "Only": {"$ref": "#/$defs/Only"},
    "One": {"anyOf": [{"$ref": "#/$defs/Two"}, STRING]},
    "Two": {"oneOf": [{"$ref": "#/$defs/One"}, {"$ref": "#/$defs/Three"}, INTEGER]},
    "Three": {"anyOf": [{"$ref": "#/$defs/Two"}, NULL, {"$ref": "#/$defs/Other"}]},
    "Other": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Other"}}, {"type": "boolean"}]},
    "Tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Tree"}},
    "Named": {"additionalProperties": {"$ref": "#/$defs/Named"}, "propertyNames": {"enum": ["a"]}},
    "Pair": {"prefixItems": [{"anyOf": [{"$ref": "#/$defs/Pair"}, NULL]}], "minItems": 1, "maxItems": 1},
    "Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}}},
}


def test_definitions_may_refer_to_themselves(tmp_path: Path) -> None:
    module = module_of(CYCLES)
    assert "export type Self = number;" in module
    assert "export type Only = never;" in module
    assert "export type One = null | Other | number | string;" in module
    assert "export type Other = Other[] | boolean;" in module
    everything = "".join(f"export type Case{number} = {expected};\n" for number, (_, expected) in enumerate(CASES))
    programs = {"cycles": module, "cases": module_of(DEFINITIONS) + everything}
    assert compile_programs(programs, tmp_path) == {}


def test_what_typescript_cannot_say_is_noted() -> None:
    schema = {
        "description": "A page.\n\n  Of many.  ",
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "pattern": "^*/$", "description": "Not empty."},
            "maybe": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, NULL], "default": None},
            "either": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date"}]},
            "times": {
                "type": "array",
                "items": {"type": "string", "format": "time"},
                "uniqueItems": True,
                "default": [],
            },
            "pair": {"prefixItems": [STRING], "minItems": 1, "maxItems": 1},
            "price": {"type": "string", "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"},
            "old": {"type": "integer", "deprecated": True, "default": 3},
            "long": {"type": "string", "default": "a" * 100},
            "anything": True,
        },
        "required": ["text", "price"],
    }
    assert module_of({"Page": schema}) == (
        """\
/**
 * A page.
 *
 *   Of many.
 */
export interface Page {
  /**
   * Not empty.
   * @minLength 1
   * @pattern ^*\\/$
   */
  text: string;
  /**
   * @minimum 0
   * @maximum 9
   */
  maybe?: number | null;
  /** @format date */
  either?: number | string;
  /**
   * @default []
   * @format time
   * @uniqueItems true
   */
  times?: string[];
  pair?: [string];
  /** @format decimal */
  price: string;
  /**
   * @deprecated
   * @default 3
   */
  old?: number;
  long?: string;
  anything?: unknown;
}
"""
    )


# Pieces


def test_a_comment_has_no_end_but_its_own() -> None:
    assert comment([]) == comment([""]) == []
    assert comment(["one"]) == ["/** one */"]
    assert comment(["one\u2028two", "", "*/", "/", "@ts-nocheck \u202e"]) == [
        "/**",
        " * one",
        " * two",
        " * *\\/",
        " * /",
        " * @ ts-nocheck \\u202e",
        " */",
    ]


def test_a_key_is_quoted_if_it_must_be() -> None:
    assert [key(name) for name in ("name", "$a_1", "new", "a-b", "1", "", "é", 'a"b')] == [
        "name",
        "$a_1",
        "new",
        '"a-b"',
        '"1"',
        '""',
        '"é"',
        '"a\\"b"',
    ]


def test_what_cannot_be_seen_is_escaped() -> None:
    assert literal("a\u200b\ud800\U000e0001é😀\n") == '"a\\u200b\\ud800\\u{e0001}é😀\\n"'


def test_names_are_given_once() -> None:
    names = Names(["Taken", "ChatOut"])
    assert names.new("Taken") == "Taken2"
    assert names.new("Taken") == "Taken3"
    assert names.new("Chat", ("In", "Out")) == "Chat2"
    assert names.new("Page_Item_") == "Page_Item"
    assert names.new("a__b__Item-x.y") == "a_b_Item_x_y"
    assert names.new("1st") == "_1st"
    assert names.new("***") == "Type"
    assert names.new("string") == "string2"
    assert names.new("Größe") == "Größe"


def test_a_long_union_has_a_line_for_each_member() -> None:
    assert union(["a", "b"], "type X =") == ["type X = a | b;"]
    assert union(["a" * 60, "b" * 60], "type X =") == ["type X =", f"  | {'a' * 60}", f"  | {'b' * 60};"]
