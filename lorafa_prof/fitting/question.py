"""From a scenario to what `lorafa-prof fit` asks about it."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.devices.device import resolve_twin
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import allocator_capacity
from lorafa_prof.fitting.answer import SEQ_UNIT, FitQuestion
from lorafa_prof.models.positions import max_seq, own_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.plan import check_cells, check_gpus
from lorafa_prof.scenario.expand import PlannedCell, expand
from lorafa_prof.scenario.load import LoadedScenario

#: The longest sequence that is looked at where a model's config names none.
DEFAULT_SEQ_LIMIT = 32768


def asked_of(loaded: LoadedScenario) -> list[FitQuestion]:
    """The cells of a scenario on the twins of its GPUs; those of one model on one GPU stand together.

    Raises:
        UsageError: the scenario is not valid, or a cell of it cannot be asked about.
    """
    planned = _by_gpu(expand(loaded, resolve_twin))
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


def _by_gpu(planned: Sequence[PlannedCell]) -> list[PlannedCell]:
    models = list(dict.fromkeys(plan.cell.model for plan in planned))
    gpus = list(dict.fromkeys(plan.cell.gpu for plan in planned))
    return sorted(planned, key=lambda plan: (models.index(plan.cell.model), gpus.index(plan.cell.gpu)))


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
