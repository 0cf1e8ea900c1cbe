"""How much a script needs whose memory ran out: it is run once more, with room for every request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.predicting.prediction import Prediction, prediction_of
from lorafa_prof.predicting.script import Script
from lorafa_prof.predicting.trials import Start, predict_apart
from lorafa_prof.words.numbers import size


def with_need(prediction: Prediction, script: Script, options: Sequence[str], start: Start) -> Prediction:
    """Return a prediction that ran out of memory with what the script needs in all, or a note why not.

    All that the script does outside it does once more.

    Args:
        prediction: of `script`, with `out_of_memory`.
        script: what was predicted.
        options: of ``lorafa-prof predict``, as they were.
        start: where it was started.
    """
    try:
        free = prediction_of(predict_apart(script, [*options, "--no-limit"], start))
    except LorafaProfError as error:
        return _not_known(prediction, str(error))
    if free.status != "ok":
        return _not_known(prediction, free.message)
    assert prediction.out_of_memory is not None
    assert prediction.capacity_bytes is not None
    short_bytes = free.peak_reserved_bytes - prediction.capacity_bytes
    if short_bytes <= 0:
        return _not_known(prediction, f"the second time it needed {size(free.peak_reserved_bytes)} alone")
    message = (
        f"out of memory on {prediction.gpu} {prediction.out_of_memory.where}; "
        f"needs {size(free.peak_reserved_bytes)} in all, {size(short_bytes)} short"
    )
    return replace(prediction, message=message, without_limit=free)


def _not_known(prediction: Prediction, why: str) -> Prediction:
    note = f"how much it needs in all is not known; run once more without the limit: {why}"
    return replace(prediction, notes=(note, *prediction.notes))
