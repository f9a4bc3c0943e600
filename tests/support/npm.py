"""Programs of npm's, which check what is generated: `tests/npm/package.json` lists them."""

from pathlib import Path

import pytest

MODULES = Path(__file__).parents[1] / "npm" / "node_modules"


def npm_modules() -> Path:
    """Return the folder of npm's packages; skip the test if nobody has installed them."""
    if not MODULES.is_dir():
        pytest.skip("npm's packages are not installed: `make test` does that where there is npm")
    return MODULES
