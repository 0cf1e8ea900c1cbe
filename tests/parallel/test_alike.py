from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.rank import Rank
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.parallel.alike import alike_ranks
from lorafa_prof.parallel.local import local_part
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.parallel.wrap import wrap

ROWS = (12, 5)


def rows_on(rank: int, ranks: int) -> list[int]:
    with Twin(GPUS["h100-80gb"], rank=Rank(rank, ranks)):
        with torch.device("cuda"):
            model = nn.Sequential(*(nn.Linear(3, rows, bias=False) for rows in ROWS))
        wrap(model, "fsdp2", Shard(), init_device_mesh("cuda", (ranks,)))
        groups = alike_ranks(model, ranks)
        assert sum(map(len, groups)) == ranks
        assert groups == GROUPS[ranks]
        return [local_part(linear.weight).shape[0] for linear in model]


GROUPS = {
    1: [range(1)],
    2: [range(1), range(1, 2)],
    4: [range(2), range(2, 3), range(3, 4)],
    # 12 rows are 2 for each of the first 6, 5 rows are 1 for each of the first 5.
    8: [range(5), range(5, 6), range(6, 8)],
    16: [range(5), range(5, 12), range(12, 16)],
}


@pytest.mark.parametrize("ranks", GROUPS)
def test_ranks_are_alike_where_fsdp2_gives_them_as_many_rows(ranks: int) -> None:
    rows = [rows_on(rank, ranks) for rank in range(ranks)]
    for group in GROUPS[ranks]:
        assert all(rows[rank] == rows[group[0]] for rank in group)
    firsts = [rows[group[0]] for group in GROUPS[ranks]]
    assert len({tuple(each) for each in firsts}) == len(firsts)


def test_without_shards_all_are_alike() -> None:
    assert alike_ranks(nn.Linear(3, 5), 4) == [range(4)]
