"""Which of several like cases `make test` runs, and which it leaves to `make test-all`."""

from typing import Any

import pytest


def left_to_ci(*cases: object) -> list[Any]:
    """Mark cases as slow: those beside them stand for them in `make test`.

    Args:
        cases: a parameter's values, or tuples of several parameters' values.
    """
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
