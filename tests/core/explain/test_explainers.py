import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from core.chat.questions import Picture, Question, Reply
from core.errors import BadInput
from core.explain.about import About
from core.explain.explainers import NEVER_FIRES, explain
from core.explain.explainers.enriched_words import enriched, words_of
from core.explain.explainers.saying import read_answer
from core.explain.named import explainer_prompts
from core.explain.tables import EXPLANATIONS, WINDOWS
from core.features.influence import PROMOTED
from core.pictures import BrokenImage
from core.study.catalogue import Explainer
from tests.core.explain.fakes import FakeRecorder, text_of
from tests.core.explain.planted_catalogue import Planted
from tests.core.explain.reading_marks import read_back

CHAT = Explainer(name="llama", kind="chat", profile="llama")


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted(scenes=30)


def of(world: Planted, *features: int) -> About:
    return replace(world.about, features=features)


def says(text: str | None, failure: str = "") -> FakeRecorder:
    return FakeRecorder(lambda _: Reply(text, failure, 120, 7))


def opened(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"), dtype=int)


def test_a_model_that_reads_pictures_sees_each_beside_the_same_under_its_map(world: Planted) -> None:
    asked = says("Explanation: red things")
    table = explain(asked, world.windows, of(world, 0), CHAT)
    assert table.schema == EXPLANATIONS and table["text"].to_list() == ["red things"]
    (question,) = asked.questions
    pictures = [part for part in question.parts if isinstance(part, Picture)]
    shown = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "explain"))
    assert len(pictures) == 2 * shown.height
    for plain, mapped in zip(pictures[::2], pictures[1::2], strict=True):
        first, second = opened(plain), opened(mapped)
        assert first.shape == second.shape and (first != second).any()
    scene = np.asarray(world.open(shown["image"][0]).convert("RGB"), dtype=int)
    scale = opened(pictures[0]).shape[0] // scene.shape[0]
    untouched = [opened(plain)[scale // 2 :: scale, scale // 2 :: scale] for plain in pictures[::2]]
    assert min(np.abs(one - scene).mean() for one in untouched) < 6
    assert "Known of its picture" not in text_of(question) and table["prompt"][0].count("[picture]") == len(pictures)


def test_the_map_is_red_where_the_feature_fires(world: Planted) -> None:
    asked = says("x")
    explain(asked, world.windows, of(world, 0), CHAT)
    second = [opened(part) for part in asked.questions[0].parts if isinstance(part, Picture)][1]
    side = len(second) // 4
    hot, cold = second[: side // 2, : side // 2], second[-side:, -side:]
    assert hot[..., 0].mean() > hot[..., 2].mean() + 60 and abs(cold[..., 0].mean() - cold[..., 2].mean()) < 60


def test_a_picture_in_which_the_feature_does_not_fire_has_no_map(world: Planted) -> None:
    cold = world.windows.with_columns(map_cells=pl.lit([0.0] * 16, pl.List(pl.Float32)))
    asked = says("x")
    explain(asked, cold, of(world, 0), CHAT)
    told = text_of(asked.questions[0])
    pictures = sum(isinstance(part, Picture) for part in asked.questions[0].parts)
    assert pictures == told.count("Its picture, in which the feature does not fire: ") > 0
    assert "The picture with its map" not in told


def test_a_model_that_reads_text_alone_gets_the_attributes_in_place_of_pictures(world: Planted) -> None:
    asked = FakeRecorder(lambda _: Reply("x"), pictures=False)
    explain(asked, world.windows, of(world, 0), CHAT)
    (question,) = asked.questions
    assert all(isinstance(part, str) for part in question.parts)
    lines = [line for line in text_of(question).splitlines() if line.startswith("Known of its picture")]
    assert lines and all("colour: red" in line for line in lines)


def test_examples_are_marked_where_the_feature_fires_and_say_how_strongly(world: Planted) -> None:
    asked = FakeRecorder(lambda _: Reply("x"), pictures=False)
    explain(asked, world.windows, of(world, 0), CHAT)
    shown = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "explain"))
    lines = text_of(asked.questions[0]).splitlines()
    told = {line.partition(": ")[2] for line in lines if line.startswith("Example ")}
    for row in shown.iter_rows(named=True):
        text = "".join(row["tokens"])
        own = next(line for line in told if "".join(token for token, _ in read_back(line)) == text)
        marked = [token for token, active in read_back(own) if active]
        assert marked == [token for token, value in zip(row["tokens"], row["values"], strict=True) if value > 0]
    steps = [int(line.rpartition(" ")[2]) for line in lines if line.startswith("Strengths: ")]
    assert len(steps) == shown.height and max(steps) == 10 and min(steps) >= 1


def test_a_feature_that_never_fires_fails_without_a_question(world: Planted) -> None:
    asked = says("x")
    table = explain(asked, world.windows.filter(pl.col("feature_id") == 0), of(world, 0, 999), CHAT)
    assert len(asked.questions) == 1
    assert table.select("feature_id", "text", "failure").rows() == [(0, "x", None), (999, None, NEVER_FIRES)]
    assert table["prompt"][1] == "" and table["raw_answer"][1] is None


def test_prompts_answers_and_tokens_are_kept(world: Planted) -> None:
    table = explain(says('Explanation: "red"'), world.windows, of(world, 0), CHAT)
    row = table.row(0, named=True)
    assert row["raw_answer"] == 'Explanation: "red"' and row["text"] == "red"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (120, 7)
    assert "Example 1: " in row["prompt"] and row["llm_explainer"] == "fake-recorder"
    assert (row["prompt_version"],) == explainer_prompts(CHAT)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("", "empty answer"),
        (" \n ", "empty answer"),
        ("Explanation:", "empty answer"),
        ("<think>red? blue?", "empty answer"),
        ("I'm sorry, but I can't help with that.", "refused: I'm sorry, but I can't help with that."),
        ("Explanation: I cannot answer", "refused: I cannot answer"),
        ("عذرا، لا أستطيع ذلك", "refused: عذرا، لا أستطيع ذلك"),
    ],
)
def test_a_refusal_and_an_empty_answer_are_failures(world: Planted, answer: str, failure: str) -> None:
    row = explain(says(answer), world.windows, of(world, 0), CHAT).row(0, named=True)
    assert (row["text"], row["failure"], row["raw_answer"]) == (None, failure, answer)


def test_a_question_that_was_not_answered_is_a_failure(world: Planted) -> None:
    row = explain(says(None, "time-out"), world.windows, of(world, 0), CHAT).row(0, named=True)
    assert (row["text"], row["failure"], row["raw_answer"]) == (None, "time-out", None)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("red things", "red things"),
        ("Explanation: red\nthings", "red"),
        ("<think>Explanation: blue</think>\n**Explanation:** red things", "red things"),
        ("Let me see.\nExplanation: sorry faces", "sorry faces"),
        ("cannot is the word that it fires on", "cannot is the word that it fires on"),
    ],
)
def test_the_explanation_is_read_out_of_the_answer(answer: str, text: str) -> None:
    assert read_answer(answer) == (text, None)


def test_an_explanation_per_language_is_asked_for_in_that_language(world: Planted) -> None:
    asked = says("Explanation: x")
    both = CHAT.model_copy(update={"languages": ("en", "ar")})
    table = explain(asked, world.windows, of(world, 0), both)
    assert table["language"].to_list() == ["en", "ar"] and table["prompt_version"].n_unique() == 2
    assert "أجب بالعربية" in text_of(asked.questions[1]) and "أجب بالعربية" not in text_of(asked.questions[0])


def promoted(feature: int) -> pl.DataFrame:
    rows = [
        (feature, way, rank, rank, token, 1.0)
        for way, tokens in (("promoted", [" red", "  ", " scarlet"]), ("suppressed", [" blue"]))
        for rank, token in enumerate(tokens, 1)
    ]
    return pl.DataFrame(rows, schema=PROMOTED, orient="row")


def test_promoted_tokens_are_told_without_a_model_and_by_one(world: Planted) -> None:
    about = replace(of(world, 0, 1), promoted=promoted(0))
    plain = explain(None, world.windows, about, Explainer(name="promoted", kind="promoted"))
    assert plain["text"].to_list() == ["makes these tokens more likely: red, scarlet", None]
    assert plain["failure"].to_list() == [None, "promotes no known token"]
    assert plain["llm_explainer"].unique().to_list() == ["promoted"]
    asked = says("Explanation: red hues")
    told = explain(asked, world.windows, about, CHAT.model_copy(update={"of": "promoted"}))
    assert told["text"].to_list() == ["red hues", None] and told["explanation_method"][0] == "promoted"
    text = text_of(asked.questions[0])
    assert len(asked.questions) == 1 and "More likely: ` red`, ` scarlet`" in text and "Less likely: ` blue`" in text


def test_what_an_explainer_needs_and_lacks_is_said_in_a_line(world: Planted) -> None:
    with pytest.raises(BadInput, match="explainers: llama: a chat explainer needs a model"):
        explain(None, world.windows, world.about, CHAT)
    with pytest.raises(BadInput, match="what its features promote is not known"):
        explain(None, world.windows, world.about, Explainer(name="promoted", kind="promoted"))


def test_enriched_words_are_those_that_examples_have_and_others_lack(world: Planted) -> None:
    table = explain(None, world.windows, world.about, Explainer(name="words", kind="enriched_words"))
    told = dict(table.select("feature_id", "text").iter_rows())
    found = [told[one.number] is not None and one.value in told[one.number].split(", ") for one in world.features]
    assert sum(found) > 0.7 * len(found)
    red, blue, the = (words_of([text]) for text in ("the red ball", "the blue bag", "the"))
    assert enriched([red] * 9, [blue] * 90)[0] in ("red", "ball")
    assert enriched([], []) == [] and enriched([the], [the]) == []


def test_words_on_which_the_feature_fires_are_enriched_though_all_texts_have_them() -> None:
    tokens = ["a", " tired", " man", " مت", "عب", "ة"]
    assert words_of(tokens, [3, 4]) == ({"a", "tired", "man", "متعبة"}, {"متعبة"})
    assert enriched([words_of(tokens, [1])] * 20, [words_of(tokens)] * 200) == ["tired"]


def test_without_captions_words_are_held_against_other_features_examples(world: Planted) -> None:
    bare = replace(world.about, samples=world.samples.clear())
    table = explain(None, world.windows, bare, Explainer(name="words", kind="enriched_words"))
    assert table["text"].null_count() < table.height
    alone = replace(bare, features=(0,))
    own = explain(
        None, world.windows.filter(pl.col("feature_id") == 0), alone, Explainer(name="w", kind="enriched_words")
    )
    assert own["text"][0].split(", ")[0] == "red"  # of the words of its own examples, those on which it fires


def test_a_picture_that_cannot_be_opened_is_left_out(world: Planted) -> None:
    def broken(name: str) -> Image.Image:
        raise BrokenImage("the file is missing")

    asked = says("x")
    explain(asked, world.windows, replace(of(world, 0), open_picture=broken), CHAT)
    assert not [part for part in asked.questions[0].parts if isinstance(part, Picture)]


def test_examples_for_scorers_are_not_shown(world: Planted) -> None:
    asked: list[Question] = []
    for windows in (world.windows, world.windows.filter(pl.col("use") == "explain")):
        recorder = says("x")
        explain(recorder, windows, of(world, 0), CHAT)
        asked += recorder.questions
    assert asked[0] == asked[1]
    assert world.windows.schema == WINDOWS
