"""A command that torchrun or Slurm started on several ranks."""

from __future__ import annotations

import os

import click


def follows() -> bool:
    """Return whether this was another rank than rank 0, which has done its part by now.

    On rank 0 the others end when the command does.

    Raises:
        UsageError: nothing says where rank 0 is.
    """
    if not {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"} & os.environ.keys():
        return False  # without an import
    from lorafa_prof.running.ranks.allocation import allocation_here
    from lorafa_prof.running.ranks.leading import follow, leading

    allocation = allocation_here()
    if allocation is None:
        return False
    if allocation.rank == 0:
        click.get_current_context().with_resource(leading(allocation))
        return False
    from lorafa_prof.running.preload import preload

    for _ in preload():
        pass
    follow(allocation)
    return True
