"""Which of several like cases `make test` runs, and which it leaves to `make test-all`."""

from typing import Any

import pytest


def left_to_ci(*cases: object) -> list[Any]:
    """Mark cases as slow: those beside them stand for them in `make test`.

    Args:
        cases: a parameter's values, or tuples of several parameters' values.
    """
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]


@pytest.fixture(params=["asyncio", *left_to_ci("trio")])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Leave trio to CI, for tests of what depends on no event loop: a folder's `conftest.py` imports this."""
    return str(request.param)
