"""The table of moved names says the truth."""

from importlib import import_module

import pytest

from compat.moves import BY_HAND, MODULES, MOVES

from .test_hook import NEED_DJANGO


def find(dotted: str) -> object:
    module, _, attribute = dotted.rpartition(".")
    return getattr(import_module(module), attribute)


def needs_django(dotted: str) -> bool:
    return dotted.rpartition(".")[0].removeprefix("compat.") in NEED_DJANGO or "LiveServer" in dotted


@pytest.mark.parametrize("new", sorted({new for new in MOVES.values() if not needs_django(new)}))
def test_every_new_name_exists(new: str) -> None:
    find(new)


@pytest.mark.parametrize("old", sorted(old for old in MOVES if not needs_django(old)))
def test_every_old_name_exists_in_compat(old: str) -> None:
    find(f"compat.{old}")


def test_what_stays_in_compat_keeps_its_name() -> None:
    assert [(old, new) for old, new in MOVES.items() if new.startswith("compat.") and new != f"compat.{old}"] == []


def test_the_notes_are_about_names_in_the_table() -> None:
    assert BY_HAND.keys() <= MOVES.keys()


def test_the_modules_are_those_of_the_names() -> None:
    assert {"channels", "channels.generic", "channels.generic.websocket", "django.urls"} <= MODULES
    assert "channels.generic.websocket.WebsocketConsumer" not in MODULES
