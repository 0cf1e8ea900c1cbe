"""Documents in one row: laid out as transformers lays them, and kept apart by each model that is said to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, DataCollatorWithFlattening

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.packing import KEEPS_APART, check_packing
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.models.text import padding_tokens

#: By all names that configs have for them.
SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
    "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64, "n_inner": 64, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("padding", [0.0, 0.5])
def test_a_row_is_what_transformers_collator_makes(padding: float) -> None:
    resolved = resolve_model(ModelChoice(name="tiny-llama"))
    given: dict[str, Any] = {"batch": 3, "seq": 12, "device": torch.device("cpu"), "seed": 1}
    given["padding"] = padding
    padded, packed = (make_inputs(resolved, packing=packing, **given) for packing in (False, True))
    lengths = [12 - tokens for tokens in padding_tokens(padding, batch=3, seq=12)]
    documents = [
        {"input_ids": ids[:length].tolist(), "labels": labels[:length].tolist()}
        for ids, labels, length in zip(padded["input_ids"], padded["labels"], lengths, strict=True)
    ]
    theirs = DataCollatorWithFlattening()(documents)
    assert packed.keys() == theirs.keys()
    for name, tensor in packed.items():
        assert torch.equal(tensor, theirs[name]), name
        assert tensor.dtype == theirs[name].dtype
    assert packed["input_ids"].shape == (1, sum(lengths))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KEEPS_APART)
def test_a_document_sees_nothing_of_the_one_before_it(kind: str, attention: str) -> None:
    config = CONFIG_MAPPING[kind](**SMALL)
    config.use_cache = False
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    row = torch.randint(3, 60, (1, 12))
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None]
    with torch.no_grad():
        in_a_row = model(input_ids=row, position_ids=positions).logits[:, 5:]
        alone = model(input_ids=row[:, 5:], position_ids=positions[:, 5:]).logits
    assert (in_a_row - alone).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["tiny-roberta", "tiny-t5"])
def test_what_would_not_keep_documents_apart_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"packing: model '{name}'.*is not known to keep") as refused:
        check_packing(resolve_model(ModelChoice(name=name)), "sdpa")
    assert refused.value.about == "packing"


def test_what_flash_attention_would_not_keep_apart_is_refused_with_it(tmp_path: Path) -> None:
    CONFIG_MAPPING["persimmon"](**SMALL, architectures=["PersimmonForCausalLM"]).save_pretrained(tmp_path)
    resolved = resolve_model(ModelChoice(name=str(tmp_path)))
    check_packing(resolved, "sdpa")
    for attention in ("flash_attention_2", "flash_attention_3"):
        with pytest.raises(
            UsageError, match=f"hands no position ids to {attention}, which would take the row"
        ):
            check_packing(resolved, attention)
