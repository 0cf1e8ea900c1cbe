"""From the options of `lorafa-prof fit` to the cells they ask about, by way of a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorafa_prof.devices.device import resolve_twin
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import allocator_capacity
from lorafa_prof.errors import UsageError
from lorafa_prof.fitting.answer import SEQ_UNIT, FitQuestion
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.positions import max_seq, own_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.plan import check_cells, check_gpus
from lorafa_prof.scenario.expand import PlannedCell, expand
from lorafa_prof.scenario.load import LoadedScenario, load_scenario, validated_scenario
from lorafa_prof.scenario.overrides import Override
from lorafa_prof.scenario.yaml_lines import Document

DEFAULT_METHODS = ("full-ft", "lora", "lora-fa")
DEFAULT_BATCH = 1
#: The longest sequence that is looked at where a model's config names none.
DEFAULT_SEQ_LIMIT = 32768
#: Options of the command that are a method's, not the scenario's.
OF_METHODS = ("rank", "targets", "dropout")

Options = Mapping[str, Any]


def asked_by_options(options: Options) -> list[FitQuestion]:
    """The cells of models × methods × GPUs, with a scenario's defaults but for batch and sequence.

    Args:
        options: what was given, by name; `model`, `gpu`, `method` and those of `OF_METHODS` are lists.

    Raises:
        UsageError: a value is not valid; the line names the option.
    """
    asked = []
    for model in dict.fromkeys(options["model"]):
        document = Document(Path("lorafa-prof fit"), {"schema": 1, "name": "fit"})
        of_model = _asked(validated_scenario(document, _overrides({**options, "model": [model]})))
        # The methods on one GPU stand together, to be compared.
        gpus = list(dict.fromkeys(each.cell.gpu for each in of_model))
        asked.extend(sorted(of_model, key=lambda each: gpus.index(each.cell.gpu)))
    return asked


def asked_by_scenario(file: Path, options: Options) -> list[FitQuestion]:
    """The cells of a scenario on the twins of its GPUs; `options` stand before what it says.

    Raises:
        UsageError: the scenario or an option is not valid.
    """
    if not options.get("method"):
        for name in OF_METHODS:
            if options.get(name):
                raise UsageError(f"{_written(name, options)}: say of which --method, or write it in {file}")
    given = [Override((name,), value, _written(name, options)) for name, value in _axes(options).items()]
    if options.get("method"):
        given.append(_methods(options["method"], options))
    return _asked(load_scenario(file, given))


def _overrides(options: Options) -> list[Override]:
    axes = _axes(options)
    axes.setdefault("batch", DEFAULT_BATCH)
    return [
        *(Override((name,), value, _written(name, options)) for name, value in axes.items()),
        _methods(options.get("method") or DEFAULT_METHODS, options),
    ]


def _axes(options: Options) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value not in (None, ()) and name != "method"}
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in given.items()
        if name not in OF_METHODS
    }


def _methods(names: Sequence[str], options: Options) -> Override:
    """An entry for each method, with those of the options that it has."""
    given = {name: list(options[name]) for name in OF_METHODS if options.get(name)}
    fields = {name: METHODS[name].options.model_fields if name in METHODS else {} for name in names}
    for option in given:
        if all(name in METHODS and option not in fields[name] for name in names):
            raise UsageError(f"{_written(option, options)}: none of {', '.join(names)} has a {option}")
    entries = [
        {"name": name, **{option: value for option, value in given.items() if option in fields[name]}}
        for name in names
    ]
    written = " ".join(_written(name, options) for name in ("method", *given) if options.get(name))
    return Override(("method",), entries, written)


def _written(name: str, options: Options) -> str:
    """The option as the user wrote it, for errors."""
    value = options.get(name)
    values = value if isinstance(value, (list, tuple)) else [value]
    return " ".join(f"--{name.replace('_', '-')} {each}" for each in values)


def _asked(loaded: LoadedScenario) -> list[FitQuestion]:
    planned = expand(loaded, resolve_twin)
    for plan in planned:
        if plan.cell.lengths:
            raise loaded.error(
                "fit asks about steps of one length; `lorafa-prof run` predicts runs of different ones",
                ("seq",),
            )
    # What can be built does not depend on the GPU; what can run there is asked of each.
    check_cells(loaded, [plan for plan in planned if plan.cell.gpu == planned[0].cell.gpu])
    check_gpus(loaded, planned)
    models = {plan.cell.model: resolve_model(plan.cell.model) for plan in planned}
    return [
        FitQuestion(
            plan.cell,
            _capacity(loaded, plan),
            seq_limit=max(_seq_limit(models[plan.cell.model]), plan.cell.seq),
            seq_unit=own_seq(models[plan.cell.model]) or SEQ_UNIT,
        )
        for plan in planned
    ]


def _capacity(loaded: LoadedScenario, plan: PlannedCell) -> int:
    assert plan.cell.gpu is not None
    capacity = allocator_capacity(GPUS[plan.cell.gpu])
    if capacity is None:
        raise loaded.error(
            f"how much of its memory a program can get on {plan.cell.gpu} is not known, so nobody can say "
            "what fits; `lorafa-prof list gpus` shows others",
            ("gpu",),
        )
    return capacity


def _seq_limit(resolved: ResolvedModel) -> int:
    """The longest sequence to look at: the only one; all positions, of rotary ones what the config says."""
    config = resolved.config.get_text_config()
    table = own_seq(resolved) or max_seq(resolved)
    return table or getattr(config, "max_position_embeddings", None) or DEFAULT_SEQ_LIMIT
