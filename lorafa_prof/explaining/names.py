"""What modules, operations and tensors are called in explanations; `lorafa_prof.parts` names parts."""

from __future__ import annotations

from lorafa_prof.instruments.allocations.log import Place
from lorafa_prof.results.tensors import TensorKey

_OPTIMIZER_STATE = {
    "exp_avg": "means of the gradients (exp_avg)",
    "exp_avg_sq": "means of their squares (exp_avg_sq)",
    "momentum_buffer": "momentum",
    "step": "step counts",
}
#: PyTorch's operations, by name without overload, where that says little.
_OPERATIONS = {
    "_log_softmax": "log-softmax of the logits",
    "_log_softmax_backward_data": "gradient of the logits",
    "nll_loss_backward": "gradient of the log-probabilities",
    "_to_copy": "copy in another type",
    "copy": "copy",
    "clone": "copy",
    "mm": "matrix product",
    "addmm": "matrix product",
    "bmm": "batched matrix product",
    "mul": "product",
    "pow": "power",
    "gelu": "GELU",
    "silu": "SiLU",
    "nll_loss_forward": "loss",
    "add": "sum",
    "_softmax_backward_data": "gradient of the softmax",
    "native_layer_norm_backward": "gradients of the layer norm",
    "native_dropout_backward": "gradient of dropout",
    "embedding_dense_backward": "gradient of the embedding",
    "_fused_adamw": "AdamW's update",
    "ones_like": "gradient to start from",
}
_DTYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "float64": "fp64",
    "float8_e4m3fn": "fp8",
}
#: What frameworks put around a model's own names.
_WRAPPERS = ("base_model.model.", "model.")
_TAILS = (".default", ".base_layer", ".base")


def short_module(path: str) -> str:
    """A module's path without what wraps all: ``layers.*.mlp.down_proj.lora_A``."""
    for wrapper in _WRAPPERS:
        path = f"{path}.".removeprefix(wrapper).removesuffix(".")
    for tail in _TAILS:
        path = path.removesuffix(tail)
    return path


def short_parameter(name: str) -> str:
    """The last two names of a parameter's path: ``down_proj.lora_A``; of a layer's own the last one."""
    path = name.removesuffix(".weight").removesuffix(".default")
    return ".".join(path.split(".")[-2:]).removeprefix("*.")


def operation_name(operation: str) -> str:
    """In words where there are any: "matrix product" for ``aten.mm.default``."""
    name = operation.removeprefix("aten.").rpartition(".")[0] or operation
    return _OPERATIONS.get(name, name)


def state_name(state: str) -> str:
    """What an optimizer's state is."""
    return _OPTIMIZER_STATE.get(state, state)


def dtype_name(dtype: str) -> str:
    """As scenarios have it: bf16."""
    return _DTYPES.get(dtype, dtype)


def tensor_name(key: TensorKey) -> str:
    """Type and shape: ``bf16[8×1024×4096]``; empty of what is no tensor."""
    shape = "×".join(map(str, key.shape))
    return f"{dtype_name(key.dtype)}[{shape}]" if key.dtype else ""


def moment_name(place: Place) -> str:
    """Where in a step something happens: "in backward, at …"."""
    where = f" in {module}" if (module := short_module(place.module)) else ""
    what = f", at the {operation_name(place.operation)}{where}" if place.operation else ""
    phase = "while the model is built" if place.phase == "build" else f"in the {place.phase} phase"
    return f"{phase}{what}"
