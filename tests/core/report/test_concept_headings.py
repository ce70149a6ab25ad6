"""Tables of a scan's report say in words what their columns and rows are."""

import polars as pl
import pytest

from core.concepts.beside import FEATURE
from core.concepts.output_score import OUTPUT_SCORES
from core.concepts.ranking import rank_concept
from core.report.concept.headings import HEADINGS, view
from core.study.concept_scan import RankingSettings
from tests.core.concepts.planted_sentences import scan


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    settings = RankingSettings(top=5, permutations=200, resamples=5, bootstrap=20)
    return dict(rank_concept(*scan(0, planted=True), settings).tables)


def test_contrasts_and_directions_are_named(tables: dict[str, pl.DataFrame]) -> None:
    shown = view("baselines", "Method by method", tables["baselines"].filter(method=FEATURE))
    assert [row[0].striptags() for row in shown.rows] == ["AUROC, 3 against 0", "AUROC, 2–3 against 0–1"]
    assert "AUROC, held-out" in [column.heading for column in shown.columns]
    scores = pl.DataFrame({"sae": ["a", "b"], "sign": [1, -1]}, schema_overrides={"sign": pl.Int8})
    assert [row[1].striptags() for row in view("output_scores", "Scores", scores).rows] == ["added", "taken away"]


def test_headings_are_of_columns_that_the_tables_have(tables: dict[str, pl.DataFrame]) -> None:
    for name in ("top_features", "baselines", "comparisons", "permutation"):
        assert set(HEADINGS[name]) <= set(tables[name].columns)
    assert set(HEADINGS["output_scores"]) <= set(OUTPUT_SCORES.names())
    shown = tables["top_features"].select("feature", "q_spearman", "auroc_3_0_held_out", "auroc_3_0_held_out_low")
    headings = [column.heading for column in view("top_features", "The best", shown).columns]
    assert headings == ["Feature", "q", "AUROC 3 against 0, held-out", "95 % from"]
