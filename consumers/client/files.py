"""Serves the browser's client: one module, and its types."""

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

FOLDER = Path(__file__).parent
MEDIA_TYPES = {".js": "text/javascript", ".ts": "text/plain"}

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


def client_files() -> Router:
    """Return an application that serves the browser's client, for `app.mount("/consumers", client_files())`.

    A page imports "/consumers/consumers.js". That leads to an address with the version in it, which browsers keep.
    """
    return Router([route for name in ("consumers.js", "consumers.d.ts") for route in _routes(name)])


def _routes(name: str) -> list[Route]:
    content = (FOLDER / name).read_bytes()
    stem, _, ending = name.partition(".")
    address = f"{stem}-{version('starlette-consumers')}-{sha256(content).hexdigest()[:8]}.{ending}"
    media_type = MEDIA_TYPES[Path(name).suffix]

    async def redirect(request: Request) -> Response:
        return RedirectResponse(address, headers={"cache-control": ASK_AGAIN})

    async def serve(request: Request) -> Response:
        return Response(content, headers={"cache-control": FOR_EVER}, media_type=media_type)

    return [Route(f"/{name}", redirect), Route(f"/{address}", serve)]
