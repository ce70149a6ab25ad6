"""How often captions change gender is compared with random features, paired by image; alone it claims nothing."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import core.analysis.qualitative.run as analysis
from core.analysis.qualitative import Config
from core.analysis.qualitative.findings import estimates
from core.analysis.qualitative.gender_changes import (
    CHANGES,
    DIFFERENCES,
    changes_by_image,
    differences,
    gender_changes,
)
from core.causal.interventions import Ablation, Steering
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.report.sentences import sentence
from core.stats.intervals import bootstrap_mean, wilson

SAID = {
    "en": {"female": "a woman sings", "male": "a man sings", "none": "a dog sings"},
    "ar": {"female": "امرأة تغني", "male": "رجل يغني", "none": "كلب كبير"},
}
IMAGES = 24


def caption(image: int, language: str = "en", **after: Any) -> dict[str, Any]:
    """A woman's caption; `after` are the sides that each condition speaks of, a string a random set ("f" or "m")."""
    said = SAID[language]
    sides = {"f": "female", "m": "male", "n": "none"}
    written = {name: said[sides[one]] for name, one in after.items() if not name.startswith("random")}
    for name in ("random", "random_amplified"):
        written[name] = [said[sides[one]] for one in after.get(name, "fff")]  # type: ignore[assignment]
    unchanged = {"ablated": said["female"], "amplified": said["female"]}
    return {"image_id": f"i{image:02d}", "language": language, "clean": said["female"], **unchanged, **written}


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    lists = {name: pl.List(pl.String) for name in ("random", "random_amplified")}
    return changes_by_image(pl.DataFrame(list(rows), schema_overrides=lists))


def each(images: Sequence[str]) -> np.ndarray:
    return np.arange(len(images))


def compare(rows: Sequence[dict[str, Any]], units: Any = each, seed: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    found = differences(table(rows), units, seed)
    assert found.schema == DIFFERENCES
    return {(row["language"], row["condition"]): row for row in found.iter_rows(named=True)}


def planted(changed: int, random: int = 2) -> list[dict[str, Any]]:
    """Captions of 24 images: the first `changed` change when features are ablated, the last `random` in random sets."""
    return [
        caption(n, ablated="m" if n < changed else "f", random="mff" if n >= IMAGES - random else "fff")
        for n in range(IMAGES)
    ]


def test_captions_are_labelled_in_their_own_language() -> None:
    rows = [caption(n, language, ablated="m") for n in range(3) for language in ("en", "ar")]
    found = gender_changes(table(rows)).filter(condition="ablated")
    assert found.schema == CHANGES
    assert {row["language"]: (row["rate"], row["images"]) for row in found.rows(named=True)} == {
        "en": (1, 3),
        "ar": (1, 3),
    }


def test_only_the_other_gender_is_a_change_and_only_captions_of_one_gender_count() -> None:
    rows = [caption(0, ablated="m"), caption(1, ablated="n"), caption(2, ablated="f")]
    rows.append({**caption(3, ablated="m"), "clean": SAID["en"]["none"]})
    row = gender_changes(table(rows)).filter(condition="ablated").row(0, named=True)
    assert (row["images"], row["rate"]) == (3, pytest.approx(1 / 3))
    assert (row["low"], row["high"]) == pytest.approx((wilson(1, 3).low, wilson(1, 3).high))


def test_captions_of_one_image_are_averaged_before_images_are() -> None:
    rows = [caption(0, ablated="m", random="mmf") for _ in range(9)] + [caption(n) for n in range(1, 4)]
    row = gender_changes(table(rows)).filter(condition="ablated").row(0, named=True)
    assert (row["rate"], row["images"], row["captions"]) == (pytest.approx(1 / 4), 4, 12)
    found = compare(rows)["en", "ablated"]
    assert (found["images"], found["rate"], found["random"]) == (4, pytest.approx(1 / 4), pytest.approx(1 / 6))


def test_the_difference_is_paired_by_image() -> None:
    """Images that change whatever is done are no evidence, however many there are."""
    rows = [caption(n, ablated="m", random="mmm") for n in range(20)] + [caption(20, ablated="m")]
    found = compare(rows)["en", "ablated"]
    paired = np.array([0.0] * 20 + [1.0])
    expected = bootstrap_mean(paired, 1000, 0)
    assert (found["low"], found["difference"], found["high"]) == pytest.approx(tuple(expected))
    assert found["p"] == 1


def test_random_sets_are_averaged_and_compared_with_one_another() -> None:
    rows = [caption(n, ablated="m", random="mff" if n < 6 else "fmf" if n < 9 else "fff") for n in range(24)]
    found = compare(rows)["en", "ablated"]
    rates = np.array([6, 3, 0]) / 24
    between = [rates[0] - rates[1:].mean(), rates[1] - rates[[0, 2]].mean(), rates[2] - rates[:2].mean()]
    assert found["sets"] == 3 and found["random"] == pytest.approx(rates.mean())
    assert found["difference"] == pytest.approx(1 - rates.mean())
    assert (found["control_low"], found["control_high"]) == pytest.approx(np.quantile(between, [0.025, 0.975]))
    assert found["control"] == pytest.approx(0)


def test_each_intervention_has_its_own_control() -> None:
    rows = [caption(n, ablated="m", amplified="m", random="fff", random_amplified="mmm") for n in range(12)]
    found = compare(rows)
    assert found["en", "ablated"]["difference"] == 1
    assert found["en", "amplified"]["difference"] == 0
    assert found["en", "ablated"]["q"] == pytest.approx(2 * found["en", "ablated"]["p"])


def test_twins_are_one_unit() -> None:
    rows = planted(12)

    def pairs(images: Sequence[str]) -> np.ndarray:
        return np.array([int(image[1:]) // 2 for image in images])

    single, tied = compare(rows)["en", "ablated"], compare(rows, pairs)["en", "ablated"]
    assert tied["high"] - tied["low"] > 1.2 * (single["high"] - single["low"])
    assert tied["p"] > single["p"]


def test_p_is_two_sided_and_never_below_what_the_flips_can_tell() -> None:
    up = compare(planted(24, random=0))["en", "ablated"]
    down = compare([caption(n, random="mmm") for n in range(24)])["en", "ablated"]
    assert up["p"] == pytest.approx(1 / (up["draws"] + 1))
    assert down["difference"] == -1 and down["p"] == pytest.approx(up["p"])
    assert compare([caption(n, ablated="m") for n in range(4)])["en", "ablated"]["p"] > 0.05


def test_draws_come_from_the_seed_that_is_given() -> None:
    first, again, other = (compare(planted(9), seed=seed)["en", "ablated"] for seed in (0, 0, 7))
    assert first == again
    assert (first["low"], first["high"], first["p"]) != (other["low"], other["high"], other["p"])


def inputs() -> AnalysisInputs:
    nothing: Any = None
    return AnalysisInputs(pl.DataFrame(), Path("x"), None, (2,), ("en",), nothing, nothing, {}, concept=THE_CONCEPT)


def said(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_image = table(rows)
    tables = {"changes": gender_changes(by_image), "differences": differences(by_image, each, 0)}
    done = {("en", name): f"2 features {name}" for name in ("ablated", "amplified")}
    found = estimates(tables, inputs(), 2, done)
    for one in found:
        entry = tables[one.source.table].filter(**one.source.key)[one.source.column]
        assert entry.to_list() == [one.value]
        assert one.answers and one.layer == 2 and one.language == "en" and one.n == IMAGES
    return {one.name: one for one in found}


def test_a_change_that_random_features_do_not_make_is_found() -> None:
    found = said(planted(18))
    assert found["changed.ablated.en"].verdict == "found"
    assert found["changed.amplified.en"].verdict == "not found"
    assert found["changed.ablated.en"].control.draws == 3


def test_a_change_that_random_features_make_as_often_is_not_found() -> None:
    rows = [caption(n, ablated="m" if n % 2 else "f", random="mmf" if (n // 2) % 2 else "fff") for n in range(IMAGES)]
    assert said(rows)["changed.ablated.en"].verdict == "not found"


def test_without_a_random_set_nothing_is_claimed() -> None:
    found = said([caption(n, ablated="m", random="", random_amplified="") for n in range(IMAGES)])
    assert set(found) == {"rate.ablated.en", "rate.amplified.en"}
    assert found["rate.ablated.en"].verdict == "not tested"
    assert sentence(found["rate.ablated.en"]).startswith("Measured")


def test_one_random_set_gives_no_verdict_beyond_weak() -> None:
    rows = [caption(n, ablated="m", random="f", random_amplified="f") for n in range(IMAGES)]
    assert said(rows)["changed.ablated.en"].verdict == "weak"


CHOSEN, TOWARD = (7, 3), torch.tensor([3.0, 4.0, 0.0])
SETS = ((1, 2), (4, 5))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is asked for while the gallery is planned; random vectors have other lengths than the chosen one."""
    seen: dict[str, Any] = {}

    def controls(opened: Any, chosen: Any, draws: int, seed: int) -> Any:
        seen.update(chosen=chosen, draws=draws, seed=seed)
        return SimpleNamespace(draws=SETS)

    def vector(opened: Any, features: Any, signs: Any) -> torch.Tensor:
        seen.setdefault("signs", signs)
        return TOWARD if features == CHOSEN else torch.tensor([0.0, 0.0, 50.0 if features == SETS[0] else 0.1])

    monkeypatch.setattr(analysis, "matched_controls", controls)
    monkeypatch.setattr(analysis, "feature_vector", vector)
    monkeypatch.setattr(analysis, "word_ends", lambda loaded: None)
    return seen


def plan(asked: dict[str, Any]) -> Any:
    ranking = SimpleNamespace(
        strongest=lambda: [7, 3, 8, 9], signs=lambda features: [1 if f == 7 else -1 for f in features]
    )
    opened = SimpleNamespace(layer=2, ranking=ranking, sae=None, table=SimpleNamespace(norm_limit=9.0))
    nothing: Any = None
    fields = (pl.DataFrame(), Path("x"), None, (2,), ("en",), lambda layer: opened, lambda: nothing, {}, 5)
    return analysis._plan(AnalysisInputs(*fields, concept=THE_CONCEPT), Config(layer=2, features=2, random_sets=2))  # type: ignore[arg-type]


def test_the_features_that_rank_first_are_compared_with_matched_sets_of_the_studys_seed(asked: dict[str, Any]) -> None:
    planned = plan(asked)
    assert (planned.features, planned.random) == (CHOSEN, SETS)
    assert asked == {"chosen": CHOSEN, "draws": 2, "seed": 5, "signs": [1, -1]}


def test_random_vectors_are_as_long_as_the_chosen_one(asked: dict[str, Any]) -> None:
    planned = plan(asked)
    assert planned.toward_female.equal(TOWARD)
    assert [float(vector.norm()) for vector in planned.random_vectors] == pytest.approx([5, 5])


def test_each_condition_writes_with_its_own_features_and_away_from_the_clean_caption(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = ["a woman sings", "a man sings", "a dog sings"]

    def generate(loaded: Any, prompts: list[int], most: int, force: Any = None) -> list[str]:
        patch = None if force is None else force.change
        said = f"ablated {patch.features}" if isinstance(patch, Ablation) else None
        if isinstance(patch, Steering):
            said = f"added {[round(float(x), 2) for x in patch.vector]}"
        return [said or clean[prompt] for prompt in prompts]

    shared = "core.causal.written"
    monkeypatch.setattr(f"{shared}.generate", generate)
    monkeypatch.setattr(f"{shared}.during_generation", lambda sae, patch, limit: patch)
    monkeypatch.setattr(f"{shared}.Intervention", lambda layer, change: SimpleNamespace(layer=layer, change=change))
    pairs: Any = [SimpleNamespace(caption=SimpleNamespace(language="en"), sign=sign) for sign in (1, 1, -1)]
    texts = analysis._captions(plan(asked), pairs, [0, 1, 2], 2.0, 10)  # type: ignore[list-item]
    assert texts["clean"] == clean
    assert texts["ablated"] == ["ablated (7, 3)"] * 3
    toward_male, toward_female = "added [-6.0, -8.0, -0.0]", "added [6.0, 8.0, 0.0]"
    assert texts["amplified"] == [toward_male, toward_female, toward_male]
    assert texts["random"] == [["ablated (1, 2)", "ablated (4, 5)"]] * 3
    assert texts["random_amplified"][1] == ["added [0.0, 0.0, 10.0]"] * 2
    assert texts["random_amplified"][0] == ["added [-0.0, -0.0, -10.0]"] * 2
