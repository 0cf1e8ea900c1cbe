"""Multiple choice that is answered by the choices' own texts: what is asked, chosen and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small_data import SUBJECTS, as_json, as_lines, gsm8k_rows
from small_models import BYTES, CPU, log_likelihood, small_model

from lorafa_prof.cli.main import main
from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.entry import TASKS
from lorafa_prof.tasks.multiple_choice import MultipleChoice, Wording, by_name, by_text, instructed
from lorafa_prof.tasks.open import open_task
from lorafa_prof.tasks.task import NO_LOSS

FOUR = {"text": ["hay", "fish", "nuts", "grass"], "label": ["A", "B", "C", "D"]}
ASK = "Please choose the correct answer to the question: "
FORMAT = "Answer format: answer1/answer2/answer3/answer4"
HAY_TO_GRASS = f"\n\nAnswer1: hay Answer2: fish Answer3: nuts Answer4: grass\n\n{FORMAT}"
RACE = {"article": "Ann ran.", "question": "Who ran?", "options": ["Ann", "Bea"], "answer": "B"}


def adapters(instruction: str, answer: str) -> dict[str, Any]:
    """A row of LLM-Adapters."""
    output = f"the correct answer is {answer}"
    return {"instruction": instruction, "input": "", "output": output, "answer": answer}


def by_texts(folder: Path, name: str, *rows: dict[str, Any]) -> Any:
    """The task of these rows, which are its test, answered by text."""
    file = as_lines(folder / f"{name}-test.jsonl", rows)
    return open_task(TaskChoice(name=name, data=str(file), answer_by="text"), BYTES, 400)


#: The hub's fields, the row of LLM-Adapters if it has the set, the prompt, the choices, and which is right.
ITEMS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, tuple[str, ...], int]] = {
    "openbookqa": (
        {"question_stem": "Cows eat", "choices": FOUR, "answerKey": "D"},
        adapters(f"{ASK}Cows eat{HAY_TO_GRASS}", "answer4"),
        "Cows eat",
        (" hay", " fish", " nuts", " grass"),
        3,
    ),
    "arc-easy": (
        {"question": "Cows eat?", "choices": FOUR, "answerKey": "A"},
        adapters(f"{ASK}Cows eat?{HAY_TO_GRASS}", "answer1"),
        "Question: Cows eat?\nAnswer:",
        (" hay", " fish", " nuts", " grass"),
        0,
    ),
    "arc-challenge": (
        {"question": "{Cows} eat?", "choices": FOUR, "answerKey": "B"},
        adapters(f"{ASK}{{Cows}} eat?{HAY_TO_GRASS}", "answer2"),
        "Question: {Cows} eat?\nAnswer:",
        (" hay", " fish", " nuts", " grass"),
        1,
    ),
    "piqa": (
        {"goal": "Open a jar", "sol1": "Turn it.", "sol2": "Burn it.", "label": 0},
        adapters(
            "Please choose the correct solution to the question: Open a jar\n\n"
            "Solution1: Turn it.\n\nSolution2: Burn it.\n\nAnswer format: solution1/solution2",
            "solution1",
        ),
        "Question: Open a jar\nAnswer:",
        (" Turn it.", " Burn it."),
        0,
    ),
    "hellaswag": (
        {"activity_label": "Rowing", "ctx": "A man rows. He", "endings": ["stops.", "flies."], "label": "1"},
        adapters(
            "Please choose the correct ending to complete the given sentence: Rowing: A man rows. He\n\n"
            "Ending1: stops. Ending2: flies.\n\nAnswer format: ending1/ending2",
            "ending2",
        ),
        "Rowing: A man rows. He",
        (" stops.", " flies."),
        1,
    ),
    "race": (RACE, None, "Article: Ann ran.\n\nQuestion: Who ran?\nAnswer:", (" Ann", " Bea"), 1),
}


def test_each_set_that_can_is_tried_here() -> None:
    assert set(ITEMS) == {name for name, entry in TASKS.items() if entry.answered_by_text}


@pytest.mark.parametrize("name", ITEMS)
def test_an_item_is_asked_in_lm_evals_words_wherever_it_comes_from(tmp_path: Path, name: str) -> None:
    hub, of_adapters, prompt, choices, right = ITEMS[name]
    for row in filter(None, (hub, of_adapters)):
        (item,) = by_texts(tmp_path, name, row).items.of("test")
        assert (item.prompt, item.choices, item.right) == (prompt, choices, right)
        assert item.answer == choices[right]
        assert item.lengths == tuple(len(choice) - 1 for choice in choices), "without the space in front"


def test_the_choices_text_is_trained_on_and_the_end(tmp_path: Path) -> None:
    as_lines(tmp_path / "piqa-train.jsonl", [ITEMS["piqa"][0]] * 3)
    task = open_task(TaskChoice(name="piqa", data=str(tmp_path), answer_by="text"), BYTES, 100)
    example = task.training_examples()[0]
    asked, answer = "Question: Open a jar\nAnswer:", " Turn it."
    assert BYTES.decode(example.tokens[:-1]) == asked + answer
    trained = (*answer.encode(), BYTES.eos_token_id)
    assert example.labels == (NO_LOSS,) * len(asked) + trained


def unequal_rows() -> list[dict[str, Any]]:
    """Whose choices are of very different lengths."""
    texts = ["hay", "what the others of their kind have left", "a fish", "grass or leaves"]
    return [
        {
            "question": f"What do {subject} eat?",
            "choices": {"text": texts[place % 3 :] + texts[: place % 3], "label": ["A", "B", "C", "D"]},
            "answerKey": "ABCD"[place % 4],
        }
        for place, subject in enumerate(SUBJECTS)
    ]


@pytest.mark.parametrize("batch", [1, 64])
def test_the_choice_that_is_likeliest_for_each_character_is_chosen(tmp_path: Path, batch: int) -> None:
    rows = unequal_rows()
    model = small_model()
    evaluation = by_texts(tmp_path, "arc-easy", *rows).evaluate(model, "test", batch=batch, device=CPU)
    chosen, undivided, correct, loss, tokens = [], [], [], 0.0, 0
    for row in rows:
        texts, right = row["choices"]["text"], "ABCD".index(row["answerKey"])
        context = list(f"Question: {row['question']}\nAnswer:".encode())
        found = [log_likelihood(model, context, list(f" {text}".encode())) for text in texts]
        divided = [each / len(text) for each, text in zip(found, texts, strict=True)]
        chosen.append(texts[divided.index(max(divided))])
        undivided.append(texts[found.index(max(found))])
        correct.append(chosen[-1] == texts[right])
        answer = [*f" {texts[right]}".encode(), BYTES.eos_token_id]
        loss -= log_likelihood(model, context, answer)
        tokens += len(answer)
    assert evaluation.outputs == tuple(chosen)
    assert chosen != undivided, "else dividing would not have been tried"
    assert evaluation.correct == tuple(correct)
    assert evaluation.metric == sum(correct) / len(rows)
    assert evaluation.loss == pytest.approx(loss / tokens, rel=1e-5)


@pytest.mark.parametrize(
    ("listed", "choices"),
    [
        ("Answer1:   hay  Answer2: fish ", (" hay", " fish")),
        ("Answer1: a ratio: 1:2 Answer2: note: fish", (" a ratio: 1:2", " note: fish")),
        ("Answer1: hay\n\nor straw\nAnswer2:\n fish\nand chips", (" hay\n\nor straw", " fish\nand chips")),
        ("Answer1: see answer2: hay Answer2: Answer2:x", (" see answer2: hay", " Answer2:x")),
        ("Answer1: Answer3: hay Answer2: fish", (" Answer3: hay", " fish")),
    ],
)
def test_a_choice_goes_up_to_the_next_ones_name(
    tmp_path: Path, listed: str, choices: tuple[str, ...]
) -> None:
    row = adapters(f"{ASK} Cows eat? \n\n{listed}\n\nAnswer format: answer1/answer2", "answer2")
    (item,) = by_texts(tmp_path, "arc-easy", row).items.of("test")
    assert item.prompt == "Question: Cows eat?\nAnswer:"
    assert item.choices == choices


NOT_PLAIN = {
    "no choices": "Cows eat?",
    "one choice": "Cows eat?\n\nAnswer1: hay or fish",
    "nothing first": "Cows eat?\n\nAnswer1: Answer2: fish",
    "nothing last": "Cows eat?\n\nAnswer1: hay Answer2:  ",
    "another order": "Cows eat?\n\nAnswer2: hay Answer1: fish",
    "a name in a choice": "Cows eat?\n\nAnswer1: see Answer2: below Answer2: fish",
    "a name in the question": "Is Answer1: right?\n\nAnswer1: yes Answer2: no",
}


@pytest.mark.parametrize("what", NOT_PLAIN)
def test_choices_that_are_not_plain_are_one_line(tmp_path: Path, what: str) -> None:
    said = "'instruction' does not list Answer1, Answer2 once each, in order, with their texts"
    check_refused(tmp_path, ASK + NOT_PLAIN[what], said)


def test_an_instruction_in_other_words_is_one_line(tmp_path: Path) -> None:
    said = f"'instruction' does not begin with '{ASK}'"
    check_refused(tmp_path, "Cows eat?\n\nAnswer1: hay Answer2: fish", said)


def test_an_instruction_that_asks_nothing_is_one_line(tmp_path: Path) -> None:
    said = "'instruction' asks nothing before it lists the choices"
    check_refused(tmp_path, f"{ASK}\n\nAnswer1: hay Answer2: fish", said)


def check_refused(folder: Path, instruction: str, said: str) -> None:
    """The second of two rows is, by text; by name it is asked as it stands."""
    asked = (f"{ASK}Cows eat?\n\nAnswer1: hay Answer2: fish", instruction)
    rows = [adapters(f"{each}\n\nAnswer format: answer1/answer2", "answer2") for each in asked]
    file = as_json(folder / "arc-easy-test.json", rows)
    with pytest.raises(UsageError) as raised:
        open_task(TaskChoice(name="arc-easy", data=str(file), answer_by="text"), BYTES, 200)
    assert str(raised.value) == f"{file}, item 2: {said}"
    open_task(TaskChoice(name="arc-easy", data=str(file)), BYTES, 200)


def test_white_space_around_the_hubs_texts_is_left_out(tmp_path: Path) -> None:
    row = RACE | {"article": "Ann ran.\n", "question": " Who ran? ", "options": [" Ann", "Bea\n"]}
    (item,) = by_texts(tmp_path, "race", row).items.of("test")
    (plain,) = by_texts(tmp_path, "race", RACE).items.of("test")
    assert item == plain


def test_a_choice_without_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"item 2: choice 2 of 3 has no text to be answered by$"):
        by_texts(tmp_path, "race", RACE, RACE | {"options": ["Ann", " ", ""]})


@pytest.mark.parametrize("name", ["boolq", "winogrande", "gsm8k", "sst2"])
def test_tasks_that_cannot_are_refused_with_the_place_in_the_scenario(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    as_lines(tmp_path / "gsm8k-test.jsonl", gsm8k_rows(3))
    scenario = tmp_path / "text.yaml"
    scenario.write_text(
        "schema: 1\nname: text\nmodel: tiny-llama\nmethod: lora\nbatch: 1\nseq: 8\ndevice: cpu\n"
        f"task: {{name: {name}, data: ., answer_by: text}}\ntraining: {{steps: 1, learning_rate: 1e-3}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["learn", str(scenario), "-o", str(tmp_path / "out")])
    assert ended.value.code == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"text.yaml:8: task: task '{name}' cannot be answered by text; leave answer_by out" in told
    assert "(tasks that can: arc-challenge, arc-easy, hellaswag, openbookqa, piqa, race)" in told
    assert not (tmp_path / "out").exists()


TEXTS = st.text(min_size=1).map(str.strip).filter(bool)


@given(TEXTS, st.lists(TEXTS, min_size=2, max_size=5), st.sampled_from(["answer", "solution", "ending"]))
def test_what_is_asked_by_name_is_read_back(stem: str, choices: list[str], kind: str) -> None:
    mark = re.compile(rf"(^|\s){kind.capitalize()}\d:(\s|$)")
    assume(not any(map(mark.search, (stem, *choices))))
    item, wording = MultipleChoice(stem, tuple(choices), len(choices) - 1), Wording("Choose: ", kind)
    asked = by_name(item, wording)
    back = instructed(adapters(asked.prompt, f"{kind}{len(choices)}"), wording)
    assert by_text(back, "{}") == by_text(item, "{}")
