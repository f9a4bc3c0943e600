"""Whatever models an application has: their types compile, and so do messages as values of them."""

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model

from consumers.typed import TypedConsumer, on
from consumers.typed.frames import as_json
from consumers.typed.typescript import typescript_module

from ..support.tsc import compile_programs

EXAMPLES = 40
"""Modules in one run of the compiler."""


class Color(enum.Enum):
    RED = "red"
    OTHER = 'o"t\\h\u2028er'


class Level(enum.IntEnum):
    LOW = -1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: str = "*/"


class Tree(BaseModel):
    name: str = ""
    children: "dict[str, list[Tree]]" = {}


MOST = 2**53 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = (TEXTS | st.sampled_from(["constructor", "new", "a-b", "1", "in"])).filter(lambda key: key != "__proto__")
TREES = st.recursive(
    st.builds(Tree, name=TEXTS),
    lambda inner: st.builds(Tree, name=TEXTS, children=st.dictionaries(KEYS, st.lists(inner, max_size=2), max_size=2)),
    max_leaves=4,
)
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXTS),
    (int, st.integers(-MOST, MOST)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=8).map(lambda value: value.hex().encode())),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 'b"`', 1, True], st.sampled_from(["a", 'b"`', 1, True])),
    (Any, st.none() | st.integers(0, 9) | TEXTS | st.lists(TEXTS, max_size=2)),
    (Point, st.builds(Point, st.integers(0, 9), TEXTS)),
    (Tree, TREES),
]
NAMES = st.lists(st.sampled_from(["one", "two", "some_field", "more"]), unique=True)
DEEPEST = 3
Draw = Callable[[st.SearchStrategy[Any]], Any]
Drawn = tuple[Any, Any]
"""What a field may be annotated with, and a value of it."""


def drawn(draw: Draw, depth: int = 0) -> Drawn:
    if depth < DEEPEST and draw(st.booleans()):
        compose: Callable[[Draw, int], Drawn] = draw(st.sampled_from(COMPOSED))
        return compose(draw, depth + 1)
    annotation, values = draw(st.sampled_from(LEAVES))
    return annotation, draw(values)


def drawn_list(draw: Draw, depth: int) -> Drawn:
    annotation, value = drawn(draw, depth)
    lists: Any = list
    return lists[annotation], [value] * draw(st.integers(0, 2))


def drawn_optional(draw: Draw, depth: int) -> Drawn:
    annotation, value = drawn(draw, depth)
    return annotation | None, draw(st.sampled_from([None, value]))


def drawn_union(draw: Draw, depth: int) -> Drawn:
    (one, value), (other, _) = drawn(draw, depth), drawn(draw, depth)
    both: Any = one | other
    return both, value


def drawn_tuple(draw: Draw, depth: int) -> Drawn:
    items = [drawn(draw, depth) for _ in range(draw(st.integers(0, 3)))]
    makes: Any = tuple
    return makes[tuple(annotation for annotation, _ in items)], tuple(value for _, value in items)


def drawn_dict(draw: Draw, depth: int) -> Drawn:
    key, keys = draw(st.sampled_from([(str, KEYS), (int, st.integers(-9, 9)), (Color, st.sampled_from(Color))]))
    annotation, value = drawn(draw, depth)
    dicts: Any = dict
    return dicts[key, annotation], dict.fromkeys(draw(st.lists(keys, max_size=2)), value)


def drawn_model(draw: Draw, depth: int, tag: str | None = None) -> Drawn:
    """Draw a model that has fields, some of them with aliases and defaults."""
    make: Any = create_model
    fields: dict[str, Any] = {} if tag is None else {"type": (Literal[tag], tag)}
    values: dict[str, Any] = {}
    names = draw(NAMES)
    aliases = draw(st.lists(KEYS.filter(lambda key: key not in ("type", "id", "to", *names)), unique=True))
    for number, name in enumerate(names):
        annotation, value = drawn(draw, depth)
        options: dict[str, Any] = {"description": draw(TEXTS)}
        if number < len(aliases):
            options["alias"] = aliases[number]
        if draw(st.booleans()):
            options["default"] = value
        fields[name], values[name] = (annotation, Field(**options)), value
    config = ConfigDict(populate_by_name=True, extra=draw(st.sampled_from(["ignore", "allow", "forbid"])))
    model = make(draw(st.sampled_from(["Model", "Item", "Page"])), __config__=config, __doc__=draw(TEXTS), **fields)
    return model, model.model_construct(**values)


COMPOSED = (drawn_list, drawn_optional, drawn_union, drawn_tuple, drawn_dict, drawn_model)


@st.composite
def modules(draw: Draw) -> str:
    """Draw the types of a consumer that takes and sends two models, and messages that have them."""
    (one, value), (other, other_value) = (drawn_model(draw, 1, tag) for tag in ("one", "other"))

    async def take(self: Any, message: Any) -> None: ...

    take.__annotations__["message"] = one | other
    room: Any = type("Room", (TypedConsumer,), {"sends": one | other, "take": on(take)})
    lines = [typescript_module(room.as_asgi())]
    for number, message in enumerate((value, other_value)):
        text = as_json(message).decode()
        lines += [f"export const in{number}: RoomIn = {text};", f"export const out{number}: RoomOut = {text};"]
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_types_and_messages_compile(tmp_path: Path) -> None:
    programs: dict[str, str] = {}

    # What does not compile is not tried again and again: the shortest of it is shown.
    @settings(max_examples=EXAMPLES, phases=[Phase.generate])
    @given(modules())
    def collect(module: str) -> None:
        programs[f"module{len(programs)}"] = module

    collect()
    errors = compile_programs(programs, tmp_path)
    name = min(errors, key=lambda name: len(programs[name]), default="")
    assert not errors, f"{errors[name]}\n{programs[name]}"
