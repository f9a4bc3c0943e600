"""docs/howto/index.md leads to every page of its folder."""

import re

from ..support.pages import ROOT

FOLDER = ROOT / "docs/howto"


def test_the_index_names_each_page_once() -> None:
    named = re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "index.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(page.name for page in FOLDER.glob("*.md") if page.name != "index.md")
