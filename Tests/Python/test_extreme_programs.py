"""Five hundred small programs with extreme values; `make soak` runs a million."""

from __future__ import annotations

import pytest
from extreme_programs import check


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_programs(first):
    assert [line for seed in range(first, first + 50) if (line := check(seed))] == []
