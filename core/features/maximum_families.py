"""Families of tests of the maximum over an image's rows, at equal caption length."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.features.associations import labelled_images, supported_features
from core.features.families import Families, Small
from core.features.layer_view import LayerView
from core.features.maxima import caption_lengths, group_maxima, maxima_by_image
from core.features.shuffles import exchangeable, exchanged
from core.stats.families import ALPHA, corrected
from core.stats.partial_ranks import PartialRanks
from core.stats.ranks import rank, rank_test

_NUMBERS = ("length_auroc", "auroc", "p_raw", "correlation", "p")


@dataclass
class MaximumFamilies(Families):
    """Tests whether the maximum goes with the concept at equal caption length, beside the maximum as it is.

    `draws` runs have what the length leaves of the labels exchanged between units, twins together.
    """

    def __post_init__(self) -> None:
        self.small = {question: [] for question in self.concept.questions.values()}

    @property
    def _schema(self) -> pl.Schema:
        places = {"layer": pl.UInt16(), "language": pl.String(), "position_set": pl.String(), "feature": pl.UInt32()}
        return pl.Schema({**places, **dict.fromkeys(_NUMBERS, pl.Float64()), "support": pl.UInt32()})

    def add_layer(self, view: LayerView) -> None:
        """Test a layer's features on the rows of captions, in each language that has rows of its own."""
        maxima = group_maxima(view.index, view.groups)
        own = self.concept.positions
        for position_set in (own.before, own.first, own.later):
            for language in view.languages:
                if position_set not in view.groups.shared_sets:
                    values = maxima_by_image(maxima, view.groups, language, position_set)
                    self._add_maxima(view, values, language, position_set)

    def _add_maxima(self, view: LayerView, maxima: Float[np.ndarray, "N F"], language: str, position_set: str) -> None:
        features = view.feature_sums.by_image(language, position_set)
        known = labelled_images(features.images, self.labels[language], self.split)
        supported = supported_features(features)
        if known is None or supported.size == 0:
            return
        tokens, names = caption_lengths(view.table.tokens, language), [features.images[row] for row in known.rows]
        lengths = np.array([[tokens.get(name, 0)] for name in names], dtype=np.float64)
        test = PartialRanks(known.positive.astype(np.float64), lengths)
        ranked = rank(maxima[np.ix_(known.rows, supported)])
        found = test.with_orders(ranked, self._orders(names))
        p = test.p(found)
        labels: Bool[np.ndarray, "n 1"] = known.positive[:, None]
        areas, raw = rank_test(ranked, labels)
        columns = {
            "feature": supported,
            "length_auroc": np.full(supported.size, rank_test(rank(lengths), labels)[0][0, 0]),
            "auroc": areas[:, 0],
            "p_raw": raw[:, 0],
            "correlation": found[:, 0],
            "p": p[:, 0],
            "support": (features.fired > 0).sum(axis=0)[supported],
        }
        place = {"layer": view.layer, "language": language, "position_set": position_set}
        frame = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in place.items())
        self.tested.append(frame.select(self._schema.names()).cast(self._schema))
        small = [values[values <= ALPHA] for values in p[:, 1:].T]
        self.small[self.concept.questions[position_set]].append(Small(language, small))

    def _orders(self, images: list[str]) -> Int[np.ndarray, "draws n"]:
        """Orders of the images' units, twins moved together; the same ones at every layer that has these images."""
        units = self.units or {}
        strata = exchangeable([(0,)] * len(images), [units.get(image, image) for image in images])
        random = np.random.default_rng(self.seed)
        orders = [exchanged(strata, random) for _ in range(self.draws)]
        return np.array(orders, dtype=np.int64).reshape(self.draws, len(images))

    def finish(self) -> pl.DataFrame:
        """Every test, with q over its question's family, and q of the maximum as it is likewise (`q_raw`)."""
        table = super().finish()
        raw = [corrected(part.select(p="p_raw")) for part in table.partition_by("question", maintain_order=True)]
        q = pl.concat(raw)["q"] if raw else pl.Series("q", [], dtype=pl.Float64)
        return table.with_columns(q.alias("q_raw"))
