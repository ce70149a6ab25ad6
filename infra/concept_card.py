"""How far length and words alone give away the labels of the shipped sentences: `python -m infra.concept_card`."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from core.concepts.sentences import read_sentences
from core.planning.concept_file import load_concept, sentences_path

FOLDER = Path(__file__).resolve().parents[1] / "deployments" / "concepts"
FOLDS, SHUFFLES = 5, 5
HEAD = "| concept | sentences | families | words (min, median, max) | ρ words | ρ characters |"
HEAD_AREAS = " words: 3 vs 0 | words: ≥ 2 vs < 2 | characters: 3 vs 0 | characters: ≥ 2 vs < 2 |"


class GivenAway(NamedTuple):
    """Spearman's ρ of the label with two lengths, and AUROC of bags of words and of character 3- to 5-grams."""

    words_rho: float
    characters_rho: float
    words_clean: float
    words_present: float
    characters_clean: float
    characters_present: float


def given_away(sentences: pl.DataFrame) -> GivenAway:
    """The measures of one concept; classifiers are scored on families that they were not fitted on."""
    labels = sentences["label"].to_numpy()
    texts = sentences["sentence"]
    rhos = [float(spearmanr(count, labels)[0]) for count in (texts.str.split(" ").list.len(), texts.str.len_chars())]
    areas = [
        _auroc(sentences.filter(rows), analyzer, least)
        for analyzer in ("word", "char_wb")
        for rows, least in ((pl.col("label").is_in([0, 3]), 3), (pl.lit(True), 2))
    ]
    return GivenAway(*rhos, *areas)


def _auroc(sentences: pl.DataFrame, analyzer: str, least: int) -> float:
    """AUROC of labels from `least` on, by TF-IDF and a logistic regression; mean over shuffles of the folds."""
    found = []
    marked = (sentences["label"] >= least).to_numpy()
    for seed in range(SHUFFLES):
        bag = TfidfVectorizer(token_pattern=r"\w+") if analyzer == "word" else _n_grams()
        scores = cross_val_predict(
            make_pipeline(bag, LogisticRegression(solver="liblinear")),
            sentences["sentence"].to_list(),
            marked,
            groups=sentences["family"].to_numpy(),
            cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed),
            method="decision_function",
        )
        found.append(roc_auc_score(marked, scores))
    return float(np.mean(found))


def _n_grams() -> TfidfVectorizer:
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))


def concepts() -> Iterator[tuple[str, pl.DataFrame]]:
    """The shipped concepts and their sentences, in order of name."""
    for path in sorted(FOLDER.glob("*.yaml")):
        concept = load_concept(path)
        yield concept.name, read_sentences(sentences_path(concept, path), concept)


def table() -> str:
    """The card's table."""
    lines = [HEAD + HEAD_AREAS, "|---" + "|---:" * 9 + "|"]
    for name, sentences in concepts():
        words = sentences["sentence"].str.split(" ").list.len()
        counted = (
            f"{len(sentences)} | {sentences['family'].n_unique()} | {words.min()}, {words.median():g}, {words.max()}"
        )
        measures = " | ".join(f"{value:.2f}" for value in given_away(sentences))
        lines.append(f"| {name} | {counted} | {measures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
