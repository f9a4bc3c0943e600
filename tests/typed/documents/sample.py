"""A wide sample: consumers whose messages have all kinds of fields, in an application of FastAPI's."""

import enum
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from annotated_types import Len
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Query, Security
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2AuthorizationCodeBearer,
    OAuth2PasswordBearer,
    OpenIdConnect,
    SecurityScopes,
)
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    NonNegativeInt,
    SecretStr,
    StringConstraints,
    computed_field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from consumers import AsyncJsonWebsocketConsumer, URLRouter, path, re_path
from consumers.typed import TypedConsumer, on, on_event

from . import other

T = TypeVar("T")


class Color(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Person(BaseModel):
    """Who it is."""

    name: Annotated[str, StringConstraints(min_length=3, max_length=40, pattern=r"^[a-z]+$")]
    friends: "list[Person]" = Field(default_factory=list)
    boss: "Person | None" = None


class Circle(BaseModel):
    form: Literal["circle"] = "circle"
    radius: Annotated[float, Field(gt=0, lt=0.5)]


class Square(BaseModel):
    form: Literal["square"] = "square"
    side: Annotated[int, Field(ge=10, multiple_of=4)]


class Dates(BaseModel):
    """Points in time, and what lies between them."""

    type: Literal["dates"] = "dates"
    day: date
    at: datetime
    aware: AwareDatetime
    hour: time
    long: timedelta
    since: date = date(2020, 1, 1)


class Values(BaseModel):
    type: Literal["values"] = "values"
    price: Annotated[Decimal, Field(max_digits=10, decimal_places=2)]
    number: UUID
    color: Color
    level: Level = Level.LOW
    count: NonNegativeInt
    share: Annotated[float, Field(ge=0, le=1)]
    flag: bool
    nothing: None = None
    maybe: int | None = None
    address: ipaddress.IPv4Address
    link: AnyUrl
    secret: SecretStr
    raw: bytes
    anything: Any = None
    packed: Json[list[int]]


class Shapes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["shapes"] = "shapes"
    shape: Annotated[Circle | Square, Field(discriminator="form")]
    shapes: Annotated[list[Circle | Square], Len(1, 3)]
    pair: tuple[int, str]
    many: tuple[float, ...]
    scores: dict[str, list[int]]
    by_color: dict[Color, int]
    tags: set[Literal["a", "b", "c"]]
    three: Annotated[set[int], Len(3)]
    owner: Person


class Renamed(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    kind: Literal["renamed"] = Field("renamed", alias="type")
    first_name: str
    last_name: str = Field(description="Of the family.", examples=["Lovelace"])


class Given(BaseModel):
    """Has an example of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "given", "even": 4}]})
    type: Literal["given"] = "given"
    even: int

    @model_validator(mode="after")
    def is_even(self) -> "Given":
        if self.even % 2:
            raise ValueError("it is odd")
        return self


class Page(BaseModel, Generic[T]):
    type: Literal["page"] = "page"
    items: list[T]
    next: int | None = None


class Note(BaseModel):
    type: Literal["note"] = "note"
    author: Person
    color: Color = Color.RED

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.author.name)


class Tree(BaseModel):
    """Contains itself."""

    type: Literal["tree"] = "tree"
    children: "list[Tree]"
    parent: "Tree | None" = None


class Secret(BaseModel):
    type: Literal["secret"]


class Wide(TypedConsumer):
    """Takes all kinds of messages.

    It sends some of them back.
    """

    sends = Values | Shapes | Dates | Page[Person] | Note | other.Note | Renamed | Tree

    async def connect(
        self,
        room: Literal["lobby", "attic"],
        number: int,
        color: Color = Color.RED,
        since: date | None = None,
    ) -> None:
        await self.accept()

    @on
    async def values(self, message: Values | Dates) -> Values | None:
        """Keep them."""
        return message if isinstance(message, Values) else None

    @on
    async def shapes(self, message: Shapes) -> Shapes:
        return message

    @on
    async def rest(self, message: Renamed | Given | Page[int] | Tree) -> None: ...

    @on
    async def anything(self, message: Secret):  # type: ignore[no-untyped-def]
        ...

    @on_event
    async def note(self, message: Note) -> None:
        await self.send_message(message)


class Numbered(TypedConsumer):
    id_key = "ref"
    sends = other.Note

    @on
    async def note(self, message: Note | Given) -> None: ...


class Plain(AsyncJsonWebsocketConsumer):
    """Without models."""


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, description="How many at most.")] = 10
    order: Literal["up", "down"] = "up"


class Agent(BaseModel):
    user_agent: str


class Bearer(HTTPBearer):
    """Takes a WebSocket in every version of FastAPI."""


oauth = OAuth2PasswordBearer("token", scopes={"read": "Look at it", "write": "Change it"})
code = OAuth2AuthorizationCodeBearer("https://login.example.com/authorize", "https://login.example.com/token")


def user(scopes: SecurityScopes, token: Annotated[str, Security(oauth)], session: Annotated[str, Cookie()]) -> str:
    return token + session


class Guarded(TypedConsumer):
    async def connect(
        self,
        user: Annotated[str, Security(user, scopes=["read"])],
        filters: Annotated[Filters, Query()],
        agent: Annotated[Agent, Header()],
        bearer: Annotated[Any, Security(HTTPBearer(bearerFormat="JWT"))],
        basic: Annotated[Any, Security(HTTPBasic())],
        in_query: Annotated[str, Security(APIKeyQuery(name="key", scheme_name="InQuery"))],
        in_cookie: Annotated[str, Security(APIKeyCookie(name="key", scheme_name="InCookie"))],
        by_code: Annotated[str, Security(code)],
        by_id: Annotated[str, Security(OpenIdConnect(openIdConnectUrl="/.well-known/openid-configuration"))],
        theme: Annotated[str, Cookie()] = "light",
    ) -> None: ...


def of_router(key: Annotated[str, Security(APIKeyHeader(name="x-key"))]) -> str:
    return key


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    yield


router = APIRouter(prefix="/inner", dependencies=[Depends(of_router)])
router.add_api_websocket_route("/guarded", Guarded.as_endpoint())
app = FastAPI(title="Sample", version="2.5", description="All *kinds* of messages.", lifespan=lifespan)
app.add_api_websocket_route("/wide/{room}/{number}", Wide.as_endpoint())
app.include_router(router, prefix="/outer")
app.mount(
    "/routed",
    URLRouter(
        [
            path("numbered/<uuid:key>/", Numbered.as_asgi()),
            re_path(r"^plain/(?P<name>\w+)/$", Plain.as_asgi()),
        ]
    ),
)
