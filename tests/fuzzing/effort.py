"""How many inputs a fuzzer tries: few in the test suite, as many as asked for by ``make fuzz``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES_VARIABLE = "LORAFA_FUZZ_EXAMPLES"


def effort(few: int) -> settings:
    """Settings of a fuzz test: `few` inputs, always the same; or others, as many as the variable says."""
    asked = os.environ.get(EXAMPLES_VARIABLE)
    return settings(
        max_examples=int(asked) if asked else few,
        derandomize=asked is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
