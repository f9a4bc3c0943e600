"""Every Python example of the documentation runs; those that are tests run in files of their own, as a reader's do."""

import re
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

COMMANDS = "they install, serve or print: the command line's own tests run them"

OTHER_LANGUAGES = {
    "CONTRIBUTING.md": {"sh": "what `.ci/run` calls, and `make docs DOCS=serve`"},
    "README.md": {"sh": "tests/docs/test_porting.py; make and pip: `.ci/run`, and tools/dist.py"},
    "docs/explanation/cancellation.md": {"text": "tests/docs/test_explanation.py compares the line of the log"},
    "docs/explanation/performance.md": {"sh": "not run: it takes 20 minutes"},
    "docs/howto/application.md": {
        "html": "tests/browser/test_application.py",
        "js": "tests/browser/test_application.py",
        "sh": "tests/support/application.py runs them",
    },
    "docs/howto/asyncapi.md": {"sh": COMMANDS},
    "docs/howto/chanx.md": {
        "py": "not run: the library it shows is no dependency; tests/docs/test_chanx.py compiles it"
    },
    "docs/howto/client.md": {
        "html": "tests/browser/test_client_page.py",
        "js": "not run: it calls functions of the reader's; tests/browser/test_client_module.py has the same calls",
    },
    "docs/howto/deployment.md": {"ini": "not run: there is no systemd in a test", "sh": COMMANDS},
    "docs/howto/observability.md": {"sh": "not run: it takes minutes"},
    "docs/howto/porting.md": {
        "console": "tests/docs/test_porting.py",
        "sh": "tests/docs/test_porting.py",
        "toml": "one line of a configuration of uv's",
    },
    "docs/howto/presence.md": {"javascript": "tests/docs/test_presence.py", "text": "one line of a configuration"},
    "docs/howto/proxies.md": {
        "caddy": "tests/docs/test_proxies.py",
        "dockerfile": "tests/docs/test_proxies.py reads it: there is no Docker in a test",
        "nginx": "tests/docs/test_proxies.py",
        "sh": "tests/docs/test_proxies.py",
        "yaml": "tests/docs/test_proxies.py reads it: there is no Docker in a test",
    },
    "docs/howto/socketio.md": {
        "js": "tests/docs/test_socketio.py",
        "py": "not run: the library it shows is no dependency; tests/docs/test_socketio.py compiles it",
    },
    "docs/howto/typed.md": {"json": "tests/docs/test_typed.py"},
    "docs/howto/typescript.md": {"sh": COMMANDS, "ts": "tests/docs/test_typescript.py"},
    "docs/index.md": {"sh": "tools/dist.py installs the same extras"},
    "docs/reference/command-line.md": {"console": "tests/docs/test_command_line.py"},
    "docs/reference/mistakes.md": {"py": "tests/mistakes", "text": "tests/mistakes"},
    "docs/reference/redis.md": {"text": "tests/layers/redis/test_acl.py; two lines of a configuration"},
    **{
        f"docs/tutorial/{step}.md": dict.fromkeys(languages, "tests/docs/test_tutorial.py")
        for step, *languages in (
            ("deployment", "py", "sh"),
            ("echo", "console"),
            ("index", "sh"),
            ("presence", "html"),
            ("recovery", "console", "html"),
            ("redis", "console"),
            ("rooms", "console", "json"),
            ("sign-in", "console", "html"),
            ("tests", "console"),
            ("typed", "html"),
        )
    },
}
"""What tries the blocks of other languages, or why nothing does."""

PAGES = [
    page
    for page in sorted(str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
    if page not in ELSEWHERE
]

EXAMPLES = [(page, block) for page in PAGES for block in blocks(page, "python")]

TESTS = [(page, block) for page, block in EXAMPLES if "def test_" in block.text]


def test_of_every_block_it_is_known_what_tries_it() -> None:
    found: dict[str, set[str]] = {}
    for page in sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))):
        if languages := set(re.findall(r"^ *```(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)) - {"python"}:
            found[str(page.relative_to(ROOT))] = languages
    assert {page: set(languages) for page, languages in OTHER_LANGUAGES.items()} == found
    reasons = [*ELSEWHERE.values(), *(why for languages in OTHER_LANGUAGES.values() for why in languages.values())]
    named = {name for why in reasons for name in re.findall(r"\b(?:tests|docs|tools)/[\w/]+\.py", why)}
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


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
