"""Cells of pairs of image and text: a loss of the batch, and tokens of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import seq_of, tiny_cell
from transformers import AutoConfig, AutoModelForZeroShotImageClassification

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.errors import ScenarioError
from lorafa_prof.models.images import image_tokens
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import default_seq, tokens_beside_seq
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.plan import check_cells
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

ENCODER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize("autocast", ["none", "bf16"])
@pytest.mark.parametrize("method", ["full-ft", "lora", "peft-lora"])
def test_the_loss_is_that_of_the_batch(method: str, autocast: str) -> None:
    prepared, step = prepare_step(tiny_cell("tiny-clip", method, autocast=autocast), torch.device("cpu"))
    assert set(step.inputs) == {"input_ids", "attention_mask", "pixel_values"}
    output: Any = prepared.model(**step.inputs)
    logits = output.logits_per_text
    right = torch.arange(len(logits))
    by_hand = sum(torch.nn.functional.cross_entropy(side, right) for side in (logits, logits.T)) / 2
    assert torch.allclose(output.loss, torch.as_tensor(by_hand))


@pytest.mark.parametrize("padding", [0.0, 0.5])
def test_rates_are_of_text_and_images(padding: float) -> None:
    row: Any = measure_cell(tiny_cell("tiny-clip", "lora", padding=padding)).row
    assert row["tokens_per_s"] == pytest.approx((seq_of("tiny-clip") + 17) * row["samples_per_s"])


def test_pairs_that_are_not_known_are_an_error_before_anything_runs(tmp_path: Path) -> None:
    AutoConfig.for_model("clipseg").save_pretrained(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text(f"schema: 1\nname: x\nmodel: {tmp_path}\nmethod: full-ft\nbatch: 1\n")
    loaded = load_scenario(file)
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    with pytest.raises(ScenarioError, match=r"s.yaml:3: model.*what it makes of an image is not known here"):
        check_cells(loaded, planned)


@pytest.mark.parametrize("kind", ["chinese_clip", "clip", "metaclip_2", "siglip"])
def test_tokens_of_an_image_are_those_that_the_embeddings_give(kind: str) -> None:
    config = AutoConfig.for_model(
        kind,
        text_config=dict(ENCODER),
        vision_config={**ENCODER, "image_size": 40, "patch_size": 8},
        projection_dim=32,
    )
    resolved = ResolvedModel("x", "image-text-pairs", config, "random", "nowhere")
    model = AutoModelForZeroShotImageClassification.from_config(config)
    seen: list[torch.Tensor] = []
    embeddings = next(m for m in model.modules() if type(m).__name__.endswith("VisionEmbeddings"))
    embeddings.register_forward_hook(lambda module, args, out: seen.append(out))
    inputs = make_inputs(resolved, batch=2, seq=7, device=torch.device("cpu"), seed=0)
    assert torch.isfinite(model(**inputs, return_loss=True).loss)
    assert seen[0].shape[1] == image_tokens(resolved) == tokens_beside_seq(resolved)
    assert default_seq(resolved) == min(config.get_text_config().max_position_embeddings, 1024)
