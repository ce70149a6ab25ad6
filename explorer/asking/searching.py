"""Which features fire on a text or a picture, as an answer."""

import polars as pl

from explorer.asking.answer import Answer
from explorer.asking.looked import Looked
from explorer.labels.store import FeatureLabels
from explorer.reading.samples import by_feature
from explorer.reading.search import Question, ordinary, what_fires

_SHOWN = ("feature", "max", "token", "segment", "language", "rows", "label")


def searched(labels: FeatureLabels, looked: Looked, sought: Question, segment: str | None, top_k: int) -> Answer:
    """`top_k` of the features that fire on a text or a picture, the strongest first, with the token where each peaks.

    Raises:
        BadInput: there is nothing to search for, no such language or segment, or the study's model is not there.
    """
    own = ordinary(what_fires(looked.study, looked.view.layer, sought), segment)
    found = by_feature(own.entries, own.tokens, top_k)
    called = {feature: str(change.text) for feature, change in labels.current(looked.sae).items()}
    label = pl.col("feature").replace_strict(called, default=None, return_dtype=pl.String).alias("label")
    rows = f"{own.tokens.height} row{'' if own.tokens.height == 1 else 's'}{_of(segment)}"
    firing = own.entries["feature"].n_unique()
    active = f"{firing} of {looked.view.index.num_features} features are active there"
    lines = (
        f"{_what(sought)}, run as a sample of the study: {rows}",
        f"{active}; the strongest {found.height} are shown",
    )
    tables = {"features that fire": found.with_columns(label).select(_SHOWN)} if found.height else {}
    return Answer(looked.title(), lines, tables)


def _what(sought: Question) -> str:
    text = repr(" ".join(sought.text.split()))
    if sought.picture is None:
        return f"the text {text}"
    return f"the text {text} with a picture" if sought.text.strip() else "a picture"


def _of(segment: str | None) -> str:
    return "" if segment is None else f" of {segment}"
