"""Every mistake gets one line that says where and what, and exit code 2, before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lorafa_prof.cli.main import main
from lorafa_prof.running import on_this_machine

BASE = {
    "schema": "1",
    "name": "x",
    "model": "tiny-llama",
    "method": "{name: lora, rank: 4}",
    "batch": "2",
    "seq": "16",
    "dtype": "fp32",
    "device": "cpu",
}


def text(**changes: str | None) -> str:
    """The base with `changes` at its end; None leaves a key out."""
    kept = {key: value for key, value in BASE.items() if key not in changes}
    lines = {**kept, **{key: value for key, value in changes.items() if value is not None}}
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def config(**changes: object) -> str:
    """A config.json with `changes`."""
    return json.dumps({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, **changes})


@pytest.fixture
def complaint(tmp_path, monkeypatch, capsys):
    """Run a scenario that is wrong; returns the one line that is said about it."""
    monkeypatch.chdir(tmp_path)

    def never(*args: object, **settings: object) -> None:
        raise AssertionError("a cell of an invalid scenario was measured")

    monkeypatch.setattr(on_this_machine, "run_cell", never)

    def run(written: str | bytes | None, *arguments: str) -> str:
        if written is not None:
            content = written if isinstance(written, bytes) else written.encode()
            Path("s.yaml").write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main(["run", "s.yaml", *arguments])
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert not Path("out").exists()
        assert line.startswith("lorafa-prof: ")
        return line.removeprefix("lorafa-prof: ")

    return run


# Each mapping or list names the one before it nine times.
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)

# Text, line, key, words. A changed key of the base stands in line 8, an added one in line 9.
LATER = [
    # keys
    (text(bach="4"), 9, "bach", "unknown key (did you mean 'batch'?)"),
    (text(steps="\n  warmup: 1\n  timd: 2"), 11, "steps.timd", "did you mean 'timed'"),
    (
        text(model="\n  - tiny-llama\n  - name: tiny-gpt2\n    weight: random"),
        11,
        "model[1].weight",
        "weights",
    ),
    (text(model="\n  name: tiny-gpt2\n  weight: random"), 10, "model.weight", "did you mean 'weights'"),
    (text(rank="4"), 9, "rank", "{name: lora, rank: …}"),
    (text(method="\n  - lora\n  - name: lora\n    rnk: 4"), 11, "method[1].rnk", "did you mean 'rank'"),
    (text(method="\n  - {name: full-ft,\n     rank: 4}"), 10, "method[0].rank", "full-ft has no option"),
    (text(method="\n  name: lora\n  device: cpu"), 10, "method.device", "of the scenario as a whole"),
    (text(method="\n  - lora\n  - rank: 4"), 10, "method[1].name", "this key is required"),
    (text(method="{name: peft}"), 8, "method.config", "this key is required"),
    (text(model="{weights: random}"), 8, "model.name", "this key is required"),
    (text(schema=None), 1, "schema", "this key is required"),
    (text(name=None), 1, "name", "this key is required"),
    (text(model=None), 1, "model", "this key is required"),
    (text(method=None), 1, "method", "this key is required"),
    (text(schema=None, shcema="1"), 8, "shcema", "did you mean 'schema'"),
    (text() + "batch: 3\n", 9, "batch", "this key is there twice"),
    (text(method="\n  - name: lora\n    rank: 3\n    rank: 4"), 11, "method[0].rank", "twice"),
    (text(**{"3": "4"}), 9, None, "a key is text"),
    (text(**{"[1, 2]": "4"}), 9, None, "a key is text"),
    (text(exclude="\n  - {batch: 3}\n  - bach: 2"), 11, "exclude[1].bach", "did you mean 'batch'"),
    (text(exclude="{bach: 2}"), 9, "exclude.bach", "did you mean 'batch'"),
    # types
    (text(batch="two"), 8, "batch", "a whole number, not 'two'"),
    (text(batch="\n  - 2\n  - 2.5"), 10, "batch[1]", "a whole number, not 2.5"),
    (text(batch="true"), 8, "batch", "a whole number, not true"),
    (text(batch=""), 8, "batch", "a whole number, not empty"),
    (text(batch="{a: 1}"), 8, "batch", "a whole number, not a mapping"),
    (text(batch="0"), 8, "batch", "at least 1, not 0"),
    (text(batch="99999999999999999999"), 8, "batch", "less than"),
    (text(seed="99999999999999999999"), 9, "seed", "less than"),
    (text(seed="-1"), 9, "seed", "at least 0"),
    (text(steps="{timed: 0}"), 9, "steps.timed", "at least 1"),
    (text(steps="{timed: '3'}"), 9, "steps.timed", "a whole number, not '3'"),
    (text(steps="3"), 9, "steps", "a mapping of keys to values, not 3"),
    (text(schema="2"), 8, "schema", "reads schema 1, not 2"),
    (text(schema="'1'"), 8, "schema", "reads schema 1, not '1'"),
    (text(name="a/b"), 8, "name", "letters, digits"),
    (text(name="3"), 8, "name", "text, not 3"),
    (text(description="3"), 9, "description", "text, not 3"),
    (text(model="3"), 8, "model", "a name, or a mapping with a name, not 3"),
    (text(method="[[lora]]"), 8, "method[0]", "a name, or a mapping with a name, not a list"),
    (text(dtype="\n  - fp32\n  - bf32"), 10, "dtype[1]", "'fp32', 'bf16', 'fp16' or 'fp64', not 'bf32'"),
    (text(adapter_dtype="bf61"), 9, "adapter_dtype", "not 'bf61'"),
    (text(optimizer="3"), 9, "optimizer", "text, not 3"),
    (text(padding="1"), 9, "padding", "less than 1, not 1"),
    (text(padding="[0.5, -0.1]"), 9, "padding[1]", "at least 0.0, not -0.1"),
    (text(padding="'0.5'"), 9, "padding", "a number, not '0.5'"),
    (text(padding="true"), 9, "padding", "a number, not true"),
    (text(padding=".nan"), 9, "padding", "a finite number"),
    (text(padding=""), 9, "padding", "a number, not empty"),
    (text(padding="[]"), 9, "padding", "nothing to sweep"),
    (text(padding="0_0.5"), 9, "padding", "a number, not '0_0.5'; YAML takes this for text: write 0.5"),
    (text(batch="1_000"), 8, "batch", "a whole number, not '1_000'; YAML takes this for text: write 1000"),
    (text(batch="1:30"), 8, "batch", "a whole number, not '1:30'"),
    (text(seq="0b11"), 8, "seq", "a whole number, not '0b11'"),
    (text(accumulation="0"), 9, "accumulation", "at least 1, not 0"),
    (text(accumulation="2.0"), 9, "accumulation", "a whole number, not 2.0"),
    (text(acumulation="2"), 9, "acumulation", "did you mean 'accumulation'"),
    (text(max_grad_norm="\n  - null\n  - 0"), 11, "max_grad_norm[1]", "greater than 0, not 0"),
    (text(max_grad_norm="none"), 9, "max_grad_norm", "a number, not 'none'"),
    (text(max_grad_norm=".inf"), 9, "max_grad_norm", "a finite number"),
    (text(autocast="[none, bf61]"), 9, "autocast[1]", "bf61"),
    (text(method="\n  - lora\n  - name: lora-fa\n    padding: 2"), 11, "method[1].padding", "less than 1"),
    (text(exclude="{padding: 0.5}"), 9, "exclude", "no cell matches this"),
    (text(claims="x"), 9, "claims", "a list, not 'x'"),
    (text(exclude="x"), 9, "exclude", "a mapping of keys to values, not 'x'"),
    (text(method="{name: lora, rank: '4'}"), 8, "method.rank", "a whole number, not '4'"),
    (text(method="{name: lora, rank: true}"), 8, "method.rank", "a whole number, not true"),
    (text(method="\n - lora\n - {name: lora, rank: [4,\n  four]}"), 11, "method[1].rank[1]", "not 'four'"),
    (text(method="{name: lora, dropout: 1.5}"), 8, "method.dropout", "less than 1, not 1.5"),
    (text(method="{name: lora, alpha: .inf}"), 8, "method.alpha", "a finite number"),
    (
        text(method="{name: lora, rslora: no}"),
        8,
        "method.rslora",
        "true or false, not 'no'; YAML takes this for text: write false",
    ),
    (text(method="\n  - lora\n  - name: lora-fa\n    seq: 0"), 11, "method[1].seq", "at least 1"),
    # values that do not exist or do not fit
    (text(model="\n  - tiny-llama\n  - tiny-lama"), 10, "model[1]", "did you mean 'tiny-llama'"),
    (text(model="./nowhere"), 8, "model", "no such file or directory"),
    (text(model="~nouser/x"), 8, "model", "model '~nouser/x': no such file or directory"),
    (text(model="./" + "a" * 300), 8, "model", "no such file or directory"),
    (text(model="a" * 300), 8, "model", "unknown model 'aaa"),
    (text(model="x/" + "a" * 300), 8, "model", "no such preset or path"),
    (text(model=r'"a\nb"'), 8, "model", "unknown model 'a b'"),
    (text(method=r'"lo\nra"'), 8, "method", "unknown method 'lo ra' (did you mean 'lora'?)"),
    (text(model="{name: tiny-llama, weights: pretrained}"), 8, "model", "has a shape and no weights"),
    (text(model="{name: tiny-llama, weights: rand}"), 8, "model.weights", "'random' or 'pretrained'"),
    (text(method="loraa"), 8, "method", "unknown method 'loraa' (did you mean 'lora'?)"),
    (text(method="\n  - lora\n  - rank: 3\n    name: loraa"), 11, "method[1].name", "did you mean 'lora'"),
    (text(method="\n  - lora\n  - name: lora\n    targets: q_prj"), 11, "method[1].targets", "'q_proj'"),
    (text(method="{name: lora, targets:\n  [all-linear,\n  [q_prj]]}"), 10, "method.targets[1]", "q_proj"),
    (
        text(method="\n  name: lora\n  rank:\n    - 4\n    - 65"),
        12,
        "method.rank[1]",
        "65 is larger than layer",
    ),
    (text(method="{name: peft, config: {peft_type: LORAA}}"), 8, "method", "did you mean 'LORA'"),
    (text(optimizer="\n  - adamw\n  - adam"), 11, "optimizer[1]", "did you mean 'adamw'"),
    (text(method="\n  name: lora\n  optimizer: adam"), 10, "method.optimizer", "did you mean 'adamw'"),
    (text(method="peft-lora-fa", optimizer="sgd"), 9, "optimizer", "has an AdamW of its own"),
    (text(dtype="bf61"), 8, "dtype", "not 'bf61' (did you mean 'bf16'?)"),
    (text(kernels="eagr"), 9, "kernels", "did you mean 'eager'"),
    (text(attention="[sdpa, spda]"), 9, "attention[1]", "spda"),
    (text(checkpointing="ful"), 9, "checkpointing", "none, full"),
    (text(device="\n  - cpu\n  - gpu"), 10, "device[1]", "known: auto, cuda, cpu"),
    (text(gpu="h100-80g"), 9, "gpu", "did you mean 'h100-80gb'"),
    (text(model="tiny-gpt2", seq="\n  - 16\n  - 99999"), 10, "seq[1]", "256 positions"),
    # nothing to sweep
    (text(batch="[]"), 8, "batch", "the list is empty: nothing to sweep"),
    (text(method="[]"), 8, "method", "the list is empty: nothing to sweep"),
    (text(model="[]"), 8, "model", "the list is empty: nothing to sweep"),
    (text(method="\n  - lora\n  - name: lora\n    rank: []"), 11, "method[1].rank", "nothing to sweep"),
    (
        text(batch=f"{list(range(1, 201))}", seq=f"{list(range(1, 101))}"),
        1,
        None,
        "its axes make 20,000 cells, 10,000 are the most: make several scenarios of it, or allow them by "
        "--max-cells 20000",
    ),
    (text(exclude="\n  - model: tiny-llama"), 9, "exclude", "every cell is excluded"),
    (text(exclude="[{}]"), 9, "exclude[0]", "an empty rule would exclude every cell"),
    (text(exclude="\n  - {rank: 4, batch: 3}"), 10, "exclude[0]", "no cell matches this"),
    # no scenario at all
    ("", 1, None, "the file is empty"),
    ("# only a comment\n", 1, None, "the file is empty"),
    ("- 1\n", 1, None, "a mapping of keys to values"),
    ("hello\n", 1, None, "a mapping of keys to values"),
    (text() + "a: [1,\n", 10, None, "this is no YAML"),
    (text() + "a: b: c\n", 9, None, "this is no YAML"),
    (text() + "\tseq: 1\n", 9, None, "this is no YAML"),
    (text() + "---\n" + text(), 9, None, "a single document"),
    (text(description="!!python/object:os.system x"), 9, "description", "the tag !!python/object:os.system"),
    (text(description="!!bool x"), 9, "description", "'x' is no bool: write it without the tag !!bool"),
    (text(description="!!timestamp x"), 9, "description", "the tag !!timestamp is not read"),
    (text(description="!mine {a: 1}"), 9, "description", "the tag !mine is not read"),
    (text(batch="9" * 5000), 8, "batch", "a number of 5,000 characters: 100 are the most"),
    (text(batch="0x" + "f" * 5000), 8, "batch", "a number of 5,002 characters"),
    (text(description="[" * 3000), 9, None, "inside each other more than 64 deep"),
    (
        text(description="\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 300))),
        72,
        None,
        "more than 64 deep",
    ),
    (text() + BOMB, 10, None, "aliases (*) make more than 100,000 values of this: make several scenarios"),
    (text() + MERGE_BOMB, 9, "a0", "unknown key"),
    (text(description="&a {<<: *a}"), 9, "description", "merged (<<) into itself"),
    (
        text() + "".join(f"k{i}: 1\n" for i in range(6000)),
        4998,
        None,
        "more than 10,000 values: make several scenarios of it, or set LORAFA_PROF_YAML_VALUES",
    ),
    (text() + "# x\n" * 100_000, None, None, "this has more than 250,000 characters"),
    (text(description=r'"a\0b"'), 9, "description", "a NUL character in text"),
    (text(model=r'"a\0b"'), 8, "model", "a NUL character in text"),
    (text(description=r'"\ud800"'), 9, "description", "half of a surrogate pair"),
    (text(description='"a\0b"'), 9, None, "special characters are not allowed"),
    (text(method="&a [*a]"), 8, "method[0]", "an alias (*) stands inside what it names"),
]


@pytest.mark.parametrize(("written", "line", "key", "words"), LATER)
def test_one_line_names_file_line_and_key(complaint, written, line, key, words):
    said = complaint(written)
    at = "s.yaml: " if line is None else f"s.yaml:{line}: "
    place = f"{at}{key}: " if key else at
    assert said.startswith(place), f"{said!r} does not begin with {place!r}"
    assert words in said.removeprefix(place)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_where_there_is_none(complaint):
    assert complaint(text(device="cuda")).startswith("s.yaml:8: device: device 'cuda': PyTorch sees no CUDA")


def test_a_config_that_transformers_cannot_build(complaint, tmp_path, monkeypatch):
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 10}
    Path("net").mkdir()
    Path("net/config.json").write_text(json.dumps({**config, "intermediate_size": "wide"}))
    said = complaint(text(model="./net"))
    assert said.startswith("s.yaml:8: model: ")
    assert "intermediate_size" in said or "TypeError" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (config(num_hidden_layers=10**30), "num_hidden_layers is a number of 31 digits: from 0 to 1,000"),
        (config(num_hidden_layers=-1), "num_hidden_layers is -1: from 0 to 1,000 can be built here"),
        (config(num_labels=10**12), "num_labels is 1000000000000: from 0 to 1,000,000"),
        (config(text_config={"num_layers": 10**9}), "num_layers is 1000000000"),
        (config(max_position_embeddings=""), "max_position_embeddings"),
        (config(hidden_size=10**30), ""),
        (config(architectures=3), ""),
        ("[]", "it is no mapping of names to values"),
        ("[" * 100_000, "RecursionError"),
        ('{"num_hidden_layers": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("", "JSONDecodeError"),
    ],
)
def test_an_odd_config_is_one_line_at_its_model(complaint, content, words):
    Path("net").mkdir()
    Path("net/config.json").write_text(content)
    said = complaint(text(model="./net"))
    assert said.startswith("s.yaml:8: model: ")
    assert words in said


def test_what_is_found_only_on_building_is_one_line_too(complaint, monkeypatch):
    from lorafa_prof.running import prepare

    def explode(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr(prepare, "prepare_model", explode)
    said = complaint(text())
    assert said == "s.yaml:3: model: tiny-llama lora r4 b2 s16 cannot be built: ZeroDivisionError: by zero"


def test_a_name_that_is_too_long_for_a_file_is_no_scenario(complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "a" * 300])
    assert ended.value.code == 2
    assert "no such file, and no shipped scenario of that name" in capsys.readouterr().err


def test_files_that_are_not_there_or_cannot_be_read(complaint):
    assert complaint(None).startswith("s.yaml: no such file, and no shipped scenario of that name; ")
    Path("s.yaml").mkdir()
    assert complaint(None) == "s.yaml: this is a folder; name a scenario file in it"
    Path("s.yaml").rmdir()
    assert complaint(b"name: caf\xe9\n") == "s.yaml: cannot be read: it is no UTF-8 text"


@pytest.mark.parametrize(
    ("arguments", "begin", "words"),
    [
        (["--set", "batch=0"], "--set batch=0: batch: ", "at least 1"),
        (["--set", "optimizer=adam"], "--set optimizer=adam: optimizer: ", "did you mean 'adamw'"),
        (
            ["--set", "method.rank=[4, 65]"],
            "--set method.rank=[4, 65]: method.rank[1]: ",
            "larger than layer",
        ),
        (["--set", "model=gpt3"], "--set model=gpt3: model: ", "did you mean"),
        (["--device", "tpu"], "--device tpu: device: ", "known: auto, cuda, cpu"),
        (["--device", ""], "--device : device: ", "unknown device ''"),
        (["-k", "("], "-k (: ", "no regular expression"),
        (["-k", "zzz"], "-k zzz: ", "no cell matches; lorafa-prof run --dry-run lists them"),
        (["--set", "model=a\n\nb"], "--set model=a b: model: ", "unknown model 'a b'"),
        (["--set", "batch=" + "9" * 5000], "--set batch=999", "a number of 5,000 characters"),
        (["--device", "c\npu"], "--device c pu: device: ", "unknown device"),
        (
            ["--set", "batch=[1, 2, 3]", "--max-cells", "2"],
            "s.yaml:1: its axes make 3 cells",
            "--max-cells 3",
        ),
        (["-o", ""], "Invalid value for '-o' / '--output': ", "the path is empty; write . for the folder"),
        (["-o", "a" * 300], "", "File name too long"),
        (["-o", "s.yaml"], "cannot write to 's.yaml': ", "choose another with -o"),
        (["-o", "/proc/no"], "cannot write to '/proc/no': ", "choose another with -o"),
    ],
)
def test_wrong_options_are_named(complaint, arguments, begin, words):
    said = complaint(text(), *arguments)
    assert said.startswith(begin), said
    assert words in said
