from __future__ import annotations

from streams import stream

from lorafa_prof.verification.differences import STILL_THERE, OperationDifference, grouped, step_differences

STEP = (
    "forward a mm +512",
    "forward b mm +512",
    "forward b view",
    "forward . loss +4",
    "backward b mm +512 -1",
    "backward a mm +512 -0 -3",
    "optimizer . step +64 -4 -5 -2",
)


def differences(gpu: tuple[str, ...], twin: tuple[str, ...]) -> list[OperationDifference]:
    return [located.difference for located in step_differences(stream(*gpu), stream(*twin))]


def without(lines: tuple[str, ...], *numbers: int) -> tuple[str, ...]:
    return tuple(line for number, line in enumerate(lines) if number not in numbers)


def test_equal_steps_have_none():
    assert differences(STEP, STEP) == []


def test_operations_that_allocate_nothing_are_nothing():
    more = ("forward a view", *STEP[:3], "forward b detach", *STEP[3:])
    assert differences(STEP, more) == []


def test_what_only_the_gpu_has():
    gpu = (*STEP[:2], "forward b softmax +8 -2", "forward . loss +4", *STEP[4:5])
    twin = (*STEP[:2], "forward . loss +4", *STEP[4:5])
    (found,) = differences(gpu, twin)
    assert (found.kind, found.phase, found.operation) == ("gpu only", "forward", "softmax")
    assert (found.gpu_bytes, found.twin_bytes) == ((8,), ())


def test_what_only_the_twin_has():
    (found,) = differences(STEP[:3], (*STEP[:2], "forward b softmax +8 -2"))
    assert (found.kind, found.operation, found.module) == ("twin only", "softmax", "b")
    assert (found.gpu_bytes, found.twin_bytes) == ((), (8,))


def test_other_sizes():
    (found,) = differences(STEP[:3], ("forward a mm +512 +8", *STEP[1:3]))
    assert (found.kind, found.gpu_bytes, found.twin_bytes) == ("sizes", (512,), (512, 8))


def test_a_phase_is_never_lined_up_with_another():
    found = differences(("forward a mm +512",), ("backward a mm +512",))
    assert {one.kind for one in found} == {"gpu only", "twin only"}


def test_freed_by_another_operation():
    late = (*STEP[:4], "backward b mm +512", "backward a mm +512 -1 -0 -3", STEP[6])
    (found,) = differences(STEP, late)
    assert (found.kind, found.phase, found.operation, found.module) == ("freed", "forward", "mm", "b")
    assert (found.gpu_freed_in, found.twin_freed_in) == ("mm", "mm")


def test_freed_after_the_step_or_never():
    (found,) = differences(STEP, (*STEP[:6], "optimizer . step +64 -5 -2"))
    assert (found.kind, found.phase, found.gpu_freed_in) == ("freed", "backward", "step")
    assert found.twin_freed_in == STILL_THERE


def test_freed_by_an_operation_that_allocates_nothing():
    """It belongs to the last one that both sides have, whatever its own name."""
    gpu = (*STEP[:2], "forward b view -0", "forward . loss +4")
    twin = (*STEP[:2], "forward b detach -0", "forward . loss +4")
    assert differences(gpu, twin) == []
    assert len(differences(gpu, (*STEP[:2], "forward . loss +4 -0"))) == 1


def test_equal_ones_are_grouped_with_their_first_modules():
    extra = [f"forward layer.{number} softmax +8" for number in range(5)]
    found = differences((), (*extra, "forward layer.0 softmax +16"))
    first, second = grouped(found)
    assert (first.count, first.modules) == (5, ("layer.0", "layer.1"))
    assert (second.count, second.modules, second.difference.twin_bytes) == (1, ("layer.0",), (16,))
