from __future__ import annotations

import pytest
from outcomes import compared, environment, on, only, result, side

from lorafa_prof.comparing.compare import compare
from lorafa_prof.comparing.metrics import Comparison

ACROSS_GPU = Comparison(across=frozenset({"gpu"}))


def ok(kind: str = "sim", gpu: str = "h100-80gb", *, batch: int = 1, size: int = 100, **given):
    return result(on(kind, gpu, batch=batch), activation_bytes=size, **given)


def died(status: str, batch: int = 1):
    return result(on("sim", batch=batch), status=status, machine={}, message="it broke")


def oom(batch: int = 1):
    return result(on("sim", batch=batch), status="oom", failed_phase="backward", weights_bytes=1)


def test_all_well():
    judgement = compare(
        side(ok(), ok(batch=2), name="a"), side(ok(batch=2, size=99), ok(), name="b"), Comparison()
    )
    assert judgement.exit_code == 0
    assert [(each.name, each.word, each.state) for each in judgement.findings] == [
        ("net lora r4 b1 s16", "same", "pass"),
        ("net lora r4 b2 s16", "better", "pass"),
    ]
    assert judgement.title == "a → b"
    assert judgement.machine == "twin of h100-80gb, torch 2.13.0, transformers 5.17.0"
    assert (judgement.notes, judgement.noun) == ((), "cell")


@pytest.mark.parametrize("status", ["error", "timeout", "skipped"])
def test_a_cell_that_was_ok_and_failed_is_told_and_never_a_ratio(status):
    judgement = compared(ok(), died(status))
    (item,) = only(judgement).items
    assert (item.what, item.word, item.state) == ("status", "failed", "fail")
    assert (item.measured, item.expected, item.note) == (status, "ok", "it broke")
    assert judgement.exit_code == 1


@pytest.mark.parametrize("machine", [{}, environment() | {"packages": {}}])
def test_what_nobody_knows_the_makings_of_is_not_compared(machine):
    unknown = ok(machine=machine)
    for base, new, who in ((unknown, ok(), "BASE"), (ok(), unknown, "NEW"), (unknown, unknown, "BASE")):
        judgement = compared(base, new)
        (item,) = only(judgement).items
        assert (item.what, item.word, item.state) == ("cell", "not comparable", "unknown")
        assert item.note == f"{who}: nobody knows what made it: its record names no versions"
        assert judgement.exit_code == 4


def test_a_row_that_is_not_of_its_cell_is_not_compared():
    wrong = ok()
    wrong = wrong.model_copy(update={"row": {**wrong.row, "batch": 99}})
    for base, new, who in ((wrong, ok(), "BASE"), (ok(), wrong, "NEW")):
        judgement = compared(base, new)
        assert only(judgement).items[0].note == f"{who}: its row is not of its cell: batch differ"
        assert judgement.exit_code == 4


def test_a_cell_without_any_metric_is_not_compared():
    judgement = compared(result(on("sim")), result(on("sim"), activation_bytes=1))
    (item,) = only(judgement).items
    assert (item.word, item.note) == ("not comparable", "BASE has none of the metrics")
    assert only(compared(ok(), ok())).about == ""


def test_a_cell_that_did_not_fit_and_is_gone_is_missed_too():
    for gone, code in ((oom(2), 4), (died("error", 2), 0)):
        assert compare(side(ok(), gone), side(ok()), Comparison()).exit_code == code


def test_all_versions_that_differ_are_told_of_all_cells():
    base = side(ok(), ok(batch=2))
    first, second = environment(numpy="9.0"), environment(pandas="9.0", click="1.0")
    second["packages"]["numpy"] = first["packages"]["numpy"] = "9.0"
    before = side(*(ok(batch=batch, machine=environment(numpy="8.0", pandas="8.0")) for batch in (1, 2)))
    judgement = compare(before, side(ok(machine=first), ok(batch=2, machine=second)), Comparison())
    assert judgement.notes == ("BASE → NEW: numpy 8.0 → 9.0, pandas 8.0 → 9.0",)
    assert compare(base, base, Comparison()).notes == ()
    on_cpu = result(on("cpu"), activation_bytes=1)
    assert compared(on_cpu, on_cpu).machine.startswith("CPU, torch ")


def test_what_runs_out_of_memory_now_is_worse_and_what_does_no_more_is_better():
    worse = compared(ok(weights_bytes=1), oom())
    (item,) = only(worse).items
    assert (item.word, item.measured, item.expected) == ("worse", "out of memory in backward", "ok")
    assert worse.exit_code == 3
    better = compared(oom(), ok(weights_bytes=9))
    (item,) = only(better).items
    assert (item.word, item.measured, item.expected) == ("better", "ok", "out of memory in backward")
    assert item.note == "it fits into memory now"
    assert only(worse).items[0].note == ""
    assert better.exit_code == 0


@pytest.mark.parametrize(
    ("base", "new"),
    [(oom(), oom()), (died("error"), ok()), (died("timeout"), oom()), (oom(), died("error"))],
)
def test_where_base_has_no_numbers_nothing_is_compared(base, new):
    judgement = compared(base, new)
    (item,) = only(judgement).items
    assert (item.word, item.state) == ("not comparable", "unknown")
    assert item.note.startswith("BASE has no numbers: ")
    assert judgement.exit_code == 4


def test_rows_whose_allocator_gave_its_cache_back_do_not_compare():
    for base, new, who in ((ok(retries=2), ok(), "BASE"), (ok(), ok(retries=2, size=1), "NEW")):
        judgement = compared(base, new)
        (item,) = only(judgement).items
        assert (item.word, judgement.exit_code) == ("not comparable", 4)
        assert item.note.startswith(f"{who}: ")
        assert "num_alloc_retries 2" in item.note


def test_another_gpu_is_compared_only_when_asked():
    base, new = ok(), ok(gpu="a100-40gb", size=101)
    judgement = compared(base, new)
    assert judgement.exit_code == 4
    assert judgement.notes == (
        "nothing was compared: every cell differs in gpu h100-80gb → a100-40gb; --across gpu compares them",
    )
    assert only(judgement).word == "not comparable"
    asked = compared(base, new, ACROSS_GPU)
    assert (only(asked).word, asked.exit_code) == ("worse", 3)
    assert only(asked).about == "compared across gpu h100-80gb → a100-40gb"


def test_all_that_differs_is_told_with_the_option_that_compares_it():
    newer = environment(torch="2.14.0", transformers="6.0.0")
    judgement = compare(
        side(ok("sim"), ok("sim", batch=2)),
        side(ok("cuda", machine=newer), ok("sim", batch=2, machine=environment(torch="2.15.0"))),
        Comparison(),
    )
    assert judgement.exit_code == 4
    assert judgement.notes[0] == (
        "nothing was compared: every cell differs in device the twin → a GPU, torch 2.13.0 → 2.14.0, …, "
        "transformers 5.17.0 → 6.0.0; --across device,torch,transformers compares them"
    )
    across = frozenset({"device", "torch", "transformers"})
    assert compared(ok("sim"), ok("cuda", machine=newer), Comparison(across=across)).exit_code == 0


def test_several_reasons_are_no_single_one():
    newer = environment(torch="2.14.0")
    judgement = compare(side(ok(), oom(2)), side(ok(machine=newer), oom(2)), Comparison())
    assert judgement.exit_code == 4
    assert judgement.notes[0] == (
        "nothing could be compared: cell not comparable: torch 2.13.0 → 2.14.0; --across torch compares them "
        "(and 1 more)"
    )


def test_one_that_compares_is_enough_and_the_other_is_no_pass():
    newer = environment(torch="2.14.0")
    judgement = compare(side(ok(), ok(batch=2)), side(ok(), ok(batch=2, machine=newer)), Comparison())
    assert judgement.exit_code == 0
    assert [each.state for each in judgement.findings] == ["pass", "unknown"]
    assert judgement.notes == ("BASE → NEW: torch 2.13.0 → 2.14.0",)


def test_a_crash_on_another_gpu_is_not_this_cells():
    other = died("error")
    other = other.model_copy(update={"cell": on("sim", "a100-40gb")})
    assert compared(ok(), other).exit_code == 4


def test_what_goes_wrong_first_decides_the_exit_code():
    base = side(ok(), ok(batch=2), ok(batch=3))
    assert compare(base, side(ok(size=101), died("error", 2), ok(batch=3)), Comparison()).exit_code == 3
    assert compare(base, side(ok(), died("error", 2), ok(batch=3)), Comparison()).exit_code == 1
    assert compare(base, side(ok(size=101), oom(2), ok(batch=3)), Comparison()).exit_code == 3
    assert compare(side(ok(), oom(2)), side(ok(), oom(2)), Comparison()).exit_code == 0


def test_cells_of_one_side_are_listed_by_label():
    base = side(ok(), *(ok(batch=batch) for batch in range(100, 112)))
    new = side(ok(), ok(batch=2))
    judgement = compare(base, new, Comparison(allow_missing=True))
    assert judgement.exit_code == 0
    strict = compare(base, new, Comparison())
    assert strict.exit_code == 4
    assert strict.notes[0] == "NEW lacks 12 cells of BASE's; --allow-missing compares the rest"
    assert compare(new, base, Comparison(allow_missing=False)).exit_code == 4
    assert len(judgement.findings) == 1
    names = ", ".join(f"net lora r4 b{batch} s16" for batch in range(100, 110))
    assert judgement.notes == (
        f"only in BASE: 12 cells: {names}, and 2 more",
        "only in NEW: 1 cell: net lora r4 b2 s16",
    )


def test_another_setting_throughout_is_compared_only_when_asked():
    base, new = ok(), result(on("sim", optimizer="sgd"), activation_bytes=3 * 2**30 + 100)
    judgement = compared(base, new)
    assert (judgement.exit_code, only(judgement).word) == (4, "not comparable")
    assert judgement.notes[0] == (
        "nothing was compared: every cell differs in optimizer adamw → sgd; --across optimizer compares them"
    )
    asked = compared(base, new, Comparison(across=frozenset({"optimizer"})))
    assert (asked.exit_code, only(asked).about) == (3, "compared across optimizer adamw → sgd")
    assert only(asked).items[0].note.startswith("+3.000 GiB")
    assert asked.notes == ("compared across optimizer adamw → sgd",)
    # Whatever else differs has to be named as well.
    newer = result(on("sim", optimizer="sgd", seed=1), activation_bytes=1)
    still = compared(base, newer, Comparison(across=frozenset({"optimizer"})))
    assert (still.exit_code, only(still).items[0].note) == (4, "seed 0 → 1; --across seed compares them")


def test_no_cell_in_common_says_what_differs():
    judgement = compare(side(ok(batch=1), ok(batch=2)), side(ok(batch=4)), Comparison())
    assert (judgement.exit_code, judgement.findings) == (4, ())
    assert judgement.notes[0].endswith("have one partner each; the nearest differ in batch 1 → 4")
    for base, new, empty in ((side(), side(ok()), "BASE"), (side(ok()), side(), "NEW")):
        judgement = compare(base, new, Comparison())
        assert (judgement.exit_code, judgement.notes[0]) == (4, f"nothing was compared: {empty} has no cells")


def test_no_metric_in_common_is_nothing_compared():
    judgement = compared(result(on("sim")), ok())
    assert (judgement.exit_code, only(judgement).state) == (4, "unknown")


def test_cells_that_share_a_label_are_told_apart():
    base = side(ok(), ok(gpu="a100-40gb"))
    names = [each.name for each in compare(base, base, Comparison()).findings]
    assert len(set(names)) == 2
    assert "gpu=a100-40gb" in names[1]
