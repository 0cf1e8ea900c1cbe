"""Unsloth's LoRA as a method, for `step.py`: a peer of the benchmark, not of the package.

    python benchmarks/unsloth_peer.py RESULT.json < CELL.json

It measures a cell by the instruments of any other. Unsloth patches transformers and PEFT as it is imported,
so its cells have a Python of their own, which imports it first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lorafa_prof.cell import Cell
from lorafa_prof.methods.base import METHODS, Method, MethodOptions, Prepared, Setting
from lorafa_prof.optim.choices import make_optimizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lorafa_prof.results.measured import Measured
    from lorafa_prof.step import PhaseTracker

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
#: Else it asks a hub for a file, to count its users.
ENVIRONMENT = {"UNSLOTH_DISABLE_STATISTICS": "1", "HF_HUB_OFFLINE": "1"}
TIMEOUT_S = 600


class UnslothOptions(MethodOptions):
    """What of LoRA's options is handed to Unsloth."""

    rank: int = 8
    alpha: float = 8.0
    targets: Literal["all-linear"] = "all-linear"
    dropout: float = 0.0


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Return Unsloth's model of the same weights, by way of a folder, which is where it loads from."""
    from unsloth import FastLanguageModel

    chosen = cast(UnslothOptions, options)
    dtype, length = model.dtype, model.config.max_position_embeddings
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        _no_words().save_pretrained(folder)
        cast(Any, model).to("meta")
        loaded, _ = FastLanguageModel.from_pretrained(
            folder,
            max_seq_length=length,
            dtype=dtype,
            load_in_4bit=False,
            use_gradient_checkpointing=False,
        )
    adapted = FastLanguageModel.get_peft_model(
        loaded,
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        lora_dropout=chosen.dropout,
        target_modules=LINEARS,
        use_gradient_checkpointing=False,
    )
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(setting.adapter_dtype)
    adapted.train()
    return Prepared(adapted, make_optimizer(setting.optimizer, adapted.parameters(), setting.update))


def _no_words() -> Any:
    """Return a tokenizer, which Unsloth wants to find beside a model, and which nothing uses."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(BPE()), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


METHOD = Method(
    name="unsloth-lora",
    summary="peer: Unsloth's LoRA on all linear layers",
    options=UnslothOptions,
    prepare=prepare,
    default_adapter_dtype=lambda dtype: dtype,
)


def run(cell: Cell, log: Path) -> dict[str, Any]:
    """Return the row of a cell of Unsloth's, measured in a process of its own; skipped if it is missing."""
    row: dict[str, Any] = {"method": cell.method.name}
    if find_spec("unsloth") is None:
        return {**row, "status": "skipped", "message": "unsloth is not installed"}
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        result = Path(folder) / "result.json"
        try:
            subprocess.run(
                [sys.executable, __file__, str(result)],
                input=cell.model_dump_json(),
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, "UNSLOTH_COMPILE_LOCATION": f"{folder}/compiled"},
                timeout=TIMEOUT_S,
                check=True,
            )
        except subprocess.TimeoutExpired:
            return {**row, "status": "timeout", "message": f"no result within {TIMEOUT_S} s"}
        except subprocess.CalledProcessError:
            return {**row, "status": "error", "message": log.read_text().strip().splitlines()[-1]}
        from lorafa_prof.results.record import CellResult

        return CellResult.model_validate_json(result.read_text()).row


def measure(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Measure memory and times as of any cell; PyTorch cannot look into Unsloth's kernels to explain them."""
    import torch

    from lorafa_prof.instruments.memory.cuda import CudaMemoryMeter
    from lorafa_prof.instruments.timing import CudaClock
    from lorafa_prof.running.passes import build_and_warm_up, keep_memory, time_measured

    prepared, step = build_and_warm_up(cell, torch.device(cell.device), measured, tracker)
    meter = CudaMemoryMeter(prepared.model)
    step.run((tracker, meter))
    keep_memory(measured, meter)
    measured.times = time_measured(cell, step, CudaClock())


def main() -> None:
    """Measure the cell on stdin, write its result."""
    import unsloth  # noqa: F401

    from lorafa_prof.running.measure import run_here

    METHODS.add(METHOD)
    result = run_here(Cell.model_validate_json(sys.stdin.read()), measure)
    Path(sys.argv[1]).write_text(result.model_dump_json())


if __name__ == "__main__":
    main()
