"""A path that is spelled in another way.

If one of these fails: who guards `/admin/` in a proxy, or in middleware that looks at the path, guards it in vain. A
client reaches what is there by a spelling that the guard lets through.
"""

import contextlib
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from compat.channels.routing import URLRouter as CompatURLRouter
from consumers import URLRouter, path, re_path
from consumers.types import ASGIApp, Receive, Scope, Send

from ..support.wire import connecting

pytestmark = pytest.mark.anyio

REACHED: list[str] = []


async def admin(scope: Scope, receive: Receive, send: Send) -> None:
    REACHED.append(scope["path"])


def inner(router: type[URLRouter]) -> ASGIApp:
    return router([path("b/", admin)])


ROUTES: dict[str, Any] = {
    "flat": lambda router: router([path("a/b/", admin)]),
    "regular expression": lambda router: router([re_path(r"^a/b/$", admin)]),
    "nested": lambda router: router([path("a/", inner(router))]),
    "nested behind no slash": lambda router: router([path("a", inner(router))]),
    "nested behind a regular expression": lambda router: router([re_path(r"^a", inner(router))]),
    "nested behind nothing": lambda router: router([path("", router([path("a/b/", admin)]))]),
    "nested twice": lambda router: router([path("", router([path("a/", router([path("", inner(router))]))]))]),
    "mounted": lambda router: Starlette(routes=[Mount("/a", inner(router))]),
    "mounted at the root": lambda router: Starlette(routes=[Mount("/", router([path("a/b/", admin)]))]),
}

SPELLINGS = [
    "//a/b/",
    "///a/b/",
    "/a//b/",
    "/a///b/",
    "//a//b/",
    "/a/b//",
    "/./a/b/",
    "/a/./b/",
    "/x/../a/b/",
    "/a/x/../b/",
    "/a/b/\n",
    "/\na/b/",
    "/a/b/ ",
    "/ /a/b/",
    "/a\\b/",
    "\\a/b/",
    "/A/b/",
    "/%61/b/",
    "/a%2fb/",
    "/a/b/;x",
    "/a/b/\0",
    "/\uff41/b/",
    "/a\u2215b/",
]


async def reached(app: ASGIApp, where: str, **keys: Any) -> list[str]:
    """Return the paths that reached the endpoint."""
    REACHED.clear()
    async with connecting(app, path=where, **keys) as wire:
        with contextlib.suppress(ValueError):  # how compat's router refuses
            await wire.end()
    return list(REACHED)


@pytest.mark.parametrize("router", [URLRouter, CompatURLRouter], ids=["native", "compat"])
@pytest.mark.parametrize("routes", ROUTES)
async def test_only_one_spelling_of_a_path_matches(router: type[URLRouter], routes: str) -> None:
    app = ROUTES[routes](router)
    assert await reached(app, "/a/b/") == ["/a/b/"]
    for spelling in SPELLINGS:
        assert await reached(app, spelling) == [], spelling


@pytest.mark.parametrize("router", [URLRouter, CompatURLRouter], ids=["native", "compat"])
@pytest.mark.parametrize("root", ["/root", "/root/"])
async def test_nor_does_another_one_below_a_root_path(router: type[URLRouter], root: str) -> None:
    app = ROUTES["flat"](router)
    assert await reached(app, "/root/a/b/", root_path=root) == ["/root/a/b/"]
    for spelling in ("/root//a/b/", "//root/a/b/", "/root///a/b/", "/root/./a/b/", "/root/root/a/b/", "/ROOT/a/b/"):
        assert await reached(app, spelling, root_path=root) == [], spelling
