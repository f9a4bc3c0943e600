"""docs/reference/api: every public name is there once, and what is there exists."""

import importlib
import pkgutil
import re
from collections import Counter
from typing import Any

import pytest

from ..support.pages import ROOT
from ..support.public import MODULES

PAGES = sorted((ROOT / "docs/reference/api").glob("*.md"))

SHOWN = [
    (page.name, found[1], re.findall(r"^        - (\w+)$", found[2], re.MULTILINE))
    for page in PAGES
    for found in re.finditer(r"^::: ([\w.]+)\n((?:    .*\n)*)", page.read_text(encoding="utf-8"), re.MULTILINE)
]
"""The pages, what each shows, and the members that are listed for it."""


def named(path: str) -> Any:
    """Return what a dotted path names."""
    return pkgutil.resolve_name(path)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_one_page(module: str) -> None:
    shown = [named(path) for _, path, _ in SHOWN]
    for name in importlib.import_module(module).__all__:
        one = getattr(importlib.import_module(module), name)
        assert sum(each is one for each in shown) == 1, name


def test_nothing_is_shown_twice() -> None:
    assert [path for path, count in Counter(path for _, path, _ in SHOWN).items() if count > 1] == []


def test_every_member_that_is_listed_exists() -> None:
    for page, path, members in SHOWN:
        one = named(path)
        known = {
            *dir(one),
            *(name for base in getattr(one, "__mro__", ()) for name in vars(base).get("__annotations__", ())),
        }
        assert [name for name in members if name not in known and name != "body"] == [], (page, path)
