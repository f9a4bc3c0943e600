"""What prefixes and names need."""

from typing import Any

import pytest

from consumers.layers.redis.names import checked_prefix, require_text


@pytest.mark.parametrize("prefix", ["asgi", "", "a:groups", "\u00fc*["])
def test_a_prefix_may_be_nearly_any_text(prefix: str) -> None:
    assert checked_prefix(prefix, ":group:") == prefix


@pytest.mark.parametrize("prefix", ["a:group:b", ":group:", "\ud800"])
def test_a_prefix_that_names_could_not_be_told_by_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix must"):
        checked_prefix(prefix, ":group:")


def test_the_end_of_a_prefix_may_not_begin_the_mark() -> None:
    with pytest.raises(ValueError, match="or end with the most of it"):
        checked_prefix("a__group", "__group__")


@pytest.mark.parametrize("name", [None, 5, b"name", "\ud800"])
def test_a_name_is_text_that_has_bytes(name: Any) -> None:
    require_text("Channel", "n\u00e4me")
    with pytest.raises(TypeError, match="Channel name must be a string that UTF-8 has bytes for"):
        require_text("Channel", name)
