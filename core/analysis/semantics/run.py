"""Do features tell the person's gender on words whose form does not?

Each written word's own mean is taken out of a feature's activation, so that only the same word beside a woman and
beside a man is compared; what is left is averaged over an image's words. A word that tells gender stands beside one of
the two alone, so that on it nothing is left to compare, unless the generic masculine speaks of both.
"""

import polars as pl

from core.analysis.result import Result
from core.analysis.semantics import Config
from core.analysis.semantics.findings import findings, notes
from core.analysis.semantics.measured import FEATURES, SETS, Dictionary, Draws, There, by_feature, by_set
from core.analysis.semantics.words import PLACES, Place, design_table, find_words
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.stats.families import corrected_within

SHOWN = {"design": "Where meaning can be told from form"}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Measure every layer asked for.

    Raises:
        BadInput: none of the layers was captured.
    """
    layers = inputs.chosen_layers(config.layers, "semantics")
    words = {language: find_words(inputs, language) for language in inputs.languages}
    places = [Place.of(inputs, words[one], one, place) for one in inputs.languages for place in PLACES]
    told_apart = [place for place in places if not place.fault]
    walk = _Walk(config, words, told_apart, inputs.seed)
    features, sets = [pl.DataFrame(schema=FEATURES)], [pl.DataFrame(schema=SETS)]
    for number, layer in enumerate(layers):
        if told_apart:
            frozen = None if inputs.open_frozen is None else inputs.open_frozen(layer)
            for by_itself, together in walk.measure(inputs.open_layer(layer), frozen):
                features.append(by_itself)
                sets.append(together)
        inputs.progress(number + 1, len(layers))
    tables = {
        "design": design_table(places),
        "sets": pl.concat(sets),
        "features": corrected_within(pl.concat(features), pl.lit("all")),
    }
    found = findings(tables, len(layers), config.features, inputs.counted)
    return Result(tables=tables, shown=SHOWN, notes=notes(tables), estimates=found)


class _Walk:
    """Measures the same places layer by layer."""

    def __init__(self, config: Config, words: dict[str, pl.DataFrame], places: list[Place], seed: int) -> None:
        self._tops = (config.features, 2 * config.features)
        self._draws = Draws(config.draws, config.bootstrap, seed)
        self._words, self._places = words, places

    def measure(self, view: LayerView, frozen: LayerView | None) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
        """The two tables of each place."""
        found = []
        for language, words in self._words.items():
            places = [place for place in self._places if place.language == language]
            if places:
                own = Dictionary.of(view, words)
                other = None if frozen is None else Dictionary.of(frozen, words)
                found += [self._of_place(view.layer, place, own, other) for place in places]
        return found

    def _of_place(
        self, layer: int, place: Place, own: Dictionary, frozen: Dictionary | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        there = There.of(own, place)
        beside = None if frozen is None else There.of(frozen, place)
        return by_feature(layer, there), by_set(layer, there, beside, self._tops, self._draws)
