"""What of a config.json is refused before anything is built of it: each limit, at it and just beyond."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.models import config_limits
from lorafa_prof.models.config_limits import ConfigError, check_config_file


def check(folder: Path, config: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    check_config_file(file)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("num_hidden_layers", 1_000),
        ("n_layer", 1_000),
        ("num_blocks", 1_000),
        ("num_codebooks", 1_000),
        ("num_local_experts", 10_000),
        ("vocab_size", 2**24),
        ("vocab", 2**24),
        ("num_labels", 1_000_000),
        ("num_classes", 1_000_000),
        ("image_size", 10_000),
        ("num_channels", 10_000),
        ("num_mel_bins", 10_000),
        ("max_source_positions", 1_000_000),
    ],
)
def test_a_size_is_refused_beyond_its_limit_wherever_it_stands(tmp_path, name, most):
    for value in (0, most):
        check(tmp_path, {"text_config": {name: value}, name: [value, value]})
    for value in (-1, most + 1):
        for config in (
            {name: value},
            {"text_config": {name: value}},
            {name: [1, [value]]},
            {"a": [{name: value}]},
        ):
            with pytest.raises(ConfigError) as refused:
                check(tmp_path, config)
            assert str(refused.value) == f"{name} is {value}: from 0 to {most:,} can be built here"


def test_other_numbers_are_transformers_own(tmp_path):
    check(tmp_path, {"hidden_size": 10**9, "layers_of": 10**9, "use_layers": True, "num_layers": None})


def test_a_number_of_many_digits_is_told_by_their_number(tmp_path):
    for digits, said in ((15, "9" * 15), (16, "a number of 16 digits")):
        with pytest.raises(ConfigError, match=f"num_layers is {said}: from 0 to 1,000"):
            check(tmp_path, {"num_layers": int("9" * digits)})


def test_what_is_no_mapping_is_refused(tmp_path):
    for config in ([], 3, "x", None):
        with pytest.raises(ConfigError, match="it is no mapping of names to values"):
            check(tmp_path, config)


def test_a_file_of_more_than_a_config_has_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(config_limits, "MOST_BYTES", 2**20)
    (tmp_path / "config.json").write_text("{}".ljust(2**20))
    check_config_file(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{}".ljust(2**20 + 1))
    with pytest.raises(ConfigError, match="it has more than 1 MiB"):
        check_config_file(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="it has more than 1 MiB"):
        check_config_file(Path("/dev/zero"))
