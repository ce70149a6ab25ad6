"""Scores of explanations: what was shown to an explainer is never scored, an unread answer is never a wrong one, twins
differ in one attribute, and oracle explanations beat shuffled ones.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.chat.questions import Reply
from core.explain.aggregates import aggregates
from core.explain.scorers import Judging, score
from core.explain.twins import one_apart, twins
from core.study.catalogue import Scorer
from tests.core.explain.fakes import FakeBagOfWords, FakeRecorder, FakeRuleJudge, text_of
from tests.core.explain.planted_catalogue import Planted, derangement, explanations

ASKED = ("detection", "fuzz", "simulation", "intruder", "twins")


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted(scenes=40)


def scorer(kind: str) -> Scorer:
    return Scorer.model_validate({"name": kind, "kind": kind, "profile": "judge"})


def whole(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))


def test_what_an_explainer_saw_is_never_scored(world: Planted) -> None:
    """A prompt that stands among the examples of both uses is left out, and its captions are in no question."""
    told = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "explain"))
    leaked = pl.concat([world.windows, told.with_columns(use=pl.lit("score", world.windows.schema["use"]))])
    said = explanations(world.features[:1], ["red"], "oracle")
    captions = {"".join(tokens) for tokens in told["tokens"].to_list()}
    for kind in ("detection", "simulation", "intruder", "fuzz"):
        asked = FakeRuleJudge()
        with_leak = score(said, leaked, Judging(asked), world.about, scorer(kind))
        without = score(said, world.windows, Judging(FakeRuleJudge()), world.about, scorer(kind))
        assert with_leak.equals(without)
        text = "\n".join(text_of(one).replace("⟦", "").replace("⟧", "") for one in asked.questions)
        assert not [caption for caption in captions if caption in text]
    embedded = [
        score(said, one, Judging(embedder=FakeBagOfWords()), world.about, Scorer(name="e", kind="embedding"))
        for one in (leaked, world.windows)
    ]
    assert embedded[0].equals(embedded[1])


@pytest.mark.parametrize("kind", ASKED)
def test_an_answer_that_cannot_be_read_is_never_a_wrong_one(world: Planted, kind: str) -> None:
    said = explanations(world.features[:1], ["red"], "oracle")
    scores = whole(score(said, world.windows, Judging(FakeRecorder(lambda _: Reply("?"))), world.about, scorer(kind)))
    assert scores["value"].to_list() == [None] and scores["n"].to_list() == [0] and scores["n_failed"][0] > 0
    both = aggregates(scores, draws=20, seed=0)
    assert both["mean"].null_count() == both.height and both["n_failed"].to_list() == [scores["n_failed"][0]] * 2


def test_twins_differ_in_one_attribute_only(world: Planted) -> None:
    rows = {row["sample_id"]: row for row in world.samples.iter_rows(named=True)}
    table = world.about.pairs
    assert table is not None and table.height
    names = [name for name in world.samples.columns if name not in ("sample_id", "image_id", "image", "twin_id")]
    for row in table.iter_rows(named=True):
        one, other = rows[row["sample_stronger"]], rows[row["sample_weaker"]]
        differ = [name for name in names if not name.startswith("caption") and one[name] != other[name]]
        assert differ == [row["attribute"]]


def test_twins_of_an_explainers_examples_are_left_out(world: Planted) -> None:
    seen = set(world.windows.filter(pl.col("use") == "explain").select("feature_id", "sample_id").iter_rows())
    table = twins(one_apart(world.samples, None), world.examples, world.windows, world.samples, seed=1)
    for side in ("stronger", "weaker"):
        assert not seen & set(table.select("feature_id", f"sample_{side}").iter_rows())


@pytest.mark.parametrize("kind", ASKED)
def test_an_oracle_beats_shuffled_explanations_and_these_are_at_chance(world: Planted, kind: str) -> None:
    features = world.features[:13]
    oracle = [one.oracle for one in features]
    shuffled = [oracle[number] for number in derangement(len(oracle))]
    both = pl.concat([explanations(features, oracle, "oracle"), explanations(features, shuffled, "shuffled")])
    scores = whole(score(both, world.windows, Judging(FakeRuleJudge()), replace(world.about, draws=20), scorer(kind)))
    values = {name: scores.filter(pl.col("explainer") == name)["value"].to_numpy() for name in ("oracle", "shuffled")}
    chance = 0.0 if kind == "simulation" else 0.5
    assert np.nanmean(values["oracle"]) > np.nanmean(values["shuffled"]) + 0.2  # fuzz: the rule reads no Arabic
    assert abs(np.nanmean(values["shuffled"]) - chance) < 0.1


@pytest.mark.parametrize("kind", ASKED)
def test_a_judge_that_learns_places_is_at_chance(world: Planted, kind: str) -> None:
    """The same answer to every question of a kind: nothing is gained from where an example stands."""
    said = explanations(world.features, ["nothing"] * len(world.features), "none")
    answers = {"detection": "[0, 1, 0, 1, 1]", "fuzz": "[0, 1, 0, 1, 1]", "intruder": "1", "twins": "A"}

    def say(question: object) -> Reply:
        text = text_of(question)  # type: ignore[arg-type]
        if kind == "simulation":
            count = int(text.rpartition("for each of the ")[2].split(" ")[0])
            return Reply(f"[{', '.join(str(number % 7) for number in range(count))}]")
        return Reply(answers[kind])

    scores = whole(
        score(
            said, world.windows, Judging(FakeRecorder(say, pictures=False)), replace(world.about, draws=5), scorer(kind)
        )
    )
    chance = 0.0 if kind == "simulation" else 0.5
    assert scores.height and abs(np.nanmean(scores["value"].to_numpy().astype(float)) - chance) < 0.1


@pytest.mark.parametrize("kind", ["detection", "fuzz"])
def test_a_judge_that_learns_the_order_of_questions_is_at_chance(world: Planted, kind: str) -> None:
    """Yes to the first half of the questions about an explanation, no to the second."""

    class FakeOrder(FakeRuleJudge):
        def ask(self, questions, progress=None):  # type: ignore[no-untyped-def]
            counts = [text_of(one).rpartition("for each of the ")[2].split(" ")[0] for one in questions]
            first = [str(int(2 * place < len(counts))) for place in range(len(counts))]
            return [Reply(f"[{', '.join([one] * int(count))}]") for one, count in zip(first, counts, strict=True)]

    values = []
    for feature in world.features:
        said = explanations([feature], ["nothing"], "none")
        scores = score(said, world.windows, Judging(FakeOrder()), replace(world.about, draws=5), scorer(kind))
        values += whole(scores)["value"].to_list()
    assert abs(np.nanmean(np.array(values, dtype=float)) - 0.5) < 0.1
