"""What a prompt's version stands for never changes."""

from pathlib import Path

import pytest

import core.explain.prompts as prompts
from core.chat.questions import Picture
from core.explain.prompts import NEWEST, joined, prompt

FOLDER = Path(prompts.__file__).parent
KNOWN = {
    "explain_examples-1.ar": "5936dbd76ca6",
    "explain_examples-1.en": "fdfee4652a04",
    "explain_promoted-1.ar": "4a9a7441a0a6",
    "explain_promoted-1.en": "bfc1161352ef",
    "judge_detection-1.en": "08cf73acff1b",
    "judge_fuzz-1.en": "568b2a4cb671",
    "judge_intruder-1.en": "406c53ec1eee",
    "judge_simulation-1.en": "67a5236ffe21",
    "judge_twins-1.en": "680d77a2dbae",
}
"""The SHA-256 that each file starts with. A new text gets a new number and a new line; no line here changes."""


def test_every_version_says_what_it_always_said() -> None:
    versions = {f"{file.stem}": file for file in FOLDER.glob("*.txt")}
    assert {
        name: prompts.hashlib.sha256(file.read_bytes()).hexdigest()[:12] for name, file in versions.items()
    } == KNOWN


@pytest.mark.parametrize("name", NEWEST)
def test_every_prompt_has_its_files(name: str) -> None:
    for language in ("en", "ar") if name.startswith("explain") else ("en",):
        one = prompt(name, language)
        assert one.system and one.question and one.version.startswith(f"{name}-{NEWEST[name]}.{language}@")
        assert ("$examples" in one.question) is (name != "explain_promoted")


def test_texts_side_by_side_become_one_part_and_what_is_put_in_is_no_template() -> None:
    assert joined(["a", "b", Picture(b""), "", "c"]) == ("ab", Picture(b""), "c")
    asked = prompt("judge_twins").asked(["costs $5 $explanation"], 10, explanation="$examples")
    assert "costs $5 $explanation" in asked.parts[0] and "Explanation: $examples" in asked.parts[0]
