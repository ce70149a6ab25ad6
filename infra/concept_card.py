"""How far length and words alone give away the labels of the shipped sentences: `python -m infra.concept_card`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from core.concepts.sentences import read_sentences
from core.planning.concept_file import CONCEPT_FILES, sentences_path

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
    words = CountVectorizer(token_pattern=r"\w+").fit_transform(texts.to_list())
    characters = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform(texts.to_list())
    families = sentences["family"].to_numpy()
    clean = np.isin(labels, (0, 3))
    areas = [
        area
        for counts in (words, characters)
        for area in (
            _auroc(counts[clean], labels[clean] == 3, families[clean]),
            _auroc(counts, labels >= 2, families),
        )
    ]
    return GivenAway(*rhos, *areas)


def _auroc(counts: Any, marked: Bool[np.ndarray, " n"], families: np.ndarray) -> float:
    """AUROC by TF-IDF and a logistic regression; mean over shuffles of the folds."""
    found = []
    for seed in range(SHUFFLES):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        model = make_pipeline(TfidfTransformer(), LogisticRegression(solver="liblinear"))
        scores = cross_val_predict(model, counts, marked, groups=families, cv=folds, method="decision_function")
        found.append(roc_auc_score(marked, scores))
    return float(np.mean(found))


def concepts() -> Iterator[tuple[str, pl.DataFrame]]:
    """The shipped concepts and their sentences, in order of name."""
    for path in sorted(FOLDER.glob("*.yaml")):
        concept = CONCEPT_FILES.load(path)
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
