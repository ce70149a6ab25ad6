"""What of a chat model's answer is used, and what it is asked."""

import json

import pytest

from core.concepts.drafting import Draft, draft_prompt, parse_drafts
from core.study.scan import ConceptConfig

GOOD = {"scene": "The Old Gate!", "3": " He  waits. ", "2": "He stays.", "1": "He reads.", "0": "He eats."}


def test_a_scene_is_four_drafts_of_one_family() -> None:
    for answer in (json.dumps([GOOD]), f"```json\n{json.dumps([GOOD])}\n```", json.dumps({"scenes": [GOOD]})):
        parsed = parse_drafts(answer, ["gate"])
        assert parsed.malformed == 0
        assert parsed.scenes == [
            [
                Draft("He waits.", 3, "the-old-gate"),
                Draft("He stays.", 2, "the-old-gate"),
                Draft("He reads.", 1, "the-old-gate"),
                Draft("He eats.", 0, "the-old-gate"),
            ]
        ]


def test_a_scene_called_like_another_gets_a_number() -> None:
    parsed = parse_drafts(json.dumps([GOOD, GOOD]), ["the-old-gate"])
    assert [scene[0].family for scene in parsed.scenes] == ["the-old-gate-2", "the-old-gate-3"]


@pytest.mark.parametrize(
    ("answer", "usable", "malformed"),
    [
        ("Sure, here are the scenes:", 0, 1),
        ('[{"scene": "gate", "3": "He wai', 0, 1),
        ("[" * 100_000, 0, 1),
        ("7", 0, 1),
        (json.dumps([GOOD, "scene", {"3": "No name."}, {"scene": "!?", "3": "x"}]), 4, 3),
        (json.dumps([GOOD | {"3": None, "2": ["He stays."], "1": "  "}]), 1, 3),
        (json.dumps([GOOD | {"3": "He \u001b[2J waits.", "0": "\ud800"}]), 2, 2),
        (json.dumps([{"scene": "gate"}]), 0, 4),
        (json.dumps([]), 0, 0),
    ],
)
def test_what_is_malformed_is_counted_and_skipped(answer: str, usable: int, malformed: int) -> None:
    parsed = parse_drafts(answer, [])
    assert sum(map(len, parsed.scenes)) == usable
    assert parsed.malformed == malformed


def test_the_question_names_trait_language_number_and_scenes_that_are_there() -> None:
    concept = ConceptConfig(name="calm", description="Calm is calm.", sentences="calm.csv", language="ar")
    question = draft_prompt(concept, 4, ["gate", "river"])
    for said in (
        "calm. Calm is calm.",
        "Write 4 scenes in Modern Standard Arabic",
        "Other scenes than these: gate, river",
    ):
        assert said in question
    assert "Other scenes" not in draft_prompt(concept, 4, [])
