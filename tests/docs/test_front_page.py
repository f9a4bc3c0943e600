"""The front page of the site lists each extra with what it brings."""

import re
import tomllib

from ..support.pages import ROOT


def test_every_extra_is_listed_with_what_it_brings() -> None:
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    listed = {extra: set(brings.split(", ")) for extra, brings in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.M)}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    brought = {
        extra: {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
        for extra, requirements in extras.items()
    }
    assert listed == brought
