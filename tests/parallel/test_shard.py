from __future__ import annotations

from lorafa_prof.parallel.shard import Shard


def test_a_shard_says_what_is_not_at_its_default() -> None:
    assert Shard().text == ""
    assert Shard(mp="bf16").text == "mp=bf16"
    assert Shard(reshard_after_forward=False, offload="cpu").text == "reshard_after_forward=false,offload=cpu"
