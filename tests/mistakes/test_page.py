"""docs/reference/mistakes.md: it is what the records make, and it is found."""

import itertools

import pytest

from ..support.pages import ROOT, blocks
from .answers import answers
from .mistake import Mistake
from .page import COMMAND, PAGE, SECTIONS, page
from .records import CONNECTING
from .typed_records import GROUPS

MISTAKES = [mistake for section in SECTIONS for mistake in section.mistakes]


def test_the_page_is_what_the_records_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"docs/reference/mistakes.md is out of date. Run: {COMMAND}"


def test_the_page_has_each_mistake_and_each_answer_word_for_word() -> None:
    path = str(PAGE.relative_to(ROOT))
    assert [block.text for block in blocks(path, "py")] == [mistake.source for mistake in MISTAKES]
    shown = [" ".join(block.text.split()) for block in blocks(path, "text")]
    assert shown == [" ".join(mistake.answer.split()) for mistake in MISTAKES]


def test_no_title_is_there_twice() -> None:
    titles = sorted(mistake.title for mistake in MISTAKES)
    assert not [one for one, next_one in itertools.pairwise(titles) if one == next_one]


def test_no_type_checker_is_asked_about_wrong_code() -> None:
    assert blocks(str(PAGE.relative_to(ROOT)), "python") == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "mistake",
    [mistake for mistake in MISTAKES if mistake.opens and mistake not in (*CONNECTING, *GROUPS)],
    ids=lambda mistake: mistake.title,
)
async def test_the_answer_comes_when_the_page_says(
    mistake: Mistake, no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    heard = await answers(mistake, caplog, sends=False)
    assert heard == ([] if mistake.needs_a_message else [mistake.answer])
