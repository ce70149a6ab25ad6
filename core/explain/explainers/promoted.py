"""What a feature promotes, told without a model: the list of its tokens."""

from collections.abc import Sequence

import polars as pl

from core.errors import BadInput
from core.explain.about import About
from core.explain.explainers.saying import Said, Task
from core.explain.marking import written

TOKENS = 10
_OPENING = {"en": "makes these tokens more likely", "ar": "ترفع احتمال هذه الرموز"}


def say(tasks: Sequence[Task], about: About) -> list[Said]:
    """One explanation per task, in their order."""
    tokens = tokens_of(about, TOKENS)
    return [_said(task, tokens.get(task.feature, {}).get("promoted", ())) for task in tasks]


def tokens_of(about: About, most: int) -> dict[int, dict[str, list[str]]]:
    """The strongest tokens of each feature by direction, as they are written; a token that says nothing is left out.

    Raises:
        BadInput: nothing is known of what the features promote.
    """
    if about.promoted is None:
        raise BadInput(
            f"{about.sae_id}: what its features promote is not known; leave explainers of promoted tokens out"
        )
    kept = about.promoted.filter(
        pl.col("feature").is_in(list(about.features)) & (pl.col("token").str.strip_chars().str.len_chars() > 0)
    )
    ordered = kept.sort("feature", "direction", "rank").group_by("feature", "direction", maintain_order=True).head(most)
    found: dict[int, dict[str, list[str]]] = {}
    for feature, direction, token in ordered.select("feature", "direction", "token").iter_rows():
        found.setdefault(feature, {}).setdefault(direction, []).append(written(token))
    return found


def _said(task: Task, tokens: Sequence[str]) -> Said:
    if not tokens:
        return Said(failure="promotes no known token")
    return Said(f"{_OPENING[task.language]}: {', '.join(token.strip() for token in tokens)}")
