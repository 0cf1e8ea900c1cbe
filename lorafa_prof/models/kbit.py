"""What PEFT's `prepare_model_for_kbit_training` does to a quantized base, but for checkpointing.

Read in PEFT 0.21.0, `peft/utils/other.py`. Checkpointing, which it switches on too unless told otherwise,
is an axis of its own here.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from lorafa_prof.errors import UsageError
from lorafa_prof.models.quantization import BY_BITSANDBYTES, Quantization

_SIXTEEN_BITS = (torch.float16, torch.bfloat16)


def check_kbit_prepare(quantization: Quantization) -> None:
    """Raise UsageError where there is no base to prepare that PEFT would."""
    if quantization.kind not in BY_BITSANDBYTES:
        raise UsageError(
            "kbit_prepare is what PEFT's prepare_model_for_kbit_training does to a base that bitsandbytes "
            f"quantized, and quantization is {quantization.kind}: set quantization to nf4, fp4 or int8, or "
            "kbit_prepare to false",
            about="kbit_prepare",
        )


def prepare_for_kbit_training(model: PreTrainedModel) -> None:
    """Freeze `model`, turn its 16-bit weights into float32, and make its embeddings' output require grad.

    Those weights are all that is not packed: norms, embeddings, the output layer, biases. As in PEFT, the
    memory of their 16-bit forms is given back to the GPU.
    """
    model.requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dtype in _SIXTEEN_BITS:
            parameter.data = parameter.data.to(torch.float32)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model.enable_input_require_grads()
