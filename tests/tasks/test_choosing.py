"""Multiple choice: what is trained on, what is chosen, and what is said of data that is otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_data import arc_rows, as_json, as_lines, boolq_rows
from small_models import BYTES, CPU, log_likelihood, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task
from lorafa_prof.tasks.task import NO_LOSS


def boolq(folder: Path, **choice: Any) -> TaskChoice:
    as_json(folder / "boolq-train.json.gz", boolq_rows(10))
    as_json(folder / "boolq-test.json", boolq_rows(6))
    return TaskChoice(name="boolq", data=str(folder), **choice)


def test_instruction_and_output_are_trained_on_with_a_loss_on_the_output(tmp_path: Path) -> None:
    example = open_task(boolq(tmp_path), BYTES, 200).training_examples()[0]
    assert isinstance(example.labels, tuple)
    answer = [label for label in example.labels if label != NO_LOSS]
    assert answer[-1] == BYTES.eos_token_id
    assert BYTES.decode(answer) in ("\n\nthe correct answer is true", "\n\nthe correct answer is false")
    assert example.tokens[-len(answer) :] == tuple(answer)
    text = BYTES.decode(example.tokens)
    assert text.startswith("Please answer the following question with true or false, question: do ")
    assert "Answer format: true/false\n\nthe correct answer is " in text


def test_held_out_items_are_not_trained_on_and_are_drawn_by_the_seed(tmp_path: Path) -> None:
    def held(**choice: Any) -> tuple[set[str], list[str]]:
        task: Any = open_task(boolq(tmp_path, validation=0.25, **choice), BYTES, 200)
        train = {
            BYTES.decode(example.tokens).split("question: ")[1].split("?")[0]
            for example in task.training_examples()
        }
        return train, [
            item.prompt.split("question: ")[1].split("?")[0] for item in task.items.of("validation")
        ]

    train, validation = held()
    assert (len(train), len(validation)) == (7, 3)
    assert not train & set(validation)
    assert validation == sorted(validation), "in the data's order, which is the alphabet's"
    assert held() == (train, validation)
    assert held(seed=1)[1] != validation
    fewer, same = held(train_items=4)
    assert fewer < train
    assert same == validation, "whatever is trained on, the same are held out"


def test_evaluation_is_of_items_that_are_drawn(tmp_path: Path) -> None:
    def tested(**choice: Any) -> list[str]:
        task: Any = open_task(boolq(tmp_path, **choice), BYTES, 200)
        assert task.evaluate(small_model(), "test", batch=4, device=CPU).items == len(task.items.of("test"))
        return [item.prompt for item in task.items.of("test")]

    everything = tested()
    some = tested(eval_items=2)
    assert len(some) == 2
    assert some == [prompt for prompt in everything if prompt in some], "in the data's order"
    assert some == tested(eval_items=2)
    assert len({tuple(tested(eval_items=2, seed=seed)) for seed in range(8)}) > 2


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_most_likely_choice_is_chosen(tmp_path: Path, batch: int) -> None:
    as_lines(tmp_path / "ARC-Easy" / "test.jsonl", arc_rows(6))
    task = open_task(TaskChoice(name="arc-easy", data=str(tmp_path)), BYTES, 250)
    model = small_model()
    evaluation = task.evaluate(model, "test", batch=batch, device=CPU)
    correct, chosen, loss, tokens = [], [], 0.0, 0
    for row in arc_rows(6):
        context = list(row["instruction"].encode())
        names = [f"answer{number}" for number in range(1, 5)]
        found = [
            log_likelihood(model, context, list(f"\n\nthe correct answer is {name}".encode()))
            for name in names
        ]
        chosen.append(f"the correct answer is {names[found.index(max(found))]}")
        correct.append(chosen[-1] == row["output"])
        answer = [*f"\n\n{row['output']}".encode(), 255]
        loss -= log_likelihood(model, context, answer)
        tokens += len(answer)
    assert evaluation.correct == tuple(correct)
    assert evaluation.metric == sum(correct) / 6
    assert evaluation.outputs == tuple(chosen)
    assert evaluation.loss == pytest.approx(loss / tokens, rel=1e-5)


def test_what_is_too_long_is_left_out_of_training_and_cut_at_the_front_in_evaluation(tmp_path: Path) -> None:
    rows = boolq_rows(10)
    rows[3]["instruction"] = "x" * 150 + rows[3]["instruction"]
    as_json(tmp_path / "boolq-train.json", rows[3:])
    as_json(tmp_path / "boolq-test.json", rows)
    task: Any = open_task(TaskChoice(name="boolq", data=str(tmp_path), validation=0.01), BYTES, 160)
    assert max(len(example.tokens) for example in task.training_examples()) <= 160
    assert task.notes == (
        "1 training item longer than 160 tokens left out",
        "1 test item longer than 160 tokens cut at the front",
    )
    seen = []
    model = small_model()
    model.register_forward_pre_hook(
        lambda _, args, inputs: seen.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    assert task.evaluate(model, "test", batch=1, device=CPU).items == 10
    assert max(seen) == 159, "the last token is only asked for"


def test_train_items_are_as_many_as_wanted_even_where_some_are_too_long(tmp_path: Path) -> None:
    rows = boolq_rows(12)
    for row in rows[::2]:
        row["instruction"] = "x" * 150 + row["instruction"]
    as_json(tmp_path / "boolq-train.json", rows)
    choice = TaskChoice(name="boolq", data=str(tmp_path), validation=0.01, train_items=4)
    assert len(open_task(choice, BYTES, 160).training_examples()) == 4


def test_nothing_that_fits_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task 'boolq': none of 9 training items fits into seq 16; raise it"):
        open_task(boolq(tmp_path), BYTES, 16)


def test_without_training_data_there_is_a_test_and_no_validation(tmp_path: Path) -> None:
    as_json(tmp_path / "piqa-test.json", boolq_rows(3))
    task = open_task(TaskChoice(name="piqa", data=str(tmp_path)), BYTES, 200)
    assert task.evaluate(small_model(), "test", batch=4, device=CPU).items == 3
    with pytest.raises(UsageError, match="has nothing to train on; name other data"):
        task.training_examples()
    with pytest.raises(UsageError, match="has no validation split"):
        task.evaluate(small_model(), "validation", batch=4, device=CPU)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction": "do ants run?"}, "item 2: 'instruction' does not end with the form of its answer"),
        ({"answer": "maybe"}, "item 2: 'output' does not end with the answer, 'maybe'"),
        ({"answer": "e"}, "item 2: 'answer' is 'e', not true, false"),
        ({"output": ""}, "item 2: 'output' is '', not text"),
        ({"instruction": 7}, "item 2: 'instruction' is 7, not text"),
    ],
)
def test_a_row_that_is_otherwise_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    rows = boolq_rows(3)
    rows[1] |= change
    file = as_json(tmp_path / "boolq-test.json", rows)
    with pytest.raises(UsageError) as raised:
        open_task(TaskChoice(name="boolq", data=str(file)), BYTES, 200)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(file))


def test_other_fields_are_named(tmp_path: Path) -> None:
    file = as_json(tmp_path / "boolq-test.json", [{"q": "do ants run?", "answer": True}])
    with pytest.raises(UsageError, match="there is no 'question' among its fields \\(q, answer\\)"):
        open_task(TaskChoice(name="boolq", data=str(file)), BYTES, 200)


FOUR = {"text": ["hay", "fish", "nuts", "grass"], "label": ["A", "B", "C", "D"]}
OF_THE_HUB: dict[str, tuple[dict[str, Any], str, str]] = {
    "boolq": (
        {"question": "do ants run", "answer": False, "passage": "Ants run."},
        "Please answer the following question with true or false, question: do ants run?\n\n"
        "Answer format: true/false",
        "false",
    ),
    "openbookqa": (
        {"id": "1", "question_stem": "Cows eat", "choices": FOUR, "answerKey": "D"},
        "Please choose the correct answer to the question: Cows eat\n\n"
        "Answer1: hay Answer2: fish Answer3: nuts Answer4: grass\n\n"
        "Answer format: answer1/answer2/answer3/answer4",
        "answer4",
    ),
    "arc-challenge": (
        {
            "question": "Cows eat?",
            "choices": {"text": ["hay", "fish"], "label": ["1", "2"]},
            "answerKey": "2",
        },
        "Please choose the correct answer to the question: Cows eat?\n\n"
        "Answer1: hay Answer2: fish\n\nAnswer format: answer1/answer2",
        "answer2",
    ),
    "piqa": (
        {"goal": "Open a jar", "sol1": "Turn it.", "sol2": "Burn it.", "label": 0},
        "Please choose the correct solution to the question: Open a jar\n\n"
        "Solution1: Turn it.\n\nSolution2: Burn it.\n\nAnswer format: solution1/solution2",
        "solution1",
    ),
    "winogrande": (
        {"sentence": "Ann thanked Bea as _ had helped.", "option1": "Ann", "option2": "Bea", "answer": "2"},
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        "Ann thanked Bea as _ had helped.\n\nOption1: Ann Option2: Bea Answer format: option1/option2",
        "option2",
    ),
    "hellaswag": (
        {"activity_label": "Rowing", "ctx": "A man rows. He", "endings": ["stops.", "flies."], "label": "0"},
        "Please choose the correct ending to complete the given sentence: Rowing: A man rows. He\n\n"
        "Ending1: stops. Ending2: flies.\n\nAnswer format: ending1/ending2",
        "ending1",
    ),
    "race": (
        {"article": "Ann ran.", "question": "Who ran?", "options": ["Ann", "Bea", "Cy", "Di"], "answer": "A"},
        "Ann ran.\n\nPlease choose the correct answer to the question: Who ran?\n\n"
        "Answer1: Ann Answer2: Bea Answer3: Cy Answer4: Di\n\nAnswer format: answer1/answer2/answer3/answer4",
        "answer1",
    ),
}


@pytest.mark.parametrize("name", OF_THE_HUB)
def test_the_hubs_fields_are_put_into_the_same_words(tmp_path: Path, name: str) -> None:
    row, prompt, answer = OF_THE_HUB[name]
    file = as_lines(tmp_path / f"{name}-test.jsonl", [row])
    task: Any = open_task(TaskChoice(name=name, data=str(file)), BYTES, 400)
    (item,) = task.items.of("test")
    assert item.prompt == prompt
    assert item.answer == f"\n\nthe correct answer is {answer}"
