"""Checking every cell on shapes alone, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lorafa_prof.cell import Cell, ModelChoice
from lorafa_prof.devices.gpus.attention import check_attention
from lorafa_prof.devices.gpus.gpu import Gpu, catalogued
from lorafa_prof.devices.gpus.types import check_autocast_type
from lorafa_prof.errors import LorafaProfError, ScenarioError, UsageError, described
from lorafa_prof.layers.quantized.by_bitsandbytes import check_installed
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.inputs import check_padding
from lorafa_prof.models.positions import check_seq, tokens_beside_seq
from lorafa_prof.models.quantization import BY_BITSANDBYTES, EIGHT_BIT, EIGHT_BIT_FLOAT
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.models.undrawn import nothing_drawn
from lorafa_prof.optim.choices import check_update
from lorafa_prof.running.progress_bar import Tell, tell_nobody
from lorafa_prof.scenario.expand import PlannedCell
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.options import complete_options, same_option
from lorafa_prof.scenario.yaml_data import KeyPath
from lorafa_prof.words.phrases import one_line

#: bitsandbytes' products of 8-bit numbers are cuBLASLt's, which has them from Turing on.
_FIRST_WITH_8BIT_PRODUCTS = (7, 5)
#: PyTorch's products of 8-bit floats with scales by rows are CUTLASS's on Ada and Blackwell, in bf16 in every
#: version, and cuBLASLt's on Hopper, in other types too (ATen/native/cuda/ScaledBlas.cpp).
_FIRST_WITH_FP8_PRODUCTS = (8, 9)
_FP8_OF_ANY_TYPE = (9, 0)
#: Beside batch and seq, what is of batches, of what is done with them, and of the ranks that have them.
_OF_BATCHES = (
    "padding",
    "accumulation",
    "max_grad_norm",
    "phase",
    "kept_logits",
    "lengths",
    "parallel",
    "gpus",
    "shard",
)


def check_cells(loaded: LoadedScenario, planned: Sequence[PlannedCell], tell: Tell = tell_nobody) -> None:
    """Build each model on the meta device and prepare it by each method, as its cells will.

    Args:
        loaded: whose cells they are.
        planned: the cells.
        tell: is told of each that is checked.

    Raises:
        ScenarioError: a cell cannot be built: an unknown model, target or optimizer, a rank larger than a
            layer, a sequence longer than the positions, …; the line names file, line and key.
    """
    resolved = _resolved_models(loaded, planned)
    # With it come transformers' models: seconds, that a wrong name need not wait for.
    from lorafa_prof.running.evaluation_step import check_phase
    from lorafa_prof.running.launch import check_launch
    from lorafa_prof.running.prepare import prepare_model
    from lorafa_prof.running.ranks.limits import check_ranks

    checked: set[str] = set()
    for done, plan in enumerate(planned):
        tell(done, len(planned), plan.cell.label)
        cell = plan.cell
        key = _shape_key(cell)
        try:
            check_update(cell)
            check_phase(cell)
            check_launch(cell)
            check_ranks(cell)
        except LorafaProfError as error:
            raise error_at(loaded, error, plan, plan.method_path) from error
        if key not in checked:
            try:
                with nothing_drawn():
                    prepare_model(cell, resolved[cell.model], torch.device("meta"))
            except LorafaProfError as error:
                raise error_at(loaded, error, plan, plan.method_path) from error
            except Exception as error:
                # Odd configs make transformers raise anything; as the cell's row it would come too late.
                message = one_line(f"{cell.label} cannot be built: {described(error)}")
                raise loaded.error(message, plan.model_path) from error
            checked.add(key)
    check_gpus(loaded, planned)


def _resolved_models(
    loaded: LoadedScenario, planned: Sequence[PlannedCell]
) -> dict[ModelChoice, ResolvedModel]:
    """Return the models of all cells, which can have their sequences and padding."""
    resolved: dict[ModelChoice, ResolvedModel] = {}
    for plan in planned:
        cell = plan.cell
        try:
            if cell.model not in resolved:
                resolved[cell.model] = resolve_model(cell.model)
            for seq in (*cell.lengths, cell.seq):
                check_seq(resolved[cell.model], seq)
            check_padding(resolved[cell.model], cell.padding)
            tokens_beside_seq(resolved[cell.model])  # an error where that is not known
        except LorafaProfError as error:
            raise error_at(loaded, error, plan, plan.model_path) from error
        except Exception as error:
            message = f"the config cannot be used: {described(error)}"
            raise loaded.error(message, plan.model_path) from error
    return resolved


def check_gpus(loaded: LoadedScenario, planned: Sequence[PlannedCell]) -> None:
    """Check that each cell's GPU has what it needs, which a model built for one GPU does not tell of others.

    Raises:
        ScenarioError: the GPU lacks autocast's type, kernels or products of 8 bits; or a package is missing
            where a cell that is not on a twin needs it.
    """
    from lorafa_prof.devices.gpus.kernels import check_kernels  # as above
    from lorafa_prof.running.ranks.limits import check_gpus_here

    for plan in planned:
        cell = plan.cell
        try:
            check_autocast_type(cell)
            check_attention(cell)
            check_kernels(cell)
            check_gpus_here(cell)
            if cell.quantization in BY_BITSANDBYTES and not cell.is_predicted:
                check_installed()
            gpu = catalogued(cell.gpu)
            if cell.quantization == EIGHT_BIT and gpu is not None:
                _check_8bit_products(gpu)
            if cell.quantization == EIGHT_BIT_FLOAT and gpu is not None:
                _check_fp8_products(gpu, cell)
        except LorafaProfError as error:
            raise error_at(loaded, error, plan, plan.method_path) from error


def _check_8bit_products(gpu: Gpu) -> None:
    if gpu.compute_capability < _FIRST_WITH_8BIT_PRODUCTS:
        has, needed = (".".join(map(str, c)) for c in (gpu.compute_capability, _FIRST_WITH_8BIT_PRODUCTS))
        raise UsageError(
            f"quantization 'int8' needs a GPU with 8-bit products (compute capability {needed}), and "
            f"{gpu.name} has {has}; nf4 and fp4 run there",
            about="quantization",
        )


def _check_fp8_products(gpu: Gpu, cell: Cell) -> None:
    has = ".".join(map(str, gpu.compute_capability))
    if gpu.compute_capability < _FIRST_WITH_FP8_PRODUCTS:
        raise UsageError(
            "quantization 'fp8' needs a GPU with products of 8-bit floats (compute capability 8.9: Ada, "
            f"Hopper, Blackwell), and {gpu.name} has {has}; int8, nf4 and fp4 run there",
            about="quantization",
        )
    if gpu.compute_capability != _FP8_OF_ANY_TYPE and cell.product_dtype != "bf16":
        raise UsageError(
            f"quantization 'fp8' gives its products in bf16 on {gpu.name} (compute capability {has}), and "
            f"here they are in {cell.product_dtype}; set dtype or autocast to bf16",
            about="quantization",
        )


def _shape_key(cell: Cell) -> str:
    """Return what decides whether a cell can be built.

    That is all but its batches and what is done with their gradients.
    """
    anything = {name: Cell.model_fields[name].default for name in _OF_BATCHES}
    return cell.model_copy(update={"batch": 1, "seq": 1, **anything}).model_dump_json()


def error_at(
    loaded: LoadedScenario, error: LorafaProfError, plan: PlannedCell, path: KeyPath
) -> ScenarioError:
    """Return the error at the value it is about.

    That value is in the method's entry, else in the scenario, else at `path`.
    """
    said = one_line(str(error))  # of code of others it may be anything
    if error.about is not None:
        for place in ((*plan.method_path, error.about), (error.about,)):
            if loaded.document.has(place):
                return loaded.error(said, _value_in(loaded, place, plan.cell))
    return loaded.error(said, path)


def _value_in(loaded: LoadedScenario, place: KeyPath, cell: Cell) -> KeyPath:
    """Return `place`, or if a list stands there the place of the value that `cell` has."""
    written = loaded.document.value_at(place)
    if not isinstance(written, list):
        return place
    key = str(place[-1])
    method = METHODS[cell.method.name]
    options = complete_options(method, cell.method.options)
    for index, value in enumerate(written):
        if (
            same_option(method, cell.method.options, key, value)
            if key in options
            else getattr(cell, key, None) == value
        ):
            return (*place, index)
    return place
