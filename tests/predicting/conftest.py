from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.predicting.predict import predict_script
from lorafa_prof.predicting.prediction import Prediction
from lorafa_prof.predicting.script import Script

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Predict = Callable[..., Prediction]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Predicts a script, given as its text or by the name of an example, with its arguments."""
    monkeypatch.chdir(tmp_path)

    def predicted(
        script: str, *arguments: str, gpu: str = "h100-80gb", steps: int = 2, dry: Sequence[Path] = ()
    ) -> Prediction:
        if "\n" not in script:
            return predict_script(Script(str(EXAMPLES / script), False, arguments), GPUS[gpu], steps, dry)
        Path("train.py").write_text(script)
        return predict_script(Script("train.py", False, arguments), GPUS[gpu], steps, dry)

    return predicted
