"""What steering with one language's directions in the other adds to the contrast of probes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from core.analysis.contrast import Interventions
from core.analysis.contrast.findings import NOT_STEERED
from core.analysis.contrast.steered import Steered, steer
from core.analysis.contrast.steered_table import STEERED, steered_table
from core.analysis.result import Result
from core.causal.resampling import Resampling, dependence
from core.causal.steering import FEATURES
from core.data.languages import LANGUAGE_NAMES
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.reach import out_of_reach

NO_CONTROL = "too few features are not associated with the concept, so that there is no control"
_RANDOM = {FEATURES: "sets of unassociated features with random signs"}
_DRAWN = "directions drawn from the covariance of the selection images' rows"
_NOTHING = "Nothing was steered: a language has no direction on selection images, or no word with a counterpart."
HEADING = "Directions of one language, steered with in the other"


def interventions(inputs: AnalysisInputs, config: Interventions, probed: Result) -> Result:
    """The contrast of probes with the interventions beside it: table `steered`, estimates and notes."""
    kept = tuple(note for note in probed.notes if note != NOT_STEERED)
    steered = steer(inputs, config)
    if steered is None:
        return replace(probed, tables={**probed.tables, "steered": STEERED.to_frame()}, notes=(*kept, _NOTHING))
    table = steered_table(steered, Resampling(inputs, config.bootstrap, steered.pairs), config.norm)
    found = _Found(inputs, config, steered, table)
    return replace(
        probed,
        tables={**probed.tables, "steered": table},
        shown={**probed.shown, "steered": HEADING},
        notes=(*kept, *found.notes()),
        estimates=(*probed.estimates, *found.estimates()),
    )


@dataclass(frozen=True)
class _Found:
    inputs: AnalysisInputs
    config: Interventions
    steered: Steered
    table: pl.DataFrame

    def estimates(self) -> Iterator[Estimate]:
        """Effects within languages, then across; and what share of the former the latter are."""
        within = pl.col("source") == pl.col("target")
        for family in (self.table.filter(within), self.table.filter(~within)):
            for row in family.iter_rows(named=True):
                yield self._effect(row, family.height)
                if row["share"] is not None:
                    yield self._share(row, family.height)

    def notes(self) -> Iterator[str]:
        """How to read the effects, and what images have in common."""
        own = ", ".join(
            f"{LANGUAGE_NAMES.get(name, name)} {', '.join(map(str, one.features)) or 'none'}"
            for name, one in self.steered.vectors.items()
        )
        yield (
            f"Steering at layer {self.steered.layer}: every vector has {self.config.norm:.0%} of the stream's norm. "
            f"Features steered, by the language whose selection images they were chosen on: {own}."
        )
        yield from self.steered.notes

    def _effect(self, row: Mapping[str, Any], tests: int) -> Estimate:
        return Estimate(
            name=_name("steered", row),
            quantity="shift of log p(first side's word) − log p(other side's) at the concept's first word",
            value=row["effect"],
            unit="nats",
            interval=(row["low"], row["high"]),
            control=Control.of(_RANDOM.get(row["vector"], _DRAWN), row),
            **self._of(row, tests, "effect"),
        )

    def _share(self, row: Mapping[str, Any], tests: int) -> Estimate:
        return Estimate(
            name=_name("steered_share", row),
            quantity="share of what the captions' own language's vector shifts the concept's first word by",
            value=row["share"],
            unit="share",
            interval=(row["share_low"], row["share_high"]),
            control=Control.of(_RANDOM.get(row["vector"], _DRAWN), row, "share_control"),
            **self._of(row, tests, "share"),
        )

    def _of(self, row: Mapping[str, Any], tests: int, column: str) -> dict[str, Any]:
        vector = f"{LANGUAGE_NAMES.get(row['source'], row['source'])} selection images"
        what = "difference of means" if row["vector"] != FEATURES else f"set of {self._features(row)}"
        counted = f"test {self.inputs.counted}"
        reach = out_of_reach(1 / (row["draws"] + 1), tests) if row["draws"] else (NO_CONTROL,)
        return {
            "p": row["p"],
            "q": row["q"],
            "family": number_of(tests, "vector"),
            "draws": row["draws"] or 0,
            "n": row["images"],
            "counted": counted,
            "layer": row["layer"],
            "language": row["target"],
            "condition": f"the {what} of {vector}, up and down at {row['norm']:.0%} of the stream's norm",
            "chosen": self.steered.chosen,
            "source": Source("steered", {name: row[name] for name in ("source", "target", "vector")}, column),
            "caveats": (*reach, *_same(row), *dependence(row, counted.removeprefix("test "))),
        }

    def _features(self, row: Mapping[str, Any]) -> str:
        return number_of(len(self.steered.vectors[row["source"]].features), "feature")


def _same(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a vector has in common with the captions' own language's: one and the same transfers wholly."""
    if row["source"] == row["target"] or row["cosine"] is None:
        return ()
    common = f", {number_of(row['common'], 'feature')} of both" if row["vector"] == FEATURES else ""
    return (f"cosine {row['cosine']:.2f} with the captions' own language's vector{common}",)


def _name(kind: str, row: Mapping[str, Any]) -> str:
    return f"{kind}.{row['vector'].replace(' ', '_')}.{row['source']}-{row['target']}"
