"""Classification on heads, and the same sets as questions to a causal model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import SUBJECTS, as_lines, as_text, trees
from small_models import BYTES, CPU, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task


def sst2(folder: Path, **choice: Any) -> TaskChoice:
    as_text(folder / "sst2-train.txt.gz", trees(12))
    as_text(folder / "sst2-dev.txt.gz", trees(3))
    as_text(folder / "sst2-test.txt.gz", trees(9))
    return TaskChoice(name="sst2", data=str(folder), **choice)


def test_trees_are_whole_sentences_of_two_classes(tmp_path: Path) -> None:
    task: Any = open_task(sst2(tmp_path), BYTES, 64)
    assert (task.kind, task.classes, task.metric) == ("classification", 2, "accuracy")
    examples = {BYTES.decode(example.tokens): example.labels for example in task.training_examples()}
    assert (
        examples.items()
        <= {
            f"{subject} are {('bad', 'here', 'good')[place % 3]}": (0, None, 1)[place % 3]
            for place, subject in enumerate(SUBJECTS)
        }.items()
    )
    assert len(examples) == 7, "of 8 with a sentiment one is held out"
    assert task.notes == (
        "4 neutral sentences of the training data left out",
        "3 neutral sentences of the test data left out",
    )


def test_words_of_trees_are_as_they_were_written(tmp_path: Path) -> None:
    file = as_text(tmp_path / "sst2-test.txt", "(1 (-1 -LRB-) (1 (-1 actor\\/singer) (1 -RRB-)))\n")
    task: Any = open_task(TaskChoice(name="sst2", data=str(file), kind="causal-lm"), BYTES, 64)
    assert task.items.of("test")[0].prompt.startswith("( actor/singer )\n")


@pytest.mark.parametrize("line", ["nice film", "(2 (1 a))", "(1 (1 good) (1 film)", "(1 )"])
def test_what_is_no_tree_is_named(tmp_path: Path, line: str) -> None:
    file = as_text(tmp_path / "sst2-test.txt", f"(1 (1 good) (-1 film))\n{line}\n")
    with pytest.raises(UsageError, match="line 2 is no tree"):
        open_task(TaskChoice(name="sst2", data=str(file)), BYTES, 64)


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_evaluation_is_that_of_each_item_alone(tmp_path: Path, batch: int) -> None:
    task: Any = open_task(sst2(tmp_path), BYTES, 64)
    model = small_model("tiny-roberta", num_labels=2)
    evaluation = task.evaluate(model, "test", batch=batch, device=CPU)
    losses, correct = [], []
    model.eval()
    for place, subject in enumerate(SUBJECTS[:9]):
        if place % 3 != 1:
            text, label = f"{subject} are {('bad', '', 'good')[place % 3]}", int(place % 3 == 2)
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([list(text.encode())])).logits[0].double()
            losses.append(-float(logits.log_softmax(0)[label]))
            correct.append(int(logits.argmax()) == label)
    assert evaluation.loss == pytest.approx(sum(losses) / 6, rel=1e-5)
    assert evaluation.correct == tuple(correct)
    assert evaluation.metric == sum(correct) / 6


def test_a_head_of_other_classes_is_refused(tmp_path: Path) -> None:
    task = open_task(sst2(tmp_path), BYTES, 64)
    with pytest.raises(
        UsageError, match="the task has 2 classes, and the model's head gives \\(3,\\) an item"
    ):
        task.evaluate(small_model("tiny-roberta", num_labels=3), "test", batch=2, device=CPU)


def test_texts_that_are_too_long_lose_their_front(tmp_path: Path) -> None:
    file = as_text(tmp_path / "sst2-test.txt", "(1 (-1 abcdefgh) (1 ijkl))\n(1 yes)\n")
    task: Any = open_task(TaskChoice(name="sst2", data=str(file)), BYTES, 6)
    assert [BYTES.decode(each.tokens) for each in task._evaluated["test"]] == ["h ijkl", "yes"]
    assert task.notes == ("1 test item longer than 6 tokens cut at the front",)


class WithMarks:
    """A tokenizer that sets a mark before a text and another behind it, as BERT's does."""

    eos_token_id, pad_token_id = None, 0

    def __call__(self, text: list[str], **options: Any) -> dict[str, Any]:
        marks = options.get("add_special_tokens", True)
        encoded = [list(each.encode()) for each in text]
        return {"input_ids": [[1, *each, 2] if marks else each for each in encoded]}

    def decode(self, token_ids: Any, **options: Any) -> str:
        return bytes(token_ids).decode()


def test_what_the_tokenizer_sets_around_a_text_stays(tmp_path: Path) -> None:
    file = as_text(tmp_path / "sst2-test.txt", "(1 (-1 abcdefgh) (1 ijkl))\n")
    task: Any = open_task(TaskChoice(name="sst2", data=str(file)), WithMarks(), 6)
    assert task._evaluated["test"][0].tokens == (1, *b"ijkl", 2)


def test_a_causal_model_is_asked_for_one_word(tmp_path: Path) -> None:
    task: Any = open_task(sst2(tmp_path, kind="causal-lm"), BYTES, 128)
    assert (task.kind, task.classes, task.metric) == ("causal-lm", None, "accuracy")
    item = task.items.of("test")[1]
    assert item.prompt == "cats are good\nQuestion: Is this sentence positive or negative?\nAnswer:"
    assert item.answer == " positive"
    evaluation = task.evaluate(small_model(), "test", batch=4, device=CPU)
    assert set(evaluation.outputs) <= {"negative", "positive"}


TABLES: dict[str, tuple[str, str, tuple[str, str | None, int]]] = {
    "sst2": ("SST-2/dev.tsv", 'sentence\tlabel\na "fine film\t1\n', ('a "fine film', None, 1)),
    "cola": ("CoLA/dev.tsv", "gj04\t0\t*\tBooks sing.\n", ("Books sing.", None, 0)),
    "mrpc": (
        "MRPC/dev.tsv",
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe ran.\tHe did run.\n",
        ("He ran.", "He did run.", 1),
    ),
    "qqp": (
        "QQP/dev.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWho?\tWhat?\t0\n",
        ("Who?", "What?", 0),
    ),
    "mnli": (
        "MNLI/dev_matched.tsv",
        "index\tsentence1\tsentence2\tgold_label\n0\tHe ran.\tHe sat.\tcontradiction\n",
        ("He ran.", "He sat.", 2),
    ),
    "qnli": (
        "QNLI/dev.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWho ran?\tAnn ran.\tentailment\n",
        ("Who ran?", "Ann ran.", 0),
    ),
    "rte": (
        "RTE/dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tHe ran.\tHe sat.\tnot_entailment\n",
        ("He ran.", "He sat.", 1),
    ),
    "wnli": (
        "WNLI/dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tHe ran.\tHe sat.\t0\n",
        ("He ran.", "He sat.", 0),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_glues_own_tables_are_read(tmp_path: Path, name: str) -> None:
    path, table, (text, pair, label) = TABLES[name]
    as_text(tmp_path / path, table)
    as_text(tmp_path / Path(path).with_name("test.tsv"), "index\tsentence\n0\tno label\n")
    task: Any = open_task(TaskChoice(name=name, data=str(tmp_path)), BYTES, 128)
    (example,) = task._evaluated["test"]
    assert example.tokens == tuple(BYTES(text, text_pair=pair)["input_ids"])
    assert example.labels == label
    asked: Any = open_task(TaskChoice(name=name, data=str(tmp_path), kind="causal-lm"), BYTES, 128)
    (item,) = asked.items.of("test")
    assert item.right == label
    assert text in item.prompt
    assert (pair or text) in item.prompt


def test_the_hubs_fields_are_read_from_lines_too(tmp_path: Path) -> None:
    row = {"premise": "He ran.", "hypothesis": "He sat.", "label": 1, "idx": 0}
    file = as_lines(tmp_path / "mnli-dev.jsonl", [row])
    task: Any = open_task(TaskChoice(name="mnli", data=str(file), kind="causal-lm"), BYTES, 128)
    assert task.items.of("test")[0].answer == " Neither"


def test_matthews_correlation_is_colas_metric(tmp_path: Path) -> None:
    as_text(tmp_path / "cola-dev.tsv", "a\t0\t*\tOne.\nb\t1\t\tTwo.\n")
    task: Any = open_task(TaskChoice(name="cola", data=str(tmp_path)), BYTES, 128)
    model = small_model("tiny-roberta", num_labels=2)
    assert task.metric == "matthews"
    assert task.evaluate(model, "test", batch=2, device=CPU).metric in (-1.0, 0.0, 1.0)
