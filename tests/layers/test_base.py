"""The rules for names, and capacities."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumers.layers import BaseChannelLayer

layer = BaseChannelLayer()


@pytest.mark.parametrize("name", ["a", "chat.room-1_B", "x" * 99])
def test_valid_names(name: str) -> None:
    assert layer.require_valid_group_name(name)
    assert layer.require_valid_channel_name(name)


@pytest.mark.parametrize("name", ["a!", "specific.x!abc-1_.", "a!" + "b" * 97])
def test_only_channel_names_may_have_an_exclamation_mark(name: str) -> None:
    assert layer.require_valid_channel_name(name)
    with pytest.raises(TypeError, match="has '!' at position"):
        layer.require_valid_group_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (5, "it is not a string but int: 5"),
        (None, "it is not a string but NoneType"),
        (b"room", "it is not a string but bytes"),
        (["room"], "it is not a string but list"),
        ("", "it is empty"),
        ("x" * 100, "has 100 characters"),
        ("a room", "'a room' has ' ' at position 1"),
        ("café", "has 'é' at position 3"),
        ("room\u0661", "at position 4"),  # a digit, though not an ASCII one
        ("room\n", r"has '\\n' at position 4"),
    ],
)
def test_the_error_says_what_is_wrong_with_a_name(name: object, reason: str) -> None:
    with pytest.raises(TypeError, match="Group name must be a valid unicode string.*" + reason):
        layer.require_valid_group_name(name)
    with pytest.raises(TypeError, match="Channel name must be a valid unicode string.*" + reason):
        layer.require_valid_channel_name(name)


def test_the_error_says_what_is_wrong_with_an_exclamation_mark() -> None:
    with pytest.raises(TypeError, match="'a!b!c' has more than one '!'"):
        layer.require_valid_channel_name("a!b!c")
    with pytest.raises(TypeError, match="'!abc' has nothing before its '!'"):
        layer.require_valid_channel_name("!abc")


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("!.-_aZ0 \n"), max_size=110))
@example("a" * 100)
@example("a!b\n")
def test_a_name_is_valid_exactly_if_it_keeps_the_rule(name: str) -> None:
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    head, mark, tail = name.partition("!")
    short = 0 < len(name) < 100
    for check, valid in (
        (layer.require_valid_group_name, short and not mark and set(head) <= letters),
        (layer.require_valid_channel_name, short and bool(head) and set(head) | set(tail) <= letters),
    ):
        if valid:
            assert check(name)
        else:
            with pytest.raises(TypeError, match="name must be a valid"):
                check(name)


def test_a_subclass_may_narrow_the_rule() -> None:
    class Upper(BaseChannelLayer):
        group_name_regex = re.compile("[A-Z]+")

    with pytest.raises(TypeError, match="'abc' does not match"):
        Upper().require_valid_group_name("abc")


def test_a_name_to_receive_from_may_have_to_end_at_the_exclamation_mark() -> None:
    assert layer.require_valid_channel_name("a!", receive=True)
    with pytest.raises(TypeError, match="must end at the !"):
        layer.require_valid_channel_name("a!b", receive=True)


def test_the_non_local_part_of_a_name() -> None:
    assert layer.non_local_name("specific.x!abc") == "specific.x!"
    assert layer.non_local_name("worker") == "worker"


def test_the_first_matching_capacity_counts() -> None:
    layer = BaseChannelLayer(capacity=7, channel_capacity={"http.*!*": 1, re.compile("http"): 2, "h*": 3})
    assert [layer.get_capacity(name) for name in ("http.a!b", "http.a", "hello", "other")] == [1, 2, 3, 7]


def test_times_and_capacities_must_be_positive() -> None:
    with pytest.raises(ValueError, match="capacity must be positive, not 0"):
        BaseChannelLayer(capacity=0)
    with pytest.raises(ValueError, match="expiry must be positive, not -1"):
        BaseChannelLayer(expiry=-1)
    with pytest.raises(ValueError, match=r"channel_capacity of 'a\*' must be positive, not 0"):
        BaseChannelLayer(channel_capacity={"a*": 0})


def test_a_layer_without_attach_can_be_told_from_one_that_has_it() -> None:
    assert not hasattr(layer, "attach")
    assert not hasattr(layer, "detach")


@pytest.mark.anyio
async def test_what_a_layer_does_not_override_is_not_implemented() -> None:
    for call in (
        layer.send("a", {}),
        layer.receive("a"),
        layer.new_channel(),
        layer.group_add("g", "a"),
        layer.group_discard("g", "a"),
        layer.group_send("g", {}),
        layer.flush(),
    ):
        with pytest.raises(NotImplementedError):
            await call
    async with layer as entered:
        assert entered is layer
