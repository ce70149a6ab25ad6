"""Who says what a feature means: one module per way, one row of `EXPLANATIONS` per feature and language."""

from typing import Any

import polars as pl

from core.chat.questions import Asked
from core.errors import BadInput
from core.explain.about import About
from core.explain.examples_shown import examples_by_feature
from core.explain.explainers import enriched_words, from_examples, from_promoted, promoted
from core.explain.explainers.saying import Said, Task
from core.explain.tables import EXPLANATIONS
from core.progress import Progress, silent
from core.study.catalogue import Explainer

NEVER_FIRES = "never fires"
"""The failure of a feature without examples; nobody is asked about it."""


def explain(
    asked: Asked | None, windows: pl.DataFrame, about: About, explainer: Explainer, progress: Progress = silent
) -> pl.DataFrame:
    """What one explainer says of every feature of `about`, in every language that it is asked for: `EXPLANATIONS`.

    Args:
        asked: the model of a `chat` or `transformers` explainer; null for one without a model.
        windows: `WINDOWS`; only examples for explainers are looked at.
        about: features, samples, pictures, promoted tokens.
        explainer: its section of the catalogue.
        progress: called with questions answered.

    Raises:
        BadInput: the explainer needs what is not there.
    """
    examples = examples_by_feature(windows, "explain")
    alive = [feature for feature in about.features if any(one.fires for one in examples.get(feature, ()))]
    tasks = [Task(feature, language) for feature in alive for language in explainer.languages]
    if explainer.kind in ("chat", "transformers"):
        if asked is None:
            raise BadInput(f"explainers: {explainer.name}: a {explainer.kind} explainer needs a model")
        ways = {"examples": from_examples.say, "promoted": from_promoted.say}
        said = ways[explainer.of](asked, tasks, examples, about, progress)
    elif explainer.kind == "promoted":
        said = promoted.say(tasks, about)
    else:
        said = enriched_words.say(tasks, examples, about)
    found = {(task.feature, task.language): one for task, one in zip(tasks, said, strict=True)}
    silent_one = Said(failure=NEVER_FIRES)
    rows = [
        _row(feature, language, found.get((feature, language), silent_one), about, explainer, asked)
        for feature in about.features
        for language in explainer.languages
    ]
    return pl.DataFrame(rows, schema=EXPLANATIONS, orient="row")


def method(explainer: Explainer) -> str:
    """How an explainer finds its words, `explanation_method` in the tables: examples, promoted or enriched_words."""
    return explainer.of if explainer.kind in ("chat", "transformers") else explainer.kind


def _row(
    feature: int, language: str, said: Said, about: About, explainer: Explainer, asked: Asked | None
) -> dict[str, Any]:
    return {
        "feature_id": feature,
        "sae_id": about.sae_id,
        "explainer": explainer.name,
        "explanation_method": method(explainer),
        "llm_explainer": asked.name if asked is not None else explainer.name,
        "language": language,
        **said._asdict(),
    }
