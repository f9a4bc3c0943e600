"""The routes for the document and its page."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from fastapi.security import OAuth2PasswordBearer
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient

from consumers import ProtocolTypeRouter, URLRouter, path
from consumers.typed import asyncapi_document, asyncapi_routes

from ..support.documented import Chat, Echo


def served(app: Any = None, *arguments: Any, **options: Any) -> Any:
    """Return an application with a chat and the routes."""
    app = app or Starlette(routes=[WebSocketRoute("/echo", Echo.as_asgi())])
    app.routes.extend(asyncapi_routes(app, *arguments, **options))
    return app


def client_of(app: Any, **options: Any) -> TestClient:
    return TestClient(app, base_url="https://chat.example.com:8443", **options)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
def test_the_document_has_the_routes_that_there_are_at_the_first_request(kind: Any) -> None:
    app = served(kind())
    app.router.routes.append(WebSocketRoute("/later", Echo.as_asgi()))
    document = client_of(app).get("/asyncapi/asyncapi.json").json()
    assert document["channels"]["Echo"]["address"] == "/later"
    assert document["servers"] == {"server": {"host": "chat.example.com:8443", "protocol": "wss"}}


def test_fastapis_routes_may_come_later_too() -> None:
    app = served(FastAPI(title="Rooms"))
    app.add_api_websocket_route("/chat/{room}", Chat.as_endpoint())
    document = client_of(app).get("/asyncapi/asyncapi.json").json()
    assert document["info"]["title"] == "Rooms"
    assert document["channels"]["Chat"]["address"] == "/chat/{room}"
    assert not any("asyncapi" in address for address in client_of(app).get("/openapi.json").json()["paths"])


def test_the_server_is_the_one_that_is_asked() -> None:
    app = served()
    for scheme, host, root in (("http", "a.example.com", ""), ("https", "b.example.com", "/base")):
        client = TestClient(app, base_url=f"{scheme}://{host}", root_path=root)
        server = client.get("/asyncapi/asyncapi.json").json()["servers"]["server"]
        assert (server["host"], server["protocol"]) == (host, "wss" if scheme == "https" else "ws")
        assert server.get("pathname", "") == root


def test_a_mounted_application_has_its_own_document() -> None:
    app = Starlette(routes=[Mount("/inner", served())])
    document = client_of(app).get("/inner/asyncapi/asyncapi.json").json()
    assert document["servers"]["server"]["pathname"] == "/inner"
    assert document["channels"]["Echo"]["address"] == "/echo"


def test_the_document_is_made_once_for_all_names_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(*args: Any, **options: Any) -> Any:
        made.append(args)
        return asyncapi_document(*args, **options)

    monkeypatch.setattr("consumers.typed.serving.asyncapi_document", counted)
    app = FastAPI()

    class Room(Chat):
        async def connect(self, token: Annotated[str, Security(OAuth2PasswordBearer("token"))]) -> None: ...  # type: ignore[override]

    app.add_api_websocket_route("/room", Room.as_endpoint())
    served(app)
    for number in range(5):
        client = TestClient(app, base_url=f"http://host{number}", root_path="/base")
        document = client.get("/asyncapi/asyncapi.json").json()
        assert document["servers"]["server"] == {"host": f"host{number}", "protocol": "ws", "pathname": "/base"}
        [scheme] = document["components"]["securitySchemes"].values()
        assert scheme["flows"]["password"]["tokenUrl"] == f"http://host{number}/base/token"
        assert "invalid" not in document["servers"]["server"]["host"]
    assert len(made) == 1


@pytest.mark.parametrize("host", ["", "a b", "[::1", "a:b:c", "ä", 'a"b', "x" * 9000])
def test_a_host_that_is_none_is_no_server(host: str) -> None:
    response = client_of(served()).get("/asyncapi/asyncapi.json", headers={b"host": host.encode()})
    assert response.status_code == 200
    assert "Echo" in response.json()["channels"]


def test_servers_and_the_title_may_be_given() -> None:
    app = served(title="T", version="9", description="D", servers={"main": "wss://main.example.com"})
    document = client_of(app).get("/asyncapi/asyncapi.json").json()
    assert document["info"] == {"title": "T", "version": "9", "description": "D"}
    assert document["servers"] == {"main": {"host": "main.example.com", "protocol": "wss"}}


def test_the_page_is_below_its_path_whatever_is_in_front_of_it() -> None:
    client = TestClient(served(None, "/docs/sockets/"), root_path="/base", follow_redirects=False)
    response = client.get("/docs/sockets")
    assert (response.status_code, response.headers["location"]) == (307, "sockets/")
    page = client.get("/docs/sockets/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript"), ("schema.js", "text/javascript")):
        response = client.get(f"/docs/sockets/{name}")
        assert response.headers["content-type"].startswith(kind)
        assert response.headers["x-content-type-options"] == "nosniff"


def test_the_page_needs_nothing_of_others() -> None:
    client = client_of(served())
    response = client.get("/asyncapi/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    for name in ("", "page.css", "page.js", "console.js", "document.js", "dom.js", "schema.js"):
        text = client.get(f"/asyncapi/{name}").text
        assert "http://" not in text and "https://" not in text
        assert "innerHTML" not in text and "eval(" not in text


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fserving.py", "%2e%2e%2fserving.py", "page", ".js", "x%00.js", "x" * 5000 + ".js"]
)
def test_nothing_else_is_served(name: str) -> None:
    assert client_of(served()).get(f"/asyncapi/{name}").status_code == 404


def test_another_application_may_serve_the_document() -> None:
    sockets = URLRouter([path("chat/", Echo.as_asgi())])
    app = ProtocolTypeRouter({"http": Starlette(routes=asyncapi_routes(sockets)), "websocket": sockets})
    assert client_of(app).get("/asyncapi/asyncapi.json").json()["channels"]["Echo"]["address"] == "/chat/"


@pytest.mark.parametrize("where", ["asyncapi", "", "/", "/a/{b}"])
def test_the_path_is_one(where: str) -> None:
    with pytest.raises(ValueError, match=r"asyncapi_routes\(\) needs a path such as '/asyncapi'"):
        asyncapi_routes(Starlette(), where)


def test_a_wrong_server_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="is no URL of a server"):
        asyncapi_routes(Starlette(), servers={"one": "example"})
