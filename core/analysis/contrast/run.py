"""Does a probe that was trained on captions of one language read the concept in the other?

A probe is fitted on training images in one language, its layer is chosen by selection images in that language, and it
is scored on test images in the other: of the other language nothing but the mean of its unlabelled rows is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.activations.stream_rows import SHARED
from core.analysis.contrast import Config
from core.analysis.contrast.findings import estimates, notes
from core.analysis.contrast.interventions import interventions
from core.analysis.contrast.transfer import TRANSFER, Kind, Pair, Setup, read_place
from core.analysis.result import Result
from core.errors import BadInput
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs
from core.features.readings import FROZEN_READ, SAE_READ, STREAM_READ, LayerReadings
from core.features.shuffles import shuffle_labels
from core.stats.families import corrected, corrected_within
from core.stats.scored import Scored, excess

COMPARISONS = pl.Schema(
    {
        "position_set": pl.String,
        "decision": pl.Boolean,
        **dict.fromkeys(("source", "target"), pl.String),
        "layer": pl.UInt16,
        **dict.fromkeys(("what", "against"), pl.String),
        "features": pl.UInt32,
        **dict.fromkeys(("auroc", "other", "excess", "low", "high", "null", "null_low", "null_high", "p"), pl.Float64),
        **dict.fromkeys(("draws", "test_images"), pl.UInt32),
    }
)
"""One row a comparison on the target's test images: the probe from the other language beside the target's own, or the
SAE's sparse probe beside the frozen dictionary's."""
SHOWN = {
    "chosen": "Probes of one language on the other, at the layer chosen in their own",
    "comparisons": "Beside the target's own probe, and beside the frozen dictionary",
}
OWN = "the target's own probe"
_Key = tuple[int, str, Kind, Pair]


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Probe every layer asked for, both ways.

    Raises:
        BadInput: a position set is none that there is.
    """
    sets = inputs.concept.position_sets[:-1]
    if strange := [name for name in config.position_sets if name not in sets]:
        there = ", ".join(sets)
        raise BadInput(f"analyses.contrast.position_sets: {strange[0]!r} is no position set; there are {there}")
    walk = _Walk.start(inputs, config)
    layers = inputs.chosen_layers(config.layers, "contrast") if len(inputs.languages) > 1 else ()
    for number, layer in enumerate(layers):
        walk.add(layer)
        inputs.progress(number + 1, len(layers))
    tables = walk.tables()
    found = estimates(inputs, tables)
    told = notes(inputs, tables, sorted(walk.shared), found)
    probed = Result(tables=tables, shown=SHOWN, notes=told, estimates=found)
    if config.interventions is None or not layers:
        return probed
    return interventions(inputs, config.interventions, probed)


@dataclass
class _Walk:
    """What is gathered layer by layer; `shared` are position sets whose rows are the same in both languages."""

    inputs: AnalysisInputs
    config: Config
    setup: Setup
    rows: list[dict[str, Any]] = field(default_factory=list)
    scored: dict[_Key, Scored] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, inputs: AnalysisInputs, config: Config) -> "_Walk":
        labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
        images = inputs.samples["image_id"].unique(maintain_order=True).to_list()
        units = dict(zip(images, inputs.units(images).tolist(), strict=True))
        shuffled = shuffle_labels(labels, "test", config.draws, inputs.seed, units)
        return cls(inputs, config, Setup(labels, shuffled, units, config.draws, inputs.seed, config.ks))

    def add(self, layer: int) -> None:
        readings = LayerReadings.open(self.inputs, layer)
        groups = readings.view.groups
        for position_set in self.config.position_sets or self.inputs.concept.decision_sets:
            if groups.languages(position_set, self.inputs.languages) == (SHARED,):
                self.shared.add(position_set)
                continue
            decision = position_set in self.inputs.concept.decision_sets
            for kind, pair, row, scored in read_place(readings, position_set, self.inputs.languages, self.setup):
                place = {"position_set": position_set, "decision": decision, "layer": layer}
                self.rows.append({**place, **pair._asdict(), **kind._asdict(), **row})
                self.scored[layer, position_set, kind, pair] = scored

    def tables(self) -> dict[str, pl.DataFrame]:
        transfer = pl.DataFrame(self.rows, schema=TRANSFER).fill_nan(None)
        layers = chosen_layers(transfer)
        chosen = transfer.join(layers, on=["position_set", "source", "layer"], how="semi", maintain_order="left")
        across = pl.col("source") != pl.col("target")
        chosen = corrected_within(chosen, across)  # the target's own probes are no question of this analysis
        q_centred = corrected_within(chosen.drop("q", "p").rename({"p_centred": "p"}), across)["q"].alias("q_centred")
        return {
            "chosen": chosen.with_columns(q_centred),
            "comparisons": corrected(pl.DataFrame(list(self._compared(layers)), schema=COMPARISONS)),
            "transfer": transfer,
        }

    def _compared(self, layers: pl.DataFrame) -> Iterator[dict[str, Any]]:
        for position_set, source, layer in layers.select("position_set", "source", "layer").iter_rows():
            for target in self.inputs.languages:
                pair, own = Pair(source, target), Pair(target, target)
                sides = [(Kind(STREAM_READ, None), pair, Kind(STREAM_READ, None), own, OWN)] if pair != own else []
                for k in self.config.ks if pair != own else ():
                    sides.append((Kind(SAE_READ, k), pair, Kind(FROZEN_READ, k), pair, FROZEN_READ))
                for one, of, other, its, against in sides:
                    first = self.scored.get((layer, position_set, one, of))
                    second = self.scored.get((layer, position_set, other, its))
                    if first is not None and second is not None:
                        found = excess(first, second, self.config.draws, self.inputs.seed)
                        yield {
                            **{"position_set": position_set, "source": source, "target": target, "layer": layer},
                            "decision": position_set in self.inputs.concept.decision_sets,
                            **{"what": one.read, "against": against, "features": one.features},
                            **{"auroc": first.area, "other": second.area, "excess": found.value},
                            **{name: value for name, value in vars(found).items() if name != "value"},
                            **{"draws": self.config.draws, "test_images": len(first.truth)},
                        }


def chosen_layers(transfer: pl.DataFrame) -> pl.DataFrame:
    """position_set, source, layer: that at which the stream's probe reads selection images of its own language best,
    the lowest at a tie; the last one where none of them has a label."""
    stream = transfer.filter(pl.col("read") == STREAM_READ, pl.col("source") == pl.col("target"))
    ordered = stream.sort("layer").group_by("position_set", "source", maintain_order=True)
    best = pl.col("layer").get(pl.col("auroc_select").fill_null(-1.0).arg_max())
    known = pl.col("auroc_select").is_not_null().any()
    return ordered.agg(pl.when(known).then(best).otherwise(pl.col("layer").last()).alias("layer"))
