"""The parameters of `connect()` that FastAPI fills."""

import functools
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Path, Query, Security
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from consumers import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Kind(Enum):
    OPEN = "open"
    CLOSED = "closed"


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 10
    tags: list[str] = []


def agent(user_agent: Annotated[str, Header()], room: str) -> str:
    return f"{user_agent} in {room}"


class Everything(AsyncJsonWebsocketConsumer):
    async def connect(  # a parameter with a default may stand before one without, as FastAPI has it
        self,
        room: str,
        number: Annotated[int, Path(gt=0)],
        key: UUID | None = None,
        kind: Kind = Kind.OPEN,
        *,
        x_token: Annotated[str, Header()],
        session: Annotated[str | None, Cookie()] = None,
        agent: Annotated[str, Depends(agent)],
        nothing: None = Depends(lambda: None),
    ) -> None:
        await self.accept()
        await self.send_json([room, number, key and key.hex, kind.name, x_token, session, agent])


def sees(app: FastAPI, address: str, backend: Any = "asyncio", **headers: str) -> Any:
    with TestClient(app, backend=backend, headers=headers).websocket_connect(address) as websocket:
        return websocket.receive_json()


WAYS: dict[str, Callable[[Any, str, Any], Any]] = {
    "add_api_websocket_route": lambda app, path, endpoint: app.add_api_websocket_route(path, endpoint),
    "websocket": lambda app, path, endpoint: app.websocket(path)(endpoint),
}


@both
@pytest.mark.parametrize("way", WAYS)
def test_fastapi_fills_every_kind_of_parameter(way: str, backend: Any) -> None:
    app = FastAPI()
    WAYS[way](app, "/chat/{room}/{number}", Everything.as_endpoint())
    headers = {"x-token": "secret", "user-agent": "test", "cookie": "session=s"}
    address = f"/chat/a/7?key={UUID(int=10)}&kind=closed"
    got = sees(app, address, backend, **headers)
    assert got == ["a", 7, UUID(int=10).hex, "CLOSED", "secret", "s", "test in a"]
    assert sees(app, "/chat/a/7", backend, **headers)[2:4] == [None, "OPEN"]


class Paged(AsyncJsonWebsocketConsumer):
    async def connect(self, page: Annotated[Page, Query()], room: str) -> None:
        await self.accept()
        await self.send_json([room, page.model_dump()])


def test_a_model_takes_the_whole_query() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/{room}", Paged.as_endpoint())
    assert sees(app, "/a?size=3&tags=x&tags=y") == ["a", {"size": 3, "tags": ["x", "y"]}]
    with pytest.raises(WebSocketDisconnect) as caught:  # the model forbids what else there is
        sees(app, "/a?size=3&more=1")
    assert caught.value.code == 1008


class Converted(AsyncJsonWebsocketConsumer):
    async def connect(self, number: int, key: UUID, kind: Kind = Kind.OPEN) -> None:
        await self.accept()
        await self.send_json([number, key.int, kind.name])


def test_values_are_converted_and_what_is_invalid_is_rejected_before_connect() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/{number}", Converted.as_endpoint())
    assert sees(app, f"/7?key={UUID(int=9)}&kind=closed") == [7, 9, "CLOSED"]
    for wrong in (f"/x?key={UUID(int=9)}", "/7", "/7?key=1"):
        with pytest.raises(WebSocketDisconnect) as caught:
            sees(app, wrong)
        assert caught.value.code == 1008


def who(token: str) -> str:
    return token.upper()


Who = Annotated[str, Depends(who)]


class Member(AsyncJsonWebsocketConsumer):
    greeting = "hello"

    def __init__(self, greeting: str = "hello") -> None:
        super().__init__()
        self.greeting = greeting

    async def connect(self, user: Who, room: str = "lobby") -> None:
        self.user = user
        await self.accept()
        await self.send_json([self.greeting, self.user, room])


class SyncMember(JsonWebsocketConsumer):
    def connect(self, user: Who, room: str = "lobby") -> None:
        self.accept()
        self.send_json(["hello", user, room])


@pytest.mark.parametrize("consumer", [Member, SyncMember])
def test_prefixes_routers_and_overrides_count(consumer: Any) -> None:
    seen: list[str] = []
    outer, inner = APIRouter(dependencies=[Depends(lambda: seen.append("outer"))]), APIRouter(prefix="/rooms")
    inner.add_api_websocket_route("/{room}", consumer.as_endpoint(), dependencies=[Depends(lambda: seen.append("own"))])
    outer.include_router(inner, prefix="/v1", dependencies=[Depends(lambda: seen.append("included"))])
    app = FastAPI(dependencies=[Depends(lambda: seen.append("app"))])
    app.include_router(outer)
    assert sees(app, "/v1/rooms/a?token=ann") == ["hello", "ANN", "a"]
    assert seen == ["app", "outer", "included", "own"]
    app.dependency_overrides[who] = lambda: "bob"
    assert sees(app, "/v1/rooms/a") == ["hello", "bob", "a"]


def test_each_connection_gets_a_consumer_made_with_initkwargs_and_no_class() -> None:
    app, made = FastAPI(), []

    class Noted(Member):
        def __init__(self, greeting: str) -> None:
            super().__init__(greeting)
            made.append(type(self))

    app.add_api_websocket_route("/ws", Noted.as_endpoint(greeting="hi"))
    assert sees(app, "/ws?token=a") == ["hi", "A", "lobby"] == sees(app, "/ws?token=a")
    assert made == [Noted, Noted]


class Loud(Member):
    async def connect(self, user: Who, volume: int = 1) -> None:  # type: ignore[override]
        await super().connect(user * volume)


class Mixin:
    async def connect(self, *args: Any, **kwargs: Any) -> None:
        await super().connect(*args, **kwargs)  # type: ignore[misc]


class Mixed(Mixin, Member): ...


class More(Member):
    async def connect(self, more: int, **kwargs: Any) -> None:  # type: ignore[override]
        await super().connect(user=f"{kwargs.pop('user')}{more}", **kwargs)


def test_a_subclass_calls_its_super() -> None:
    app = FastAPI()
    for consumer in (Loud, Mixed, More):
        app.add_api_websocket_route(f"/{consumer.__name__}", consumer.as_endpoint())
    assert sees(app, "/Loud?token=a&volume=2") == ["hello", "AA", "lobby"]
    assert sees(app, "/Mixed?token=a&room=b") == ["hello", "A", "b"]
    assert sees(app, "/More?token=a&room=b&more=3") == ["hello", "A3", "b"]


def test_the_base_accepts_with_the_routes_dependencies() -> None:
    app, seen = FastAPI(), []
    app.add_api_websocket_route(
        "/ws", AsyncJsonWebsocketConsumer.as_endpoint(), dependencies=[Depends(lambda: seen.append(1))]
    )
    with TestClient(app).websocket_connect("/ws"):
        assert seen == [1]


def test_a_decorated_connect_keeps_its_parameters() -> None:
    def noting(connect: Any) -> Any:
        @functools.wraps(connect)
        async def noted(self: Any, *args: Any, **kwargs: Any) -> None:
            await connect(self, *args, **{**kwargs, "room": "noted"})

        return noted

    class Decorated(Member):
        @noting
        async def connect(self, user: Who, room: str = "") -> None:
            await super().connect(user, room)

    app = FastAPI()
    app.add_api_websocket_route("/ws", Decorated.as_endpoint())
    assert sees(app, "/ws?token=a") == ["hello", "A", "noted"]


def test_a_connect_around_the_handshake_still_gets_them() -> None:
    class Around(Member):
        async def websocket_connect(self, message: Any) -> None:
            await super().websocket_connect(message)

    app = FastAPI()
    app.add_api_websocket_route("/ws", Around.as_endpoint())
    assert sees(app, "/ws?token=a") == ["hello", "A", "lobby"]


def test_security_scopes_reach_a_dependency_and_connect() -> None:
    def scopes(needed: SecurityScopes) -> list[str]:
        return needed.scopes

    class Scoped(AsyncJsonWebsocketConsumer):
        async def connect(self, wanted: Annotated[list[str], Security(scopes, scopes=["rooms"])]) -> None:
            await self.accept()
            await self.send_json(wanted)

    app = FastAPI()
    app.add_api_websocket_route("/ws", Scoped.as_endpoint())
    assert sees(app, "/ws") == ["rooms"]
