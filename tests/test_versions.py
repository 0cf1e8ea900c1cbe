"""Releases of PyTorch, transformers and PEFT: what is too old is one line."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from test_project_files import requirements

from lorafa_prof import versions
from lorafa_prof.cell import ModelChoice
from lorafa_prof.cli import doctor
from lorafa_prof.cli.main import cli
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.peft_peers import require_peft
from lorafa_prof.models.packing import KEEPS_APART, KEEPS_APART_FROM, check_packing
from lorafa_prof.models.resolve import ResolvedModel, resolve_model


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes one package seem to be of a version."""

    def have(package: str, version: str) -> None:
        real = versions.metadata.version
        monkeypatch.setattr(
            versions.metadata, "version", lambda name: version if name == package else real(name)
        )

    return have


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("2.13.0+cpu", (2, 13)),
        ("2.6.0", (2, 6)),
        ("5.25.0.dev0", (5, 25)),
        ("2.16.0a0+git1a2b", (2, 16)),
        ("unknown", (0, 0)),
    ],
)
def test_a_release_is_its_first_two_numbers(text: str, release: tuple[int, int]) -> None:
    assert versions.release(text) == release


def test_pyproject_asks_for_what_is_supported() -> None:
    asked = {requirement.name: str(requirement.specifier) for requirement in requirements()}
    for name, oldest in versions.OLDEST.items():
        assert asked[name] == f">={versions.named(oldest)}"


@pytest.mark.parametrize(("package", "version"), [("transformers", "4.57.1"), ("torch", "2.5.1+cu124")])
@pytest.mark.parametrize("command", ["run", "check", "verify"])
def test_with_what_is_too_old_nothing_begins(having, package: str, version: str, command: str) -> None:
    having(package, version)
    oldest = versions.named(versions.OLDEST[package])
    with pytest.raises(UsageError, match=rf"^{package} {re.escape(version)} is not supported, only {oldest}"):
        cli.main([command, "quickstart"], standalone_mode=False)
    assert CliRunner().invoke(cli, ["list", "methods"]).exit_code == 0


def test_an_old_peft_is_told_by_its_methods_alone(having) -> None:
    having("peft", "0.17.1")
    with pytest.raises(
        UsageError, match=r"^peft 0\.17\.1 is not supported, only 0\.18 and newer: pip install"
    ):
        require_peft()
    versions.check_version("torch")


def test_what_is_absent_is_not_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.OLDEST, "no-such-package", (1, 0))
    assert versions.check_version("no-such-package") is None


def test_there_is_no_twin_on_an_old_pytorch(having) -> None:
    having("torch", "2.9.1")
    with pytest.raises(
        UsageError, match=r"^the twin needs torch 2\.10 or newer, and this is 2\.9\.1: "
    ) as error:
        resolve_device("auto", "h100-80gb")
    assert error.value.about == "device"
    assert resolve_device("cpu", "h100-80gb").device == "cpu"
    assert not doctor.twin().ok


def packed(kind: str) -> ResolvedModel:
    resolved = resolve_model(ModelChoice(name="tiny-gpt2"))
    resolved.config.model_type = kind
    return resolved


@pytest.mark.parametrize(
    ("kind", "attention"), [*((kind, "sdpa") for kind in KEEPS_APART_FROM), ("gpt2", "flash_attention_2")]
)
def test_some_types_keep_documents_apart_from_a_release_on(having, kind: str, attention: str) -> None:
    having("transformers", "5.1.0")
    with pytest.raises(UsageError, match=rf"apart with {attention} from transformers 5\.2 on"):
        check_packing(packed(kind), attention)
    check_packing(packed("gpt2"), "sdpa")
    having("transformers", "5.2.0")
    check_packing(packed(kind), attention)
    assert kind in KEEPS_APART
