"""FastAPI's security schemes, and what their versions take."""

import inspect
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPAuthorizationCredentials,
    HTTPBearer,
    OAuth2PasswordBearer,
)
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient, WebSocketDenialResponse

from consumers import AsyncJsonWebsocketConsumer


class Bearer(HTTPBearer):
    """Takes a WebSocket in every version of FastAPI, as docs/howto/fastapi.md shows."""

    async def __call__(self, connection: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        return await super().__call__(connection)


def client_of(scheme: Any, **headers: str) -> TestClient:
    class Room(AsyncJsonWebsocketConsumer):
        async def connect(self, found: Annotated[Any, Security(scheme)]) -> None:
            await self.accept()
            await self.send_json(found.credentials if isinstance(found, HTTPAuthorizationCredentials) else found)

    app = FastAPI()
    app.add_api_websocket_route("/ws", Room.as_endpoint())
    return TestClient(app, headers=headers)


TOKEN = {"authorization": "Bearer secret"}


def test_a_scheme_that_takes_any_connection_works_in_every_version() -> None:
    with client_of(Bearer(), **TOKEN).websocket_connect("/ws") as websocket:
        assert websocket.receive_json() == "secret"
    with pytest.raises(WebSocketDenialResponse) as caught, client_of(Bearer()).websocket_connect("/ws"):
        pass
    assert caught.value.status_code in (401, 403)  # as the version has it


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        (HTTPBearer(), TOKEN),
        (OAuth2PasswordBearer("token"), TOKEN),
        (APIKeyHeader(name="x-key"), {"x-key": "secret"}),
        (APIKeyCookie(name="key"), {"cookie": "key=secret"}),
        (APIKeyQuery(name="key"), {}),
    ],
)
def test_the_schemes_work_where_they_take_a_connection(scheme: Any, headers: dict[str, str]) -> None:
    client = client_of(scheme, **headers)
    if inspect.signature(type(scheme).__call__).parameters["request"].annotation is HTTPConnection:
        with client.websocket_connect("/ws?key=secret") as websocket:
            assert websocket.receive_json() == "secret"
    else:  # FastAPI before 0.144
        with pytest.raises(TypeError, match="request"), client.websocket_connect("/ws?key=secret"):
            pass


def test_a_dependency_of_the_application_does_not_run_for_a_plain_route() -> None:
    """What docs/howto/fastapi.md warns of."""
    seen: list[str] = []
    app = FastAPI(dependencies=[Depends(lambda: seen.append("checked"))])
    app.add_api_websocket_route("/endpoint", AsyncJsonWebsocketConsumer.as_endpoint())
    app.router.add_websocket_route("/plain", AsyncJsonWebsocketConsumer.as_asgi())
    app.mount("/mounted", AsyncJsonWebsocketConsumer.as_asgi())
    for address, checked in (("/plain", 0), ("/mounted/", 0), ("/endpoint", 1)):
        with TestClient(app).websocket_connect(address):
            pass
        assert seen == ["checked"] * checked
