"""Whether steps became slower: the confidence interval of a ratio, from the time samples of two runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lorafa_prof.comparing.sides import Outcome

CONFIDENCE = 0.95
#: From fewer samples nothing can be told; of fewer than 20 none lies beyond the 5th or 95th percentile.
MINIMUM_SAMPLES = 5
MINIMUM_FOR_TAILS = 20
_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Sampled:
    """How a metric follows from time samples.

    Attributes:
        samples: the samples it follows from: "step" or a phase.
        percentile: the percentile of the samples that it is.
        inverse: whether the metric is something over the time, so that its ratio is the inverse.
    """

    samples: str = "step"
    percentile: float = 50
    inverse: bool = False

    @property
    def minimum(self) -> int:
        """The fewest samples of each side that allow an interval."""
        return MINIMUM_SAMPLES if self.percentile == 50 else MINIMUM_FOR_TAILS


SAMPLED: dict[str, Sampled] = {
    "step_ms_median": Sampled(),
    "step_ms_p05": Sampled(percentile=5),
    "step_ms_p95": Sampled(percentile=95),
    "forward_ms": Sampled("forward"),
    "backward_ms": Sampled("backward"),
    "optimizer_ms": Sampled("optimizer"),
    "tokens_per_s": Sampled(inverse=True),
    "tokens_per_s_per_gpu": Sampled(inverse=True),
    "samples_per_s": Sampled(inverse=True),
    "mfu": Sampled(inverse=True),
}


@dataclass(frozen=True)
class Interval:
    """The interval in which NEW over BASE lies, with a confidence of `CONFIDENCE`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{CONFIDENCE * 100:.0f} % interval {_change(self.low)} to {_change(self.high)} %"


def _change(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f}"


def interval(sampled: Sampled, base: Outcome, new: Outcome, ratio: float) -> Interval | str:
    """Return the interval of NEW over BASE, or why there is none.

    Args:
        sampled: how the metric follows from samples.
        base, new: the two cells, whose samples count.
        ratio: NEW over BASE for the metric itself. The interval lies about it as the one of times about
            theirs: for most metrics that is the same, but MFU also has the model's FLOPs in it.
    """
    ours, theirs = (side.samples.get(sampled.samples, ()) for side in (base, new))
    fewest = min(len(ours), len(theirs))
    if fewest < sampled.minimum:
        return f"{fewest} samples, {sampled.minimum} are needed: time more steps"
    point, low, high = ratio_of_percentiles(tuple(sorted(ours)), tuple(sorted(theirs)), sampled.percentile)
    if not 0 < low <= high < np.inf:
        return "some of the samples are 0 ms: the clock is too coarse"
    if sampled.inverse:
        point, low, high = 1 / point, 1 / high, 1 / low
    return Interval(low * ratio / point, high * ratio / point)


@lru_cache(maxsize=64)
def ratio_of_percentiles(
    base: tuple[float, ...], new: tuple[float, ...], percentile: float
) -> tuple[float, float, float]:
    """Return a percentile of `new` over that of `base`, and the low and high end of its bootstrap interval.

    Both sides are drawn from anew, with replacement. The draws are the same each time, so that a comparison
    run twice says the same; for that the samples have to be sorted.
    """
    random = np.random.default_rng(_SEED)
    with np.errstate(divide="ignore", invalid="ignore"):
        point = np.percentile(new, percentile) / np.percentile(base, percentile)
        ratios = _resampled(new, percentile, random) / _resampled(base, percentile, random)
        outside = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(ratios, (outside, 100 - outside))
    return float(point), float(low), float(high)


def _resampled(
    samples: tuple[float, ...], percentile: float, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    drawn = random.integers(len(samples), size=(_RESAMPLES, len(samples)))
    resampled: npt.NDArray[np.float64] = np.percentile(np.asarray(samples)[drawn], percentile, axis=1)
    return resampled
