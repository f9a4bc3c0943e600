"""Serves an application's document, and a page that shows it and speaks with its WebSockets."""

import json
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ..types import ASGIApp
from .asyncapi import asyncapi_document, server_at

TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript"}

# Its scripts and styles are files of its own. Safari before 15.4 does not take a WebSocket to the same host for 'self'.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
UNKNOWN = "wss://the-server-that-is-asked.invalid"
"""Stands for a server whose name is known when it is asked."""

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def asyncapi_routes(
    application: ASGIApp,
    path: str = "/asyncapi",
    *,
    title: str | None = None,
    version: str | None = None,
    description: str | None = None,
    servers: Mapping[str, str] | None = None,
) -> list[BaseRoute]:
    """Return routes that serve the document of an application, and a page for it.

    Add them to the application: `app.routes.extend(asyncapi_routes(app))`, with Starlette and FastAPI alike. The page
    is at `path`, the document at `path` + "/asyncapi.json". It is made at the first request, of the routes that there
    are then.

    Args:
        application: as of `asyncapi_document()`.
        path: where the page is, beginning with a slash.
        title: as of `asyncapi_document()`.
        version: as of `asyncapi_document()`.
        description: as of `asyncapi_document()`.
        servers: as of `asyncapi_document()`. None: the one that is asked, by the name that it is asked by.

    Raises:
        ValueError: the path, or the URL of a server, is not valid.
    """
    if not path.startswith("/") or path.rstrip("/") == "" or "{" in path:
        raise ValueError(f"asyncapi_routes() needs a path such as '/asyncapi', not {path!r}")
    for url in (servers or {}).values():
        server_at(url)
    path = path.rstrip("/")
    options = {"title": title, "version": version, "description": description}
    made: list[str] = []

    async def document(request: Request) -> Response:
        if not made:
            found = asyncapi_document(application, servers=servers or {"server": UNKNOWN}, **options)
            made.append(json.dumps(found, ensure_ascii=False))
        return Response(_at(_asked(request), made[0]), media_type="application/json", headers=HEADERS)

    async def page(request: Request) -> Response:
        return _file(request.path_params.get("name", "index.html"))

    async def to_page(request: Request) -> Response:
        return RedirectResponse(f"{path.rpartition('/')[2]}/")  # relative: what is in front of it is a proxy's business

    return [
        Route(path, to_page),
        Route(f"{path}/", page),
        Route(f"{path}/asyncapi.json", document),
        Route(f"{path}/{{name}}", page),
    ]


def _asked(request: Request) -> str:
    """Return the URL of the server that is asked; one of no use if the client gives it an impossible name."""
    try:
        scheme = "wss" if request.url.scheme in ("https", "wss") else "ws"
        url = f"{scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        server_at(url)
    except ValueError:
        return "ws://localhost"
    return url


def _at(url: str, document: str) -> str:
    """Return a document, in JSON, with the URL of the server that is asked.

    To make the document takes long, and clients choose the names by which they ask: so it is made once for all of them.
    """
    unknown, asked = server_at(UNKNOWN), server_at(url)
    scheme = "https" if asked["protocol"] == "wss" else "http"
    base_url = f"{scheme}://{asked['host']}{asked.get('pathname', '')}"
    document = document.replace(json.dumps(unknown), json.dumps(asked))
    return document.replace(f"https://{unknown['host']}", json.dumps(base_url)[1:-1])


def _file(name: str) -> Response:
    kind = TYPES.get(name.rpartition(".")[2])
    file = next((file for file in (files(__package__) / "page").iterdir() if file.name == name), None)
    if kind is None or file is None:
        return Response("there is no such page\n", 404, media_type="text/plain")
    return Response(file.read_bytes(), media_type=kind, headers=HEADERS)
