"""The scenario's `training` block: how `lorafa-prof learn` trains its cells."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)

from lorafa_prof.frozen_data import Frozen
from lorafa_prof.scenario.one_or_many import LISTED, without_repeats

Schedule = Literal["constant", "linear", "cosine"]

_once = AfterValidator(without_repeats)
_filled = Field(min_length=1)

LearningRate = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
LearningRates = Annotated[list[LearningRate], LISTED, _once, _filled]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**63)]
Seeds = Annotated[list[Seed], LISTED, _once, _filled]
MoreSeeds = Annotated[list[Seed], LISTED, _once]
Steps = Annotated[StrictInt, Field(ge=1, lt=2**31)]


class Training(Frozen):
    """How long, how fast and from where cells are trained; lists are axes.

    Attributes:
        steps: updates of the weights; or
        epochs: passes over the training items, of which the last step may go a little beyond.
        learning_rate: the highest of the schedule.
        schedule: of the learning rate after warm-up: as it is, or down to 0 by a line or half a cosine.
        warmup: share of the steps in which the learning rate rises from 0.
        weight_decay: of the optimizer, on all that trains.
        seed: of the order of the items, and of dropout.
        more_seeds: that each cell is trained with only at the learning rate that the others chose.
        draw_seed: of what is new beside pretrained weights: A of the adapters, and a classifier's head.
        evaluate_every: steps between evaluations on the validation split, the first before any step; None:
            only at the end.
        checkpoint_every: steps between checkpoints; None: as often as evaluations.
        keep_trained: whether the trained weights of a run that has ended are kept.
    """

    steps: Steps | None = None
    epochs: Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)] | None = None
    learning_rate: LearningRates | None = None
    schedule: Schedule = "constant"
    warmup: Annotated[StrictFloat, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[StrictFloat, Field(ge=0, allow_inf_nan=False)] = 0.0
    seed: Seeds = [0]
    more_seeds: MoreSeeds = []
    draw_seed: Seeds = [0]
    evaluate_every: Steps | None = None
    checkpoint_every: Steps | None = None
    keep_trained: StrictBool = True

    @model_validator(mode="after")
    def _has_one_length(self) -> Training:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("say how long to train by steps or by epochs, one of them")
        return self

    @model_validator(mode="after")
    def _has_each_seed_once(self) -> Training:
        if twice := sorted({*self.seed} & {*self.more_seeds}):
            raise ValueError(f"seed {twice[0]} is in seed and in more_seeds: name it in one of them")
        return self
