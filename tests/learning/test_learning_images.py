"""A run on folders of images, from its data to its end."""

from __future__ import annotations

from pathlib import Path

from cells import make_cell
from learning.toy_task import toy_run
from PIL import Image

from lorafa_prof.learning.files import FOLDER, RunFiles
from lorafa_prof.learning.record import read_record
from lorafa_prof.learning.work import learn_cell
from lorafa_prof.tasks.choice import TaskChoice


def test_a_model_of_images_is_trained_on_folders_of_them(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 3)):
        for name, color in (("black", (0, 0, 0)), ("red", (255, 0, 0)), ("white", (255, 255, 255))):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), color).save(tmp_path / part / name / f"{number}.png")
    out = tmp_path / "out"
    (out / FOLDER).mkdir(parents=True)
    cell = make_cell(
        "lora-fa", model="tiny-vit", options={"rank": 4, "targets": "all-linear"}, batch=6, seq=17
    )
    task = TaskChoice(name="images", data=str(tmp_path), validation=0.2)
    run = toy_run(cell, steps=20, evaluate_every=None).model_copy(update={"task": task})
    assert learn_cell(run.cell, run.model_dump_json(), str(out)).row["status"] == "ok"
    record = read_record(RunFiles(out, run.run_id))
    assert record is not None
    tested = record.rows[-1]
    assert (tested["split"], tested["items"], tested["metric_name"]) == ("test", 9, "accuracy")
    assert tested["metric"] == 1.0
