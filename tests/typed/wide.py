"""A consumer whose messages have what pydantic has to offer."""

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, computed_field, model_serializer
from typing_extensions import TypeAliasType, TypedDict

from consumers.typed import TypedConsumer, on

from . import wide_other

T = TypeVar("T")


class Color(enum.Enum):
    """A color."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Item(BaseModel):
    name: str
    price: Decimal
    color: Color = Color.RED


class Page(BaseModel, Generic[T]):
    """A page of many."""

    items: list[T]
    next: int | None = None


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    size: int
    title: str


class Circle(BaseModel):
    shape: Literal["circle"] = "circle"
    radius: float


class Square(BaseModel):
    shape: Literal["square"] = "square"
    side: float


class Names(RootModel[dict[str, list[str]]]):
    pass


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    name: str


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")


class Everything(BaseModel):
    """Every kind of field."""

    type: Literal["everything"] = "everything"
    text: Annotated[str, Field(min_length=1, max_length=5, description="Not empty.")]
    number: int
    share: float = 0.5
    is_open: bool = False
    nothing: None = None
    moment: datetime
    day: date | None = None
    hour: time | None = None
    duration: timedelta
    id_of_item: UUID
    price: Decimal
    raw: bytes
    color: Color = Color.RED
    level: Level
    either: Literal["a", 1, True] | None
    maybe: str | None = None
    many: list[int] = []
    unique: set[str] = set()
    pair: tuple[int, str]
    no_items: tuple[()] = ()
    numbers: tuple[int, ...] = ()
    mixed: list[int | str | None] = []
    point: Point
    options: Options
    by_name: dict[str, Item]
    by_number: dict[int, str] = {}
    by_color: dict[Color, int] = {}
    by_level: dict[Level, str] = {}
    nested: dict[str, list[dict[str, int]]] = {}
    page: Page[Item]
    other_page: Page[wide_other.Item]
    plain_page: wide_other.Page
    tree: Tree
    shape: Annotated[Circle | Square, Field(discriminator="shape")]
    names: Names
    open: Open
    json_value: Json = None
    anything: Any = None
    with_alias: int = Field(default=1, alias="withAlias")
    with_hyphen: int = Field(default=1, alias="with-hyphen")
    old: Annotated[int | None, Field(deprecated="Use number.")] = None

    @computed_field
    def twice(self) -> int:
        return 2 * self.number


class Draw(BaseModel):
    type: Literal["draw", "redraw"]
    form: Literal["line"] = "line"
    to: Point


class DrawText(BaseModel):
    type: Literal["draw", "redraw"]
    form: Literal["text"] = "text"
    text: str


class Renamed(BaseModel):
    kind: Literal["renamed"] = Field(default="renamed", alias="type")


class SeveralNames(BaseModel):
    kind: Literal["several"] = Field(validation_alias=AliasChoices("kind", "type"), serialization_alias="type")
    count: int


class Custom(BaseModel):
    """Is written by a function of its own."""

    type: Literal["custom"] = "custom"

    @model_serializer
    def write(self) -> dict[str, Any]:
        return {"type": "custom", "more": 1}


class Both(BaseModel):
    """Has the same form in both directions."""

    type: Literal["both"] = "both"
    text: str


class Wide(TypedConsumer):
    """Takes everything."""

    sends = Everything | Custom | Both

    @on
    async def everything(self, message: Everything) -> Everything | None:
        return message

    @on
    async def draw(self, message: Annotated[Draw | DrawText, Field(discriminator="form")]) -> Custom:
        return Custom()

    @on
    async def renamed(self, message: Renamed | SeveralNames):  # type: ignore[no-untyped-def]
        return None

    @on
    async def both(self, message: Both) -> None: ...


EVERYTHING = Everything(
    text="a",
    number=1,
    moment=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    duration=timedelta(seconds=90),
    id_of_item=UUID(int=1),
    price=Decimal("1.50"),
    raw=b"raw",
    level=Level.HIGH,
    either="a",
    pair=(1, "b"),
    point=Point(1.0, 2.0),
    options={"size": 1},
    by_name={"one": Item(name="one", price=Decimal(1))},
    by_color={Color.RED: 1},
    by_level={Level.LOW: "low"},
    page=Page[Item](items=[Item(name="one", price=Decimal(1))]),
    other_page=Page[wide_other.Item](items=[wide_other.Item(weight=1.5)]),
    plain_page=wide_other.Page(number=1),
    tree=Tree(name="a", children=[Tree(name="b")]),
    shape=Circle(radius=1.0),
    names=Names({"a": ["b"]}),
    open=Open.model_validate({"name": "a", "more": 1}),
    json_value={"a": [1, "b", None]},
    withAlias=2,
)
