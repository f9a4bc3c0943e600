"""`consumers.typed` needs pydantic, and nothing else does."""

import subprocess
import sys

import pytest


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.slow
def test_nothing_of_pydantic_is_imported_with_the_package() -> None:
    code = "import sys, consumers; print({'pydantic', 'pydantic_core', 'consumers.typed'} & sys.modules.keys())"
    assert run(code) == "set()"


@pytest.mark.slow
def test_without_pydantic_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["pydantic"] = None
try:
    import consumers.typed
except ImportError as error:
    print(error)
"""
    assert run(code) == "consumers.typed needs pydantic: pip install 'starlette-consumers[typed]'"
