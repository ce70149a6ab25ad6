"""Embedding: are firing examples nearer to the explanation than silent ones? AUROC; chance is 0.5.

Paulo et al. 2024 (arXiv:2410.13928), embedding scoring: the cosine of the explanation's embedding with each example's
is the rating, and the score is the area under its ROC curve for firing against silent examples. No model is asked. An
embedder reads text alone: what is known of a picture stands behind the text.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from core.explain.about import About
from core.explain.embedder import Embedder
from core.explain.examples_shown import Example, as_text
from core.explain.scorers.items import firing_items
from core.explain.scorers.judged import JUDGED, Explained, judged_rows


def compared(
    explained: Sequence[Explained],
    examples: Mapping[int, list[Example]],
    about: About,
    embedder: Embedder,
) -> pl.DataFrame:
    """Each example's cosine with the explanation: `JUDGED`. Equal texts are embedded once."""
    asked = {one.feature for one in explained} & set(examples)
    texts = {feature: [as_text(one, about) for one in examples[feature]] for feature in sorted(asked)}
    known = sorted({one.text for one in explained} | {text for own in texts.values() for text in own})
    vectors = embedder.embed(known)
    number = {text: place for place, text in enumerate(known)}
    rows = []
    for one in explained:
        own = examples.get(one.feature, [])
        near = vectors[[number[text] for text in texts.get(one.feature, [])]] @ vectors[number[one.text]]
        rows += judged_rows(one, firing_items(own, about), [(value,) for value in np.asarray(near).tolist()])
    return pl.DataFrame(rows, schema=JUDGED, orient="row")
