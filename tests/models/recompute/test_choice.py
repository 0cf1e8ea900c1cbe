"""Values of `checkpointing`: what they mean, and the line that says why one means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.models.recompute.choice import Checkpointing


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("none", {}),
        ("full", {"layers": "full"}),
        ("full-reentrant", {"layers": "full-reentrant"}),
        ("attention", {"attention": True}),
        ("mlp", {"mlp_share": 1.0}),
        ("mlp=0.25", {"mlp_share": 0.25}),
        ("offload", {"offload_share": 1 / 3}),
        ("offload=0.5", {"offload_share": 0.5}),
        ("full+offload", {"layers": "full", "offload_share": 1.0}),
        ("attention+mlp+offload", {"attention": True, "mlp_share": 1.0, "offload_share": 1 / 3}),
    ],
)
def test_what_a_value_means(text: str, means: dict[str, Any]) -> None:
    assert Checkpointing.read(text) == Checkpointing(**means)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("some", "'some' is unknown; it is one of none, full, full-reentrant, attention, mlp, offload, or"),
        ("", "'' is unknown"),
        ("none+mlp", "'none[+]mlp' is unknown"),
        ("attention=0.5", "'attention=0.5' is unknown"),
        ("full+mlp", "'full[+]mlp': full recomputes mlp already; leave mlp out"),
        ("full-reentrant+attention+offload", "full-reentrant recomputes attention already"),
        ("full+full-reentrant", "says one thing twice"),
        ("mlp+mlp", "says one thing twice"),
        ("offload+attention", "is written attention[+]offload"),
        ("offload=2", "the share of offload is above 0 and at most 1"),
        ("mlp=0", "the share of mlp is above 0"),
        ("offload=", "the share of offload is above 0"),
        ("offload=nan", "the share of offload is above 0"),
    ],
)
def test_what_means_nothing(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        Checkpointing.read(text)
    assert raised.value.about == "checkpointing"
