"""What a network makes of an image, by its config, is what its embeddings give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import EAGER_ONLY
from transformers import AutoConfig, AutoModelForImageClassification, PretrainedConfig, ResNetConfig

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.images import image_tokens
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import default_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

CPU = torch.device("cpu")
_ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 8,
}
_STAGES: dict[str, Any] = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
_CONVOLUTIONS: dict[str, Any] = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("beit", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "ijepa", "vit", "vit_msn"),
        _ENCODER,
    ),
    **dict.fromkeys(("swin", "swinv2"), _STAGES),
    **dict.fromkeys(("convnext", "convnextv2"), _CONVOLUTIONS),
    "focalnet": {"embed_dim": 16, "depths": [1, 1], "focal_levels": [1, 1], "focal_windows": [3, 3]},
}


def network(config: PretrainedConfig) -> ResolvedModel:
    return ResolvedModel("x", "image-classification", config, "random", "nowhere")


@pytest.mark.parametrize(
    ("kind", "image_size"),
    [
        (kind, image_size)
        for kind in CONFIGS
        # transformers' own code of these takes squares alone.
        for image_size in ([32, 35] if kind.startswith(("dinov2", "swin")) else [32, 35, [40, 24]])
    ],
)
def test_tokens_are_those_that_the_embeddings_give(kind: str, image_size: Any) -> None:
    config = AutoConfig.for_model(kind, image_size=image_size, **CONFIGS[kind])
    if kind == "deit":  # which has two classes
        config.architectures = ["DeiTForImageClassification"]
    resolved = network(config)
    tokens = image_tokens(resolved)
    model = AutoModelForImageClassification.from_config(config, attn_implementation="eager").eval()
    seen: list[torch.Tensor] = []
    embeddings = next(m for m in model.modules() if type(m).__name__.endswith("Embeddings"))
    embeddings.register_forward_hook(lambda module, args, out: seen.append(first_tensor(out)))
    inputs = make_inputs(resolved, batch=2, seq=tokens, device=CPU, seed=0)
    with torch.no_grad():
        model(**inputs)
    out = seen[0]
    assert (out.shape[1] if out.dim() == 3 else out.shape[2] * out.shape[3]) == tokens


def first_tensor(out: Any) -> torch.Tensor:
    return out if isinstance(out, torch.Tensor) else first_tensor(out[0])


def test_images_and_classes_are_those_of_the_config() -> None:
    config = AutoConfig.for_model("vit", image_size=[16, 48], num_channels=1, num_labels=7)
    inputs = make_inputs(network(config), batch=64, seq=4, device=CPU, seed=0, dtype=torch.bfloat16)
    assert {name: (tuple(t.shape), t.dtype) for name, t in inputs.items()} == {
        "pixel_values": ((64, 1, 16, 48), torch.bfloat16),
        "labels": ((64,), torch.int64),
    }
    assert set(inputs["labels"].tolist()) == set(range(7))
    again = make_inputs(network(config), batch=64, seq=4, device=CPU, seed=0, dtype=torch.bfloat16)
    assert all(torch.equal(inputs[name], again[name]) for name in inputs)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("vit-base", 197), ("swin-base", 3136), ("dinov2-base", 1370), ("convnext-base", 3136)],
)
def test_the_sequence_where_nothing_is_said_is_that_of_the_image(name: str, tokens: int) -> None:
    assert default_seq(resolve_model(ModelChoice(name=name))) == tokens


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"seq": 1024}, "seq 1024 is not of model 'tiny-vit', which makes 17 tokens of an image of its"),
        ({"padding": 0.5}, "padding 0.5 is of text, and model 'tiny-vit' sees images, all of one size"),
    ],
)
def test_what_is_of_text_is_refused(asked: dict[str, Any], line: str) -> None:
    resolved = resolve_model(ModelChoice(name="tiny-vit"))
    with pytest.raises(UsageError, match=line):
        make_inputs(resolved, **{"batch": 2, "seq": 17, "device": CPU, "seed": 0, **asked})


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (ResNetConfig(), "type 'resnet'.: what it makes of an image is not known here; of these types it is"),
        (
            AutoConfig.for_model("vit", image_size=0),
            "image_size of its config is 0, and no images can be made",
        ),
        (AutoConfig.for_model("vit", patch_size=[16, 0]), "patch_size of its config is 0, and no images"),
    ],
)
def test_a_config_without_sizes_is_one_line(config: PretrainedConfig, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        image_tokens(network(config))


def test_eager_only_is_what_transformers_says() -> None:
    for name in EAGER_ONLY:
        config = resolve_model(ModelChoice(name=name)).config
        with pytest.raises(ValueError, match="does not support"):
            AutoModelForImageClassification.from_config(config, attn_implementation="sdpa")
