"""On a GPU: what the twin tells of a measured step leaves nothing of its bytes unexplained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_cells import FAMILIES

from lorafa_prof.cli.main import main
from lorafa_prof.devices.gpus.gpu import find_gpu

GPU = find_gpu(torch.cuda.get_device_name()) if torch.cuda.is_available() else None

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPU is None, reason="needs a CUDA GPU of the catalogue"),
]

METHODS = {"full-ft": "full-ft", "lora": "lora r4", "lora-fa": "lora-fa r4", "peft-lora": "peft-lora r4"}


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_measured_byte_is_explained(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        f"schema: 1\nname: s\nmodel: {family}\nmethod: [full-ft, {{name: lora, rank: 4}}, "
        "{name: lora-fa, rank: 4}, {name: peft-lora, rank: 4}]\nbatch: 2\nseq: 48\ndtype: bf16\n"
        "device: cuda\nsteps: {warmup: 3, timed: 1}\n"
    )
    assert code_of("run", "s.yaml", "-o", "out") == 0
    for method, label in METHODS.items():
        chosen = ["--cell", f" {label} b2", "--no-what-if", "--json", f"{method}.json"]
        assert code_of("explain", "out", *chosen) == 0
        (cell,) = json.loads(Path(f"{method}.json").read_text())["cells"]
        assert cell["settings"]["method"]["name"] == method
        assert (cell["peak"]["unexplained_bytes"], cell["activation"]["unexplained_bytes"]) == (0, 0), method
