"""Examples that are made of schemas: what makes one accepts it."""

import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from annotated_types import Len
from hypothesis import given
from hypothesis import strategies as st
from pydantic import UUID1, UUID4, AnyUrl, Base64Bytes, BaseModel, Field, HttpUrl, Json, RootModel, TypeAdapter
from typing_extensions import TypedDict

from consumers.typed.examples import NoExample, given_example, made_example
from consumers.typed.schemas import IN, REFERENCE, Generator


class Sign(Enum):
    PLUS = "+"
    ONE = 1


class Color(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: str = ""


class Settings(TypedDict, total=False):
    name: str


class Node(BaseModel):
    next: "Node | None" = None
    nodes: "list[Node]"
    by_name: "dict[str, Node]" = {}


class Names(RootModel[list[str]]): ...


def example_of(annotation: Any, with_optional: bool = True, key: str = "key") -> Any:
    """Return an example that was made, and what its type makes of it."""
    adapter = TypeAdapter[Any](annotation)
    schema = adapter.json_schema(mode=IN, ref_template=REFERENCE, schema_generator=Generator)
    example = made_example(schema, schema.get("$defs", {}), with_optional, key)
    adapter.validate_python(example, strict=False)
    return example


@pytest.mark.parametrize("with_optional", [True, False])
@pytest.mark.parametrize(
    "annotation",
    [
        int, float, str, bool, None, Any, bytes, Decimal, date, datetime, time, timedelta, uuid.UUID, UUID1, UUID4,
        IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, AnyUrl, HttpUrl, Path,
        Sign, Literal["a", 1], Json[dict[str, int]], Json, Base64Bytes, Point, Settings, Node, Names,
        list[int], set[str], frozenset[int], tuple[int, str], tuple[int, ...], tuple[()], dict[str, int],
        int | str | None, list[Node | None],
        Annotated[list[str], Len(3)], Annotated[set[str], Len(3)], Annotated[set[Literal[1, 2, 3]], Len(2, 2)],
        Annotated[dict[str, int], Len(2)], Annotated[str, Field(min_length=30)], Annotated[str, Field(max_length=1)],
        Annotated[str, Field(pattern="^[A-Z]{3}$")], Annotated[str, Field(pattern=r"^\d+$", min_length=7)],
        Annotated[int, Field(gt=7)], Annotated[int, Field(lt=-3)], Annotated[int, Field(ge=7, le=7)],
        Annotated[int, Field(multiple_of=7, gt=20)], Annotated[float, Field(gt=0, lt=0.001)],
        Annotated[float, Field(ge=-1, lt=-0.5)], Annotated[float, Field(gt=2, le=2.1)],
        Annotated[int, Field(examples=[77])],
    ],
    ids=str,
)  # fmt: skip
def test_an_example_is_valid(annotation: Any, with_optional: bool) -> None:
    example_of(annotation, with_optional)


@given(st.integers(-1000, 1000), st.integers(1, 50), st.booleans(), st.booleans())
def test_a_number_is_between_its_bounds(low: int, width: int, above: bool, below: bool) -> None:
    bounds: dict[str, Any] = {"gt" if above else "ge": low, "lt" if below else "le": low + width}
    example_of(Annotated[float, Field(**bounds)])
    if width > 1:
        example_of(Annotated[int, Field(**bounds)])


@pytest.mark.parametrize("annotation", [dict[Color, int], dict[uuid.UUID, int], dict[Literal["a"], int]])
def test_keys_are_what_the_schema_says_they_are(annotation: Any) -> None:
    if "propertyNames" in TypeAdapter(annotation).json_schema():  # older versions of pydantic do not say it
        example_of(annotation)


def test_keys_may_be_numbers() -> None:
    assert example_of(dict[int, str], key="1") == {"1": "text"}
    assert len(example_of(Annotated[dict[int, str], Len(3)], key="1")) == 3


def test_what_may_be_left_out_is_there_or_is_left_out() -> None:
    class Message(BaseModel):
        text: str
        number: int = 3
        nodes: list[int] = Field(default_factory=list)

    assert example_of(Message) == {"text": "text", "number": 3, "nodes": [1]}
    assert example_of(Message, with_optional=False) == {"text": "text"}


def test_what_contains_itself_ends() -> None:
    assert example_of(Node) == {"next": None, "nodes": [], "by_name": {}}

    class Endless(BaseModel):
        next: "Endless"

    with pytest.raises(NoExample):
        example_of(Endless)


@pytest.mark.parametrize("pattern", ["^never tried$", "(?<!a", "\\p{L}{40}"])
def test_a_pattern_that_nothing_matches_has_no_example(pattern: str) -> None:
    with pytest.raises(NoExample):
        made_example({"type": "string", "pattern": pattern}, {})


def test_a_schemas_own_example_counts() -> None:
    assert given_example({"examples": [1, 2]}) == 1
    assert given_example({"example": 3}) == 3
    with pytest.raises(NoExample):
        given_example({"examples": []})
