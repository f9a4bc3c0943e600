"""The examples of docs/howto/typescript.md: what is generated, and programs that use it."""

import re
from pathlib import Path

import pydantic

from consumers.typed.typescript import typescript_module

from ..support.examples import run
from ..support.pages import ROOT, blocks
from ..support.tsc import compile_programs

PAGE = "docs/howto/typescript.md"
[CHAT] = (block.text for block in blocks(PAGE, "python"))
GENERATED, *PROGRAMS = (block.text for block in blocks(PAGE, "ts"))
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


TYPES = """
import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID
from pydantic import BaseModel
from consumers.typed import TypedConsumer, on
X, Y, T = str, int, TypeVar("T")
class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
class Item(BaseModel):
    name: str
class Page(BaseModel, Generic[T]):
    items: list[T]
class Room(TypedConsumer):
    @on
    async def take(self, message: "Take"): ...
class Take(BaseModel):
    type: Literal["take"]
"""


def rows() -> list[tuple[str, str]]:
    """Return pairs of the table: a type of Python's, and what it becomes."""
    table = TEXT.partition("## What becomes what")[2].partition("\n\n")[2].partition("\n\n")[0]
    pairs = []
    for line in table.splitlines()[2:]:
        python, typescript = (re.findall("`(.*?)`", cell.replace("\\|", "|")) for cell in line[2:-2].split(" | "))
        pairs += [(each, typescript[0]) for each in python if typescript]
    return pairs


def test_the_generated_file_is_what_is_generated() -> None:
    assert typescript_module(run(CHAT)["app"]) == GENERATED


def test_the_programs_compile(tmp_path: Path) -> None:
    programs = {f"program{number}": program for number, program in enumerate(PROGRAMS)}
    assert compile_programs({"messages": GENERATED, **programs}, tmp_path) == {}


def test_the_table_is_true() -> None:
    fields = "".join(f"    field{number}: {python}\n" for number, (python, _) in enumerate(rows()))
    module = typescript_module(run(TYPES + fields)["Room"].as_asgi())
    expected = [typescript.replace("X", "string").replace("Y", "number") for _, typescript in rows()]
    if pydantic.VERSION.startswith("2.9."):  # the page says so
        expected = ["{ [key: string]: string }" if "[key in" in each else each for each in expected]
    assert re.findall(r"^  field\d+: (.*);$", module, re.MULTILINE) == expected
    assert len(expected) > 12
