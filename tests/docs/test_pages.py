"""Every Python example of the documentation runs; those that are tests run in files of their own, as a reader's do."""

from pathlib import Path
from typing import Any

import pytest

from ..support.pages import ROOT, Block, blocks
from ..support.processes import run_pytest
from ..support.tutorial import STEPS, page_of

ELSEWHERE = {
    "docs/howto/application.md": "tests/docs/test_application.py: it shows files in pieces",
    "docs/howto/deployment.md": "tests/docs/test_deployment.py: a process serves each",
    "docs/howto/layers.md": "tests/docs/test_layers.py: one example imports the other",
    "docs/howto/observability.md": "tests/docs/test_observability.py: it exports as long as its process lives",
    "docs/howto/send.md": "tests/docs/test_send.py and docs/howto/check_with_django.py: several processes, and Django",
    "docs/howto/porting.md": "tests/docs/test_porting.py and docs/howto/check_with_django.py: most need Django",
    "docs/reference/logging.md": "tests/docs/test_logging.py: it changes the levels of all tests",
    "docs/reference/mistakes.md": "tests/mistakes: each is to fail",
    **{page_of(step): "tests/docs/test_tutorial.py: each step is a folder of files" for step in STEPS},
}
"""Pages whose examples other tests run."""

PAGES = [
    page
    for page in sorted(str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
    if page not in ELSEWHERE
]

EXAMPLES = [(page, block) for page in PAGES for block in blocks(page, "python")]

TESTS = [(page, block) for page, block in EXAMPLES if "def test_" in block.text]


@pytest.mark.parametrize(("page", "block"), [pytest.param(*each, id=f"{each[0]}:{each[1].line}") for each in EXAMPLES])
def test_an_example_runs(page: str, block: Block, no_layer: None, no_limits: None) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.source, page, "exec"), namespace)
    assert any(name.startswith("test_") for name in namespace) == ("def test_" in block.text)


def test_the_readers_tests_pass(tmp_path: Path) -> None:
    for page, block in TESTS:
        name = page.removesuffix(".md").replace("/", "_")
        (tmp_path / f"test_{name}_{block.line}.py").write_text(block.source, encoding="utf-8")
    result = run_pytest("-q", "-W", "error", "-p", "anyio", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(".") >= len(TESTS)
