"""Do features that go with gender follow the form of an Arabic word or the gender of the person?

activation ~ form + referent + form:referent, over the Arabic words of test captions, for three sorts of words apart:
those that tell the person's gender, things with their owner's pronoun, and words of nobody. Where the two never part,
as they do not in a caption's own gendered words unless the generic masculine is used, nothing is estimated. The generic
masculine (Arabic speaks of a man, English of nobody's gender) is a class of its own: its words are compared with the
same words for men.
"""

import polars as pl

from core.analysis.morphology import Config
from core.analysis.morphology.effects import FEATURES, SETS, Layer, Task, by_feature, by_set
from core.analysis.morphology.findings import findings, follow, notes
from core.analysis.morphology.generic import Generic
from core.analysis.morphology.measured import Measured
from core.analysis.morphology.words import ARABIC, Stratum, design_table, find_words, strata
from core.analysis.result import Result
from core.data.gender_strata import strata_counts
from core.features.inputs import AnalysisInputs

SHOWN = {
    "strata": "How the labels of the two languages stand to each other",
    "design": "Where form and referent can be told apart",
    "follow": "Features by what they follow",
}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Measure every layer asked for; captions in Arabic are needed.

    Raises:
        BadInput: none of the layers was captured.
    """
    layers = inputs.chosen_layers(config.layers, "morphology")
    if ARABIC not in inputs.languages:
        return Result(notes=("There are no Arabic captions, and English nouns have no grammatical gender.",))
    words = find_words(inputs)
    every, generic = strata(inputs, words), Generic.of(inputs, words)
    told_apart = [one for one in every if not one.fault]
    measured: list[Stratum | Generic] = [*told_apart, *([] if generic.fault else [generic])]
    tasks = [Task.of(one, config.draws, inputs.seed) for one in measured]
    features, sets = [pl.DataFrame(schema=FEATURES)], [pl.DataFrame(schema=SETS)]
    tops = (config.features, 2 * config.features)
    for number, layer in enumerate(layers):
        if measured:
            frozen = Measured.of(inputs.open_frozen(layer), words) if inputs.open_frozen is not None else None
            opened = Layer(layer, Measured.of(inputs.open_layer(layer), words), frozen)
            features += [by_feature(opened, one) for one in told_apart]
            sets += [by_set(opened, task, tops) for task in tasks]
        inputs.progress(number + 1, len(layers))
    tables = {"design": design_table(every), "sets": pl.concat(sets), "words": words.drop("language")}
    tables |= {"strata": strata_counts(inputs.samples), "generic": generic.table()}
    tables["features"] = follow(pl.concat(features))
    tables["follow"] = _counts(tables["features"])
    found = findings(tables, len(layers), config.features, inputs.counted)
    return Result(tables=tables, shown=SHOWN, notes=notes(inputs, tables), estimates=found)


def _counts(features: pl.DataFrame) -> pl.DataFrame:
    """words, suffix, follows (form, referent, both, neither), how many features of how many layers."""
    counted = features.group_by("words", "suffix", "follows").agg(
        pl.len().alias("features"), pl.col("layer").n_unique().alias("layers")
    )
    return counted.sort("words", "suffix", "follows")
