"""The causal map's estimates, all at the layer that is reported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.analysis.causal_map.asking import FIRST
from core.analysis.causal_map.carried import DIRECTION, SAE, WHOLE
from core.analysis.causal_map.picking import Picked
from core.causal.resampling import dependence
from core.data.languages import LANGUAGE_NAMES
from core.features.associated_languages import IN_ALL
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.reach import out_of_reach
from core.stats.two_numbers import SECOND

NO_MATCH = "too few feature sets lie within a factor of 2 of the class (the caliper), so that there is no control"
OTHERS = "other pictures of the same gender in the twin's place"
MATCHED = "random feature sets matched on firing rate, mean squared contribution and added norm"
_SHIFT = "shift of the first gendered word toward the other gender"


def estimates(tables: Mapping[str, pl.DataFrame], picked: Picked, counted: str, over: str = "") -> tuple[Estimate, ...]:
    """What was found at a layer: interchanges, what features carry, and what they do in the other language's run;
    `over` as in `Resampling`."""
    place = _Place(picked.layer, picked.how, f"test {counted}", tables, over)
    cells = tables["map"].filter(layer=picked.layer, outcome=FIRST)
    own = tables["carried"].filter(dictionary=SAE)
    found = [place.cell(row) for row in cells.rows(named=True)]
    found += [one for row in own.rows(named=True) for one in place.carried(row)]
    found += [place.second(row) for row in tables.get("second", pl.DataFrame()).rows(named=True)]
    crossings = tables["crossed"].filter(pl.col("language") != pl.col("source"))
    return (*found, *(place.crossed(row) for row in crossings.rows(named=True)))


@dataclass(frozen=True)
class _Place:
    """What all estimates share."""

    layer: int
    chosen: str
    counted: str
    tables: Mapping[str, pl.DataFrame]
    over: str

    def cell(self, row: Mapping[str, Any]) -> Estimate:
        """One cell of the map."""
        key = {name: row[name] for name in ("outcome", "language", "layer", "positions")}
        return Estimate(
            name=f"interchange.{row['language']}.{_name(row['positions'])}",
            quantity=_SHIFT,
            condition=f"the twin's stream in place of the image's own at position set {row['positions']}",
            control=_measured(OTHERS, row),
            family=f"{number_of(self.tables['map']['p'].count(), 'cell')} of the map",
            source=Source("map", key, "effect"),
            answers=True,
            **self._tested(row),
        )

    def carried(self, row: Mapping[str, Any]) -> Iterator[Estimate]:
        """What is swapped, its share of the whole rows' effect, and what is left of that without it."""
        key = {name: row[name] for name in ("language", "dictionary", "swapped")}
        source, name = Source("carried", key, "effect"), f"{row['language']}.{_name(row['swapped'])}"
        condition = _swapped(row["swapped"])
        if row["kept"] is not None or row["draws"]:  # a class of features, which alone has a control
            tests = self.tables["carried"].filter(dictionary=SAE)["p"].count()
            caveats = out_of_reach(1 / (row["draws"] + 1), tests) if row["draws"] else (NO_MATCH,)
            yield Estimate(
                name=f"swap.{name}",
                quantity=_SHIFT,
                condition=condition,
                control=Control.of(MATCHED, row),
                family=f"{tests} classes × languages",
                source=source,
                draws=row["draws"] or 0,
                **self._tested(row, caveats),
            )
        for column, quantity in _DESCRIBED.items():
            if row[column] is not None:
                yield Estimate(
                    name=f"{column}.{name}",
                    quantity=quantity,
                    value=row[column],
                    unit="nats" if column == "better" else "share",
                    interval=(row[f"{column}_low"], row[f"{column}_high"]),
                    condition=condition,
                    source=Source("carried", key, column),
                    described=True,
                    **self._place(row),
                )

    def second(self, row: Mapping[str, Any]) -> Estimate:
        """A class at the second number of features."""
        tests = self.tables["second"]["p"].count()
        caveats = out_of_reach(1 / (row["draws"] + 1), tests) if row["draws"] else (NO_MATCH,)
        key = {name: row[name] for name in ("language", "dictionary", "swapped")}
        return Estimate(
            name=f"swap{SECOND}.{row['language']}.{_name(row['swapped'])}",
            quantity=_SHIFT,
            condition=f"{_swapped(row['swapped'])}, {number_of(row['features'], 'feature')} of them",
            control=Control.of(MATCHED, row),
            family=f"{tests} classes × languages",
            source=Source("second", key, "effect"),
            draws=row["draws"] or 0,
            **self._tested(row, caveats),
        )

    def crossed(self, row: Mapping[str, Any]) -> Estimate:
        """One language's activations in the other's run."""
        key = {name: row[name] for name in ("language", "source", "features")}
        giving = LANGUAGE_NAMES.get(row["source"], row["source"])
        return Estimate(
            name=f"crossed.{row['source']}_into_{row['language']}.{_name(row['features'])}",
            quantity=_SHIFT,
            condition=f"{_called(row['features'])} get their means over the {giving} caption of the twin",
            control=_measured(f"the same from the {giving} caption of the same image", row),
            family=number_of(self.tables["crossed"]["p"].count(), "crossing"),
            source=Source("crossed", key, "effect"),
            **self._tested(row),
        )

    def _tested(self, row: Mapping[str, Any], caveats: tuple[str, ...] = ()) -> dict[str, Any]:
        return {
            "value": row["effect"],
            "unit": "nats",
            "interval": (row["low"], row["high"]),
            "p": row["p"],
            "q": row["q"],
            "caveats": (*caveats, *dependence(row, self.counted.removeprefix("test "), self.over)),
            **self._place(row),
        }

    def _place(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "n": row["images"],
            "counted": self.counted,
            "layer": self.layer,
            "language": row["language"],
            "chosen": self.chosen,
        }


_DESCRIBED = {
    "share": "completeness, the share of the whole rows' effect",
    "kept": "faithfulness, the share of the whole rows' effect that is missing when all else is swapped instead",
    "better": "shift beyond that of the frozen dictionary's class of the same name",
}


def _name(words: str) -> str:
    return words.replace(" ", "_")


def _called(features: str) -> str:
    if features == IN_ALL:
        return "features that go with gender in every language"
    return f"features that go with gender in {LANGUAGE_NAMES.get(features.split()[0], features)} alone"


def _swapped(name: str) -> str:
    if name in (WHOLE, DIRECTION):
        return f"{name} swapped for the twin's"
    return f"{_called(name) if name == IN_ALL or name.endswith(' only') else name} swapped for the twin's"


def _measured(what: str, row: Mapping[str, Any]) -> Control | None:
    """A control that is one measurement with an interval."""
    if row["control_low"] is None:
        return None
    return Control(what, row["control"], row["control_low"], row["control_high"])
