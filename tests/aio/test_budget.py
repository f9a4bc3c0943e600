"""Which of the client's messages count, and when no more are to be read."""

from contextlib import suppress
from sys import getsizeof

import pytest

from consumers._aio.budget import ByteBudget

LIMIT, MESSAGES = 40_000, 10
SMALL = LIMIT // MESSAGES


@pytest.mark.parametrize("character", ["a", "é", "語", "😀"], ids=["ASCII", "Latin-1", "two bytes", "four bytes"])
@pytest.mark.parametrize(
    "length", [0, 1, SMALL // 8 - 10, SMALL // 8 - 5, SMALL // 8, SMALL // 4, SMALL // 2, SMALL, 2 * SMALL]
)
@pytest.mark.parametrize("is_kept_as_utf8", [False, True])
def test_a_text_of_more_than_its_share_counts_for_what_it_takes_in_memory(
    character: str, length: int, is_kept_as_utf8: bool
) -> None:
    text = character * length
    if is_kept_as_utf8:
        with suppress(SyntaxError):
            compile(text, "a text", "exec")  # for which Python makes its UTF-8, and keeps it
    expected = getsizeof(text) if getsizeof(text) > SMALL else 0
    assert ByteBudget(LIMIT, MESSAGES).size_of({"type": "websocket.receive", "text": text}) == expected


@pytest.mark.parametrize("key", ["bytes", "body"])
@pytest.mark.parametrize("length", [0, SMALL // 4, SMALL - getsizeof(b""), SMALL - getsizeof(b"") + 1])
def test_bytes_count_by_the_same_rule(key: str, length: int) -> None:
    data = bytes(length)
    expected = getsizeof(data) if getsizeof(data) > SMALL else 0
    assert ByteBudget(LIMIT, MESSAGES).size_of({"type": "http.request", key: data}) == expected


def test_what_has_no_content_counts_for_nothing() -> None:
    budget = ByteBudget(LIMIT, MESSAGES)
    assert budget.size_of({"type": "websocket.connect"}) == budget.size_of({"type": "x", "text": None}) == 0


@pytest.mark.parametrize("content", [5, True, 1.5, object(), memoryview(b"abc"), bytearray(b"abc")])
def test_content_of_another_kind_counts_too(content: object) -> None:
    few = ByteBudget(10, 10)
    assert few.size_of({"type": "sensor.value", "body": content}) == getsizeof(content)
    assert ByteBudget(LIMIT, MESSAGES).size_of({"type": "sensor.value", "body": content}) == 0


def test_a_budget_of_few_bytes_counts_every_message() -> None:
    assert ByteBudget(10, 10).size_of({"type": "websocket.receive", "text": "a"}) == getsizeof("a")


def test_it_is_spent_by_two_messages_but_never_by_one() -> None:
    budget = ByteBudget(LIMIT, MESSAGES)
    budget.take(2 * LIMIT)
    assert not budget.is_spent
    budget.take(SMALL + 1)
    assert budget.is_spent
    budget.give_back(2 * LIMIT)
    assert not budget.is_spent
