"""The schema of a scenario file: its keys, and the values they take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
)

from lorafa_prof.cell import Autocast, CellPhase, Dtype, Instrument, Launch, Loss, ModelChoice, Steps, Update
from lorafa_prof.frozen_data import Frozen
from lorafa_prof.parallel.shard import Parallel, Shard
from lorafa_prof.scenario.claim import Claim
from lorafa_prof.scenario.lengths import Lengths, Tokens
from lorafa_prof.scenario.one_or_many import as_list, without_repeats
from lorafa_prof.scenario.training import LearningRates, Training
from lorafa_prof.tasks.choice import TaskChoice


def as_one_value(value: Any) -> Any:
    """Return the list of an axis whose one value is a list, as a list of that; so it is already once read."""
    written = as_list(value)
    return written if written and isinstance(written[0], (list, tuple)) else [written]


def as_choice(value: Any) -> Any:
    """Return a bare name as the choice of that name, with all else at its default."""
    return {"name": value} if isinstance(value, str) else value


_listed = BeforeValidator(as_list)
_once = AfterValidator(without_repeats)
_once_each = AfterValidator(lambda names: tuple(dict.fromkeys(names)))
_filled = Field(min_length=1)

Count = Annotated[StrictInt, Field(ge=1, lt=2**31)]
Counts = Annotated[list[Count], _listed, _once, _filled]
WholeNumber = Annotated[StrictInt, Field(ge=0, lt=2**31)]
WholeNumbers = Annotated[list[WholeNumber], _listed, _once, _filled]


def _kind_of_seq(value: Any) -> str:
    return LENGTHS_TAG if isinstance(value, (dict, Lengths)) else TOKENS_TAG


#: These stand in the path of pydantic's complaints, where the file has nothing.
TOKENS_TAG, LENGTHS_TAG = "seq:tokens", "seq:lengths"
Seq = Annotated[
    Annotated[Tokens, Tag(TOKENS_TAG)] | Annotated[Lengths, Tag(LENGTHS_TAG)], Discriminator(_kind_of_seq)
]
Seqs = Annotated[list[Seq], _listed, _once, _filled]
# Scenario files are YAML, which has infinities and NaNs; JSON, by which a cell reaches its process, has not.
Share = Annotated[StrictFloat, Field(ge=0, lt=1, allow_inf_nan=False)]
Shares = Annotated[list[Share], _listed, _once, _filled]
Norm = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
Norms = Annotated[list[Norm | None], _listed, _once, _filled]
Switches = Annotated[list[StrictBool], _listed, _once, _filled]
Names = Annotated[list[StrictStr], _listed, _once, _filled]
Autocasts = Annotated[list[Autocast], _listed, _once, _filled]
Dtypes = Annotated[list[Dtype], _listed, _once, _filled]
Updates = Annotated[list[Update], _listed, _once, _filled]
Losses = Annotated[list[Loss], _listed, _once, _filled]
Launches = Annotated[list[Launch], _listed, _once, _filled]
Parallels = Annotated[list[Parallel], _listed, _once, _filled]
Shards = Annotated[list[Shard], _listed, _once, _filled]
Instruments = Annotated[list[Annotated[tuple[Instrument, ...], _once_each]], BeforeValidator(as_one_value)]
CellPhases = Annotated[list[CellPhase], _listed, _once, _filled]
Models = Annotated[list[Annotated[ModelChoice, BeforeValidator(as_choice)]], _listed, _once, _filled]


class MethodEntry(Frozen):
    """A method with its options, each one value or a list; it may also set axes of the scenario.

    `learning_rate` is that of its learning runs, in the place of the scenario's.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: StrictStr
    learning_rate: LearningRates | None = None


Methods = Annotated[list[Annotated[MethodEntry, BeforeValidator(as_choice)]], _listed, _filled]


class Axes(Frozen):
    """The axes of the scenario as a whole, which a method entry may also set for itself."""

    batch: Counts = Field([8], description="Samples of each forward pass, on each GPU.")
    seq: Seqs | None = Field(
        None, description="Tokens of a sample: 1024, or all positions of a model that has fewer."
    )
    dtype: Dtypes = Field(["bf16"], description="Type of the base's weights.")
    adapter_dtype: Dtypes | None = Field(
        None, description="Type of the adapters: the base's, in PEFT's methods fp32."
    )
    attention: Names = Field(["sdpa"], description="sdpa, eager, flash_attention_2, flash_attention_3, flex.")
    kernels: Names = Field(
        ["eager"], description="eager, fused-norm, fused-loss, fused, packed, liger, compile."
    )
    checkpointing: Names = Field(
        ["none"], description="Activation checkpointing: none, full; or attention, mlp, offload joined by +."
    )
    optimizer: Names = Field(
        ["adamw"], description="adamw, adamw-8bit, adafactor, sgd and others: `lorafa-prof list optimizers`."
    )
    padding: Shares = Field([0.0], description="Share of the last sequence of a batch that is padding.")
    accumulation: Counts = Field(
        [1], description="Batches of a step: forward and backward run so often before the optimizer."
    )
    max_grad_norm: Norms = Field(
        [None], description="Norm to which gradients are clipped; null: they are not."
    )
    update: Updates = Field(["step"], description="When weights are updated: step (at its end), or backward.")
    quantization: Names = Field(["none"], description="Of the frozen base: none, nf4, fp4, int8, fp8.")
    double_quant: Switches = Field(
        [False], description="Whether the statistics of 4-bit weights are quantized too."
    )
    autocast: Autocasts = Field(
        ["none"], description="Type in which torch.autocast computes: none, bf16, fp16."
    )
    kbit_prepare: Switches = Field(
        [False], description="Whether a quantized base is prepared by PEFT's prepare_model_for_kbit_training."
    )
    phase: CellPhases = Field(["train"], description="What is measured: train or eval.")
    kept_logits: WholeNumbers = Field([0], description="Batches of logits that an evaluation keeps.")
    packing: Switches = Field(
        [False], description="Whether all samples of a batch are in one row, without padding."
    )
    loss: Losses = Field(["full"], description="Logits: full (all at once) or chunked.")
    launch: Launches = Field(["eager"], description="How kernels are launched: eager or graph.")
    parallel: Parallels = Field(["none"], description="How a step is spread over GPUs: none, ddp, fsdp2.")
    gpus: Counts = Field([1], description="How many GPUs run a step together.")
    shard: Shards = Field([Shard()], description="How fsdp2 shards, such as {mp: bf16}.")
    instruments: Instruments = Field(
        [()], description="What is observed only where it is asked for: fidelity."
    )


class Scenario(Axes):
    """A scenario as written, one list per axis. The contract is in docs/scenario.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: StrictStr | None = None
    model: Models = Field(description="A preset, a path or a hub id: `lorafa-prof list models`.")
    method: Methods = Field(description="A way of training: `lorafa-prof list methods`.")
    device: Names = ["auto"]
    gpu: Names = Field(["h100-80gb"], description="A GPU to predict for: `lorafa-prof list gpus`.")
    steps: Steps = Steps()
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] = 0
    isolated: StrictBool | None = None
    exclude: Annotated[list[dict[StrictStr, Any]], _listed] = []
    claims: list[Claim] = []
    task: Annotated[TaskChoice, BeforeValidator(as_choice)] | None = None
    training: Training | None = None


#: Axes that a method entry may set for itself, and keys that belong to the scenario as a whole.
AXES = tuple(Axes.model_fields)
WHOLE_SCENARIO = (
    "schema",
    *(name for name in Scenario.model_fields if name not in ("method", *AXES, "name")),
)
