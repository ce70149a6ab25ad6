"""How every feature of a layer goes with a concept on the selection split: what analyses choose features by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from core.activations.stream_rows import SHARED
from core.data.concept import IMAGE, LAST_PROMPT, Concept
from core.features.associations import Labels, associate
from core.features.indexed_layer import ASSOCIATIONS
from core.features.row_groups import FeatureSums

SPLIT = "select"
RANKING = "ranking.json"


def tested_sets(concept: Concept) -> tuple[str, ...]:
    """The position sets at which features are tested: in the picture, before the word, and on it."""
    return (IMAGE, LAST_PROMPT, concept.positions.before, concept.positions.first)


@dataclass(frozen=True)
class Ranking:
    """What the selection split says of every feature of a layer.

    `associations` is one row per language, position set and supported feature (`associate`); sets whose rows are the
    same in every language are tested once, as language `shared`, and count in each language. Where the decision sets
    have nothing to test (text only, spoken from the first word), the first word is used in their place.
    """

    concept: Concept
    languages: tuple[str, ...]
    num_features: int
    associations: pl.DataFrame

    def strongest(self, position_sets: Sequence[str] = ()) -> list[int]:
        """All supported features, those first that go most with the concept; ties go to the lower feature.

        A feature's strength is the largest |AUROC − ½| over `position_sets` (the decision sets where none are named),
        averaged over the languages in which it is supported or not (0 there).
        """
        for sets in (position_sets or self.concept.decision_sets, (self.concept.positions.first,)):
            strength = np.zeros(self.num_features)
            for language in self.languages:
                strength += self._strength(language, sets)
            if strength.any():
                order = np.argsort(-strength, kind="stable")
                return [int(feature) for feature in order if strength[feature] > 0]
        return []

    def _strength(self, language: str, position_sets: Sequence[str]) -> Float[np.ndarray, " F"]:
        best = np.zeros(self.num_features)
        for position_set in position_sets:
            tested = self._tested(language, position_set)
            features = tested["feature"].to_numpy()
            best[features] = np.maximum(best[features], np.abs(tested["auroc"].to_numpy() - 0.5))
        return best

    def _tested(self, language: str, position_set: str) -> pl.DataFrame:
        return self.associations.filter(pl.col("language").is_in([language, SHARED]), position_set=position_set)

    @cached_property
    def least_p(self) -> Float[np.ndarray, " F"]:
        """The least p that a feature has in any language and position set."""
        least = np.ones(self.num_features)
        features = self.associations["feature"].to_numpy()
        np.minimum.at(least, features, self.associations["p"].to_numpy())
        return least

    @cached_property
    def leans(self) -> Mapping[str, Float[np.ndarray, " F"]]:
        """AUROC − ½ by position set, averaged over languages (0 where a feature is not supported)."""
        leans = {name: np.zeros(self.num_features) for name in tested_sets(self.concept)}
        for language in self.languages:
            for name, lean in leans.items():
                tested = self._tested(language, name)
                lean[tested["feature"].to_numpy()] += (tested["auroc"].to_numpy() - 0.5) / len(self.languages)
        return leans

    @cached_property
    def lean(self) -> Float[np.ndarray, " F"]:
        """The sum over the decision sets; the first word's where those have nothing."""
        decision = sum((self.leans[name] for name in self.concept.decision_sets), np.zeros_like(self.least_p))
        return np.where(decision != 0, decision, self.leans[self.concept.positions.first])

    def association(self, features: Sequence[int], position_sets: Sequence[str] = ()) -> float:
        """How strongly some features go with the concept: their mean |AUROC − ½|, each at its best position set.

        A layer is picked for a headline by this, so that no test image takes part in the choice.
        """
        for names in (position_sets or self.concept.decision_sets, (self.concept.positions.first,)):
            strength = np.max([np.abs(self.leans[name][list(features)]) for name in names], axis=0)
            if strength.any():
                return float(strength.mean())
        return 0.0

    def signs(self, features: Sequence[int]) -> list[int]:
        """+1 for features of the concept's first side, −1 for those of the other."""
        return [1 if self.lean[feature] >= 0 else -1 for feature in features]

    def save(self, folder: Path) -> None:
        """Write the table into a folder, and beside it what it is about."""
        self.associations.write_parquet(folder / ASSOCIATIONS, statistics=False)
        about = {"concept": self.concept.name, "languages": list(self.languages), "features": self.num_features}
        (folder / RANKING).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, concept: Concept) -> "Ranking":
        """The ranking that `save` wrote."""
        about = json.loads((folder / RANKING).read_text(encoding="utf-8"))
        table = pl.read_parquet(folder / ASSOCIATIONS, glob=False)
        return cls(concept, tuple(about["languages"]), int(about["features"]), table)


def rank_features(sums: FeatureSums, samples: pl.DataFrame, languages: tuple[str, ...], concept: Concept) -> Ranking:
    """Test all features of a layer on the selection split."""
    labels = Labels.by_language(concept, samples, languages)
    frames = []
    for name in tested_sets(concept):
        for language in sums.groups.languages(name, languages):
            place = (pl.lit(language).alias("language"), pl.lit(name).alias("position_set"))
            frames.append(associate(sums, labels[language], language, name, SPLIT).select(*place, pl.all()))
    return Ranking(concept, languages, sums.sums.shape[1], pl.concat(frames))
