"""On a GPU: what the twin tells of a measured step leaves nothing of its bytes unexplained."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tiny_cells import FAMILIES

from lorafa_prof.cli.main import main
from lorafa_prof.devices.gpus.gpu import find_gpu
from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.folder import subjects_in

GPU = find_gpu(torch.cuda.get_device_name()) if torch.cuda.is_available() else None

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPU is None, reason="needs a CUDA GPU of the catalogue"),
]

METHODS = ("full-ft", "lora", "lora-fa", "peft-lora")


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Explanation]:
    """Every family with every method, measured by one run."""
    folder = tmp_path_factory.mktemp("measured")
    scenario = folder / "s.yaml"
    scenario.write_text(
        f"schema: 1\nname: s\nmodel: [{', '.join(FAMILIES)}]\nmethod: [full-ft, {{name: lora, rank: 4}}, "
        "{name: lora-fa, rank: 4}, {name: peft-lora, rank: 4}]\nbatch: 2\nseq: 48\ndtype: bf16\n"
        "device: cuda\nsteps: {warmup: 3, timed: 1}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["run", str(scenario), "-o", str(folder / "out")])
    assert ended.value.code == 0, (folder / "out" / "results.csv").read_text()
    return explain_cells(subjects_in(folder / "out"), 1, lambda *told: None, what_if=False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_measured_byte_is_explained(family: str, method: str, explained: Sequence[Explanation]) -> None:
    (found,) = (
        each
        for each in explained
        if (each.subject.row["model"], each.subject.row["method"]) == (family, method)
    )
    assert found.source.startswith("measured on")
    assert found.peak is not None
    assert found.activation is not None
    assert (found.peak.unexplained_bytes, found.activation.unexplained_bytes) == (0, 0), found.remarks
