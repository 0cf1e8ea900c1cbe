from __future__ import annotations

import pytest

from lorafa_prof.results.masking import MASK, masked

SECRETS = (
    "hf_" + "a1B2" * 8,
    "ghp_" + "a1B2" * 9,
    "sk-" + "a1b2" * 8,
    "glpat-" + "a1b2" * 5,
    "AKIA" + "ABCD" * 4,
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["{}", "--set=model={}", "https://host/{}/x", "a {} b"])
def test_what_has_the_form_of_a_token_is_masked(secret: str, form: str) -> None:
    (hidden,) = masked([form.format(secret)])
    assert secret not in hidden
    assert MASK in hidden


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--token", "abc", "x"], ["--token", MASK, "x"]),
        (["--hub-token=abc"], [f"--hub-token={MASK}"]),
        (["api_key: abc"], [f"api_key: {MASK}"]),
        (["https://me:word@host/x"], [f"https://me:{MASK}@host/x"]),
    ],
)
def test_what_a_name_says_is_a_secret_is_masked(arguments: list[str], expected: list[str]) -> None:
    assert masked(arguments) == expected


def test_a_usual_command_is_left_as_it_is() -> None:
    command = [
        "run",
        "quickstart",
        "-o",
        "out/x",
        "--set",
        "method[1].rank=[8, 64]",
        "-k",
        "lora-fa_r8_b2_s512_0f4b62432a",
    ]
    assert masked(command) == command
