"""What an editor shows when the mouse hovers over a public name: pyright's language server is asked about each."""

import importlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import pytest

from consumers import SyncConsumer

from ..support.language_server import language_server
from ..support.public import MODULES

pytestmark = pytest.mark.slow

HOVERED = (*MODULES, "consumers.limits")

LIMITS = ["Limits", "configure"]
"""The public names of `consumers.limits`, which also has what other modules need."""

TAKE_ANYTHING = {
    "**kwargs": "passed on to another method",
    "**settings": "uvicorn's",
    "content": "what JSON has",
    "data": "what JSON has, or what `encoding` says",
    "event": "what a hook handles",
    "messages": "a union of models, which has no type",
    "sends": "a union of models, which has no type",
}
"""Parameters and attributes whose type is Any, and why."""

RETURN_ANYTHING = {
    "on_error": "a hook, async or plain",
    "decode": "what `encoding` says",
    "decode_json": "what JSON has",
    "deserialize": "what another process has sent",
    "receive_json_from": "what JSON has",
}
"""Methods that return Any, and why."""

LEFT_OUT = {
    "consumers.server.GunicornWorker.CONFIG_KWARGS": "uvicorn-worker's",
    "consumers.testing.LayerContract.track": "a part of tests, which try wrong arguments",
    "consumers.BaseChannelLayer.group_add": "foreign layers return anything",
    "consumers.BaseChannelLayer.group_send": "foreign layers return anything",
    "consumers.layers.BaseChannelLayer.group_add": "foreign layers return anything",
    "consumers.layers.BaseChannelLayer.group_send": "foreign layers return anything",
}
"""Names that are not looked at, and why."""

IS_ANY = re.compile(r"(\*{0,2}\w+): (?:Any|Unknown)(?=[,\n)]| =|$)")

RETURNS_ANY = re.compile(r"-> (?:CoroutineType\[Any, Any, )?(?:Any|Unknown)\]?$", re.MULTILINE)


class Hover(NamedTuple):
    """What is shown of a name.

    Args:
        name: the name, with its module's and its class'.
        is_sync: whether it is a sync consumer's: what its methods return is there, or in an async task to be awaited.
        signature: the upper part.
        docstring: the lower part.
    """

    name: str
    is_sync: bool
    signature: str
    docstring: str


def public_names(module: ModuleType) -> list[str]:
    """Return a module's public names."""
    return LIMITS if module.__name__ == "consumers.limits" else list(module.__all__)


def members(one: object) -> Iterator[str]:
    """Yield the names of the public methods and attributes that a class has from this package."""
    for name in dir(one) if isinstance(one, type) else ():
        [owner, *_] = [base for base in one.__mro__ if name in vars(base)] if isinstance(one, type) else [object]
        if not name.startswith(("_", "test_")) and owner.__module__.partition(".")[0] == "consumers":
            yield name


@pytest.fixture(scope="module")
def hovers(tmp_path_factory: pytest.TempPathFactory) -> list[Hover]:
    folder = tmp_path_factory.mktemp("hovers").resolve()
    names: dict[str, bool] = {}
    for module in map(importlib.import_module, HOVERED):
        for name in public_names(module):
            one = getattr(module, name)
            is_sync = isinstance(one, type) and issubclass(one, SyncConsumer)
            for path in (name, *(f"{name}.{member}" for member in members(one))):
                names[f"{module.__name__}.{path}"] = is_sync
    lines = [*(f"import {module}" for module in HOVERED), *(name for name in names if name not in LEFT_OUT)]
    file = folder / "names.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = []
    with language_server(folder) as server:
        for line, shown in zip(lines, server.hovers(file), strict=True):
            signature, _, docstring = (shown or "").partition("\n---\n")
            found.append(Hover(line, names.get(line, False), signature, docstring))
    return found[len(HOVERED) :]


def test_an_editor_shows_a_docstring_of_every_public_name(hovers: list[Hover]) -> None:
    assert len(hovers) > 700
    assert [hover.name for hover in hovers if not hover.docstring.strip()] == []


def test_an_editor_shows_the_type_of_every_parameter(hovers: list[Hover]) -> None:
    found = [(hover.name, name) for hover in hovers for name in IS_ANY.findall(hover.signature)]
    assert [(name, of) for name, of in found if of not in TAKE_ANYTHING] == []


def test_an_editor_shows_what_every_method_returns(hovers: list[Hover]) -> None:
    found = [hover for hover in hovers if RETURNS_ANY.search(hover.signature) and not hover.is_sync]
    assert [hover.name for hover in found if hover.name.rpartition(".")[2] not in RETURN_ANYTHING] == []


def test_an_editor_shows_the_arguments_of_a_sync_consumers_methods(hovers: list[Hover]) -> None:
    [send] = [hover for hover in hovers if hover.name == "consumers.WebsocketConsumer.send"]
    assert "text_data: str | None = None" in send.signature
    [join] = [hover for hover in hovers if hover.name == "consumers.WebsocketConsumer.group_join"]
    assert "group: str" in join.signature
    assert "Coroutine" not in join.signature
