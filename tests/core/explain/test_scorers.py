import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.questions import Picture, Question, Reply
from core.errors import BadInput
from core.explain.named import scorer_prompts
from core.explain.scorers import Judging, score
from core.explain.scorers.asking import read_list, read_word, read_yes_or_no
from core.explain.tables import SCORES
from core.study.catalogue import Scorer
from tests.core.explain.fakes import FakeBagOfWords, FakeRecorder, FakeRuleJudge, named_values, text_of
from tests.core.explain.planted_catalogue import Planted, explanations
from tests.core.explain.reading_marks import read_back

KINDS = ("detection", "fuzz", "simulation", "intruder", "twins")


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted(scenes=40)


def judged_by(kind: str, **fields: object) -> Scorer:
    return Scorer.model_validate({"name": kind, "kind": kind, "profile": "judge", **fields})


def says(text: str | None, pictures: bool = False) -> FakeRecorder:
    return FakeRecorder(lambda _: Reply(text), pictures)


def run(
    world: Planted, asked: object, kind: str, windows: pl.DataFrame | None = None, features: int = 2
) -> pl.DataFrame:
    chosen = world.features[:features]
    said = explanations(chosen, [one.oracle for one in chosen], "oracle")
    windows = world.windows if windows is None else windows
    return score(said, windows, Judging(asked), world.about, judged_by(kind))  # type: ignore[arg-type]


def examples(question: Question) -> list[str]:
    return re.split(r"^Example \w+: ", text_of(question), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [None, "", "I cannot say.", "[1, 0", "[2, 3]", "99", "[0.5, maybe]"])
def test_what_cannot_be_read_is_failed_and_never_wrong(world: Planted, kind: str, answer: str | None) -> None:
    scores = run(world, says(answer), kind)
    assert scores.height and scores.schema == SCORES
    assert scores["value"].null_count() == scores.height and scores["n"].sum() == 0 and scores["n_failed"].min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_answer_takes_its_examples_out_and_nothing_else(world: Planted, kind: str) -> None:
    class FakeOftenMute(FakeRuleJudge):
        def ask(self, questions, progress=None):  # type: ignore[no-untyped-def]
            replies = super().ask(questions)
            return [Reply(None, "time-out") if number % 3 == 0 else one for number, one in enumerate(replies)]

    def whole(scores: pl.DataFrame) -> pl.DataFrame:
        return scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))

    some, full = whole(run(world, FakeOftenMute(), kind)), whole(run(world, FakeRuleJudge(), kind))
    assert (some["n"] + some["n_failed"]).to_list() == full["n"].to_list()
    assert full["n_failed"].sum() == 0 and some["n_failed"].min() > 0
    if kind in ("detection", "twins"):
        assert some["value"].to_list() == full["value"].to_list() == [1.0, 1.0]


def test_detection_sees_every_example_once_in_an_order_that_tells_nothing(world: Planted) -> None:
    asked = FakeRuleJudge()
    run(world, asked, "detection", features=1)
    own = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "score"))
    told = [one.splitlines()[0] for question in asked.questions for one in examples(question)]
    texts = [" ".join("".join(tokens).split()) for tokens in own["tokens"].to_list()]
    assert sorted(told) == sorted(texts) and told != texts
    fires = dict(zip(texts, (own["kind"] == "quantile").to_list(), strict=True))
    runs = [fires[one] for one in told]
    assert any(runs[:20]) and not all(runs[:20])
    assert not any("⟦" in one for one in told)


def test_the_same_seed_asks_the_same_and_another_asks_in_another_order(world: Planted) -> None:
    questions: list[list[Question]] = []
    for seed in (0, 0, 1):
        asked = FakeRuleJudge()
        said = explanations(world.features[:1], ["red"], "oracle")
        score(said, world.windows, Judging(asked), replace(world.about, seed=seed), judged_by("detection"))
        questions.append(asked.questions)
    assert questions[0] == questions[1] != questions[2]


def test_fuzz_marks_exactly_the_active_tokens_or_as_many_others(world: Planted) -> None:
    asked = FakeRuleJudge()
    run(world, asked, "fuzz", features=1)
    own = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "score"))
    right: dict[str, set[tuple[str, ...]]] = {}
    for row in own.filter(pl.col("kind") == "quantile").iter_rows(named=True):
        active = tuple(token for token, value in zip(row["tokens"], row["values"], strict=True) if value > 0)
        right.setdefault("".join(row["tokens"]), set()).add(active)
    seen: dict[str, list[bool]] = {}
    for question in asked.questions:
        texts = [read_back(one.splitlines()[0]) for one in examples(question)]
        plain = ["".join(token for token, _ in stretches) for stretches in texts]
        assert len(set(plain)) == len(plain)
        for text, stretches in zip(plain, texts, strict=True):
            marked = tuple(token for token, active in stretches if active)
            assert len(marked) == 1
            if text in right:
                seen.setdefault(text, []).append(marked in right[text])
    assert set(seen) == set(right) and all(sorted(ways) == [False, True] for ways in seen.values())


def test_fuzz_leaves_out_what_has_nothing_to_mark(world: Planted) -> None:
    image_alone = world.windows.with_columns(
        tokens=pl.lit([], pl.List(pl.String)), values=pl.lit([], pl.List(pl.Float32))
    )
    asked = FakeRuleJudge()
    assert run(world, asked, "fuzz", image_alone).is_empty() and not asked.questions
    assert run(world, asked, "simulation", image_alone).is_empty()
    assert run(world, asked, "detection", image_alone).height


def test_simulation_asks_for_a_number_per_token_and_correlates_all_tokens_together(world: Planted) -> None:
    def perfect(question: Question) -> Reply:
        tokens = [line.partition(": ")[2] for line in text_of(question).splitlines() if re.match(r"\d+: ", line)]
        return Reply(f"[{', '.join('10' if named_values(token) & {('colour', 'red')} else '0' for token in tokens)}]")

    english = world.windows.filter(pl.col("language") == "en")
    scores = run(world, FakeRecorder(perfect), "simulation", english, features=1)
    whole = scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))
    rows = english.filter((pl.col("feature_id") == 0) & (pl.col("use") == "score"))
    truth = np.concatenate([np.array(values) for values in rows["values"].to_list()])
    said = np.array([token.strip() == "red" for tokens in rows["tokens"].to_list() for token in tokens])
    assert whole["value"][0] == pytest.approx(np.corrcoef(truth, said)[0, 1], abs=1e-6)
    assert whole["n"][0] == rows.height and whole["low"][0] <= whole["value"][0] <= whole["high"][0]


def test_an_intruder_stands_among_firing_examples_of_one_quantile(world: Planted) -> None:
    asked = FakeRuleJudge()
    scores = run(world, asked, "intruder", features=1)
    own = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "score"))
    texts = {"".join(row["tokens"]): row["quantile"] for row in own.iter_rows(named=True)}
    places = []
    for question in asked.questions:
        plain = ["".join(token for token, _ in read_back(one.splitlines()[0])) for one in examples(question)]
        quantiles = [texts[one] for one in plain]
        assert len(plain) == 5 and quantiles.count(None) == 1 and len(set(quantiles) - {None}) == 1
        places.append(quantiles.index(None))
    assert len(set(places)) > 2
    hits = scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))
    assert hits["n"][0] == own.filter(pl.col("kind") != "quantile").height and hits["metric"][0] == "balanced_accuracy"


def test_a_judge_that_reads_pictures_gets_each_untouched_and_no_map(world: Planted) -> None:
    asked = says("[1, 0, 1, 0, 1]", pictures=True)
    run(world, asked, "detection", features=1)
    for question in asked.questions:
        assert sum(isinstance(part, Picture) for part in question.parts) == len(examples(question))
        assert "Known of its picture" not in text_of(question) and "map" not in text_of(question)


def test_quantiles_random_and_hard_examples_and_languages_are_told_apart(world: Planted) -> None:
    table = run(world, FakeRuleJudge(), "detection", features=1)
    scores = table.with_columns(pl.col("example_kind", "language").cast(pl.String))
    counts = {row[:2]: row[2] for row in scores.select("example_kind", "language", "n").iter_rows()}
    assert {kind for kind, _ in counts} == {"all", *(f"quantile_{number}" for number in (1, 2, 3, 4)), "random", "hard"}
    own = world.windows.filter((pl.col("feature_id") == 0) & (pl.col("use") == "score"))
    firing, silent = own.filter(pl.col("kind") == "quantile"), own.filter(pl.col("kind") != "quantile")
    assert counts["all", "all"] == own.height == counts["all", "en"] + counts["all", "ar"]
    assert counts["quantile_4", "all"] == firing.filter(pl.col("quantile") == 4).height + silent.height
    assert counts["hard", "all"] == firing.height + silent.filter(pl.col("kind") == "hard").height
    assert scores["prompt_version"].unique().to_list() == list(scorer_prompts(judged_by("detection")))


@pytest.mark.parametrize("mutate", [lambda text: None, lambda text: "[]"])
def test_an_explanation_that_failed_has_no_score(world: Planted, mutate: Callable[[str], str | None]) -> None:
    said = explanations(world.features[:2], ["red", "yellow"], "oracle").with_columns(
        text=pl.when(pl.col("feature_id") == 0).then(None).otherwise("text")
    )
    scores = score(said, world.windows, Judging(says(mutate(""))), world.about, judged_by("detection"))
    assert scores["feature_id"].unique().to_list() == [1]


def test_what_a_scorer_needs_and_lacks_is_said_in_a_line(world: Planted) -> None:
    said = explanations(world.features[:1], ["red"], "oracle")
    with pytest.raises(BadInput, match="detection needs a judge"):
        score(said, world.windows, Judging(), world.about, judged_by("detection"))
    with pytest.raises(BadInput, match="embedding without a judge needs an embedder"):
        score(said, world.windows, Judging(), world.about, Scorer(name="embedding", kind="embedding"))
    with pytest.raises(BadInput, match="no samples to find twins among"):
        about = replace(world.about, pairs=None)
        score(said, world.windows, Judging(FakeRuleJudge()), about, judged_by("twins"))


def test_embedding_compares_text_and_what_is_known_of_the_picture(world: Planted) -> None:
    said = explanations(world.features[:2], [one.oracle for one in world.features[:2]], "oracle")
    scorer = Scorer(name="embedding", kind="embedding")
    scores = score(said, world.windows, Judging(embedder=FakeBagOfWords()), world.about, scorer)
    whole = scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))
    assert whole["value"].min() > 0.9 and whole["judge"].to_list() == ["fake-bag-of-words"] * 2
    assert whole["metric"].to_list() == ["auroc"] * 2 and scores["prompt_version"].unique().to_list() == [""]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=9), st.text("ab [1\n", max_size=8))
def test_the_last_list_of_an_answer_counts(numbers: list[int], before: str) -> None:
    assert read_yes_or_no(f"{before}\n{numbers}", len(numbers)) == [(float(number),) for number in numbers]
    assert read_yes_or_no(f"{before}\n{numbers}", len(numbers) + 1) is None


def test_numbers_out_of_range_and_thoughts_do_not_count() -> None:
    assert read_list("[0, 10, 3.5]", 0, 10) == [0, 10, 3.5]
    assert read_list("[0, 11]", 0, 10) is None and read_list("[]", 0, 10) is None and read_list("[-1]", 0, 10) is None
    assert read_list("<think>[1]</think>", 0, 10) is None


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("It has a beach.\nAnswer: B", "B"),
        ("**3**", "3"),
        ("Example 4", "4"),
        ("The answer is A", "A"),
        ("A beach is in both", None),
        ("A or B", None),
        ("", None),
        ("<think>A", None),
    ],
)
def test_one_letter_or_number_is_read_from_the_last_line(answer: str, word: str | None) -> None:
    assert read_word(answer) == word


def test_an_explanation_in_another_language_is_scored_on_its_own(world: Planted) -> None:
    english = explanations(world.features[:1], ["red"], "oracle")
    both = pl.concat([english, english.with_columns(language=pl.lit("ar"), text=pl.lit("blue"))])
    scores = score(both, world.windows, Judging(FakeRuleJudge()), world.about, judged_by("detection"))
    whole = scores.filter((pl.col("example_kind") == "all") & (pl.col("language") == "all"))
    values = dict(whole.select(pl.col("explainer").cast(pl.String), "value").iter_rows())
    assert values["oracle"] == 1.0 and values["oracle:ar"] <= 0.5


def test_without_explanations_nothing_is_embedded(world: Planted) -> None:
    none = explanations([], [], "oracle")
    scorer = Scorer(name="embedding", kind="embedding")
    assert score(none, world.windows, Judging(embedder=FakeBagOfWords()), world.about, scorer).is_empty()


def test_without_draws_there_are_values_and_no_intervals(world: Planted) -> None:
    said = explanations(world.features[:1], ["red"], "oracle")
    judging = Judging(FakeRuleJudge(), FakeBagOfWords())
    for kind in (*KINDS, "embedding"):
        some, none = (
            score(said, world.windows, judging, replace(world.about, draws=draws), judged_by(kind)) for draws in (20, 0)
        )
        assert none["value"].to_list() == some["value"].to_list()
        assert none["low"].null_count() == none["high"].null_count() == none.height
