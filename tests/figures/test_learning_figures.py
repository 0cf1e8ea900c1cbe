"""Figures of learning runs: what they show is what the runs say, and nothing of it overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawings import assert_legible, by_gid, lines, notes, points, texts
from learned_runs import GIB, OF_LEARNING, STEPS, run_rows, write_runs

from lorafa_prof.errors import NothingToJudgeError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.style import PAGES, style
from lorafa_prof.figures.save import SavedFigure, draw_learning_figures, names_of, save_all
from lorafa_prof.results.records import Results, read_results

LONG = "meta-llama/A-Very-Long-Name-Of-A-Model-On-The-Hub-That-Never-Ends-70b-Instruct-$x_1$"
METHODS = ("full-ft", "lora", "lora-fa", "lora-fa-uncorrected")


def runs(*, seeds: int = 3, tasks: tuple[str, ...] = ("sst2",), **same: Any) -> list[list[dict[str, Any]]]:
    """Four methods at three ranks; LoRA is at 60, 61, 62 points and 2, 4, 8 GiB."""
    found = []
    for task in tasks:
        for place, method in enumerate(METHODS):
            for step, rank in enumerate((4, 16, 64)[: 1 if method == "full-ft" else 3]):
                for seed in range(seeds):
                    found.append(
                        run_rows(
                            0.59 + 0.01 * (place + step) + 0.001 * (seed - 1) * (seeds > 1),
                            method=method,
                            rank=rank,
                            train_seed=seed,
                            task=task,
                            peak=(2, 4, 8)[step] * GIB + place,
                            seconds=100 + 10 * step + place,
                            run_id=f"{method}-{rank}-{seed}-{task}",
                            **same,
                        )
                    )
    return found


@pytest.fixture
def learned(tmp_path: Path) -> Results:
    return read_results(write_runs(tmp_path / "out", *runs(), losses=True))


def test_quality_over_rank_joins_ranks_and_draws_full_fine_tuning_across(learned: Results) -> None:
    drawing = FIGURES["quality-over-rank"].draw(learned)
    lora, *_ = lines(drawing, "curve:quality")
    assert lora[0] == [4, 16, 64]
    assert lora[1] == pytest.approx([60, 61, 62])
    assert set(by_gid(drawing, "level:quality:")) == {"level:quality:full-ft (no rank)"}
    bars = by_gid(drawing, "spans:quality:lora")["spans:quality:lora"].get_segments()
    assert [list(segment[:, 1]) for segment in bars] == [
        pytest.approx([mean - 0.2484138, mean + 0.2484138]) for mean in (60, 61, 62)
    ]
    assert "accuracy on test (points)" in texts(drawing)
    assert "3 seeds" in notes(drawing)


def test_more_lines_than_six_are_told_apart_in_panels(tmp_path: Path) -> None:
    some = [
        run_rows(0.6, method=method, optimizer=optimizer, rank=rank, cell_id=f"{method}-{optimizer}-{rank}")
        for method in METHODS
        for optimizer in ("adamw", "sgd")
        for rank in (4, 16)[: 1 if method == "full-ft" else 2]
    ]
    drawing = FIGURES["quality-over-rank"].draw(read_results(write_runs(tmp_path / "out", *some)))
    assert len(lines(drawing, "curve:quality")) == 6
    assert {"smollm2-135m, adamw, sst2", "smollm2-135m, sgd, sst2"} <= set(texts(drawing))
    assert_legible(drawing)


@pytest.mark.parametrize(
    ("name", "key", "x", "least"),
    [
        ("quality-against-memory", "peak allocated", [2, 4, 8], "from the least memory on"),
        ("quality-against-time", "training time", [101 / 60, 111 / 60, 121 / 60], "from the shortest on"),
    ],
)
def test_quality_stands_against_its_cost_with_the_front(
    learned: Results, name: str, key: str, x: list[float], least: str
) -> None:
    drawing = FIGURES[name].draw(learned)
    shown = points(drawing, key)
    assert set(shown) == set(METHODS)
    assert [place[0] for place in shown["lora"]] == pytest.approx(x)
    assert [place[1] for place in shown["lora"]] == pytest.approx([60, 61, 62])
    front = by_gid(drawing, f"front:{key}")[f"front:{key}"]
    assert list(front.get_ydata()) == sorted(set(front.get_ydata()))
    assert f"{least}: full-ft; lora r4; lora-fa r4" in notes(drawing)
    assert f"spans:{key}:lora" in by_gid(drawing, f"spans:{key}")


def test_each_seed_is_a_point(learned: Results) -> None:
    drawing = FIGURES["quality-by-seed"].draw(learned)
    cell_id = "smollm2-135m_lora_r16"
    assert list(by_gid(drawing, f"seeds:{cell_id}").popitem()[1].get_xdata()) == pytest.approx(
        [60.9, 61, 61.1]
    )
    assert list(by_gid(drawing, f"mean:{cell_id}").popitem()[1].get_xdata()) == pytest.approx([61])
    assert len(by_gid(drawing, "span:")) == 10


@pytest.mark.parametrize(
    ("name", "end"),
    [("loss-over-steps", STEPS), ("loss-over-tokens", 4096 * STEPS), ("loss-over-seconds", 101.0)],
)
def test_losses_go_to_the_end_of_training(tmp_path: Path, name: str, end: float) -> None:
    out = write_runs(
        tmp_path, *(run for run in runs() if run[0]["method"] == "lora" and run[0]["rank"] == 4), losses=True
    )
    drawing = FIGURES[name].draw(read_results(out))
    (training,) = lines(drawing, "curve:training loss (nats)")
    (validation,) = lines(drawing, "curve:validation loss (nats)")
    assert (training[0][-1], validation[0][-1]) == pytest.approx((end, end))
    assert validation[1] == pytest.approx([1.5, 1.0, 0.5])
    assert training[1] == sorted(training[1], reverse=True)
    assert len(training[0]) == 40


def test_without_the_loss_of_each_step_those_between_evaluations_are_drawn(tmp_path: Path) -> None:
    out = write_runs(tmp_path, run_rows(0.5))
    (training,) = lines(FIGURES["loss-over-steps"].draw(read_results(out)), "curve:training loss (nats)")
    assert training[:2] == ([50, 100], [1.0, 0.5])


def test_of_many_cells_the_best_of_each_method_is_a_line(learned: Results) -> None:
    drawing = FIGURES["loss-over-steps"].draw(learned)
    drawn = {gid.rsplit(":", 1)[1] for gid in by_gid(drawing, "curve:training loss")}
    assert drawn == {"smollm2-135m_full-ft", *(f"smollm2-135m_{method}_r64" for method in METHODS[1:])}
    assert "Not drawn: 6 cells; of each method that which is best" in notes(drawing)


@pytest.mark.parametrize("name", OF_LEARNING)
@pytest.mark.parametrize(
    ("page", "seeds", "tasks"), [("paper", 2, ("sst2", "gsm8k")), ("slide", 1, ("sst2",))]
)
def test_nothing_overlaps(tmp_path: Path, name: str, page: str, seeds: int, tasks: tuple[str, ...]) -> None:
    everything = [*runs(seeds=seeds, tasks=tasks, model=LONG), *runs(seeds=seeds, tasks=tasks, dtype="fp32")]
    for number, run in enumerate(everything):
        for row in run:
            row["run_id"] = f"run{number}"
            row["cell_id"] += row["dtype"]
    results = read_results(write_runs(tmp_path, *everything, losses=True))
    with style(PAGES[page][-1]):
        assert_legible(FIGURES[name].draw(results))


def test_all_are_drawn_into_the_folder_and_are_the_same_bytes_again(tmp_path: Path) -> None:
    out = write_runs(tmp_path, *runs(seeds=2), losses=True)
    drawn = []
    for _ in range(2):
        outcomes = draw_learning_figures(out, ("svg",))
        assert [outcome.name for outcome in outcomes if isinstance(outcome, SavedFigure)] == OF_LEARNING
        drawn.append({path.name: path.read_bytes() for path in (out / "figures").iterdir()})
    assert drawn[0] == drawn[1]


def test_where_nothing_was_learned_nothing_is_said_unless_asked_for(table: Any, tmp_path: Path) -> None:
    results = Results(table({}))
    assert not set(OF_LEARNING) & set(names_of(None, results))
    (skipped,) = save_all(results, tmp_path, ["quality-over-rank"])
    assert skipped.reason == "a table alone has no learning runs"
    with pytest.raises(NothingToJudgeError):
        draw_learning_figures(tmp_path)


def test_runs_without_an_end_or_a_metric_are_no_data(tmp_path: Path) -> None:
    failed = read_results(write_runs(tmp_path / "a", run_rows(status="diverged")))
    with pytest.raises(NoDataError, match="no learning run got to its end"):
        FIGURES["quality-by-seed"].draw(failed)
    without = read_results(write_runs(tmp_path / "b", run_rows(None)))
    with pytest.raises(NoDataError, match="no learning run has a metric"):
        FIGURES["quality-by-seed"].draw(without)
