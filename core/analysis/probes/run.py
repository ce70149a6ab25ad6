"""How few features does a label take, and do SAE features beat those of a dictionary whose decoder is random?

Every layer is probed; on the selection split each curve's layer is chosen by the linear probe of the stream, which no
dictionary has a part in, and what is said is measured there on the test split.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import polars as pl

from core.analysis.probes import Config
from core.analysis.probes.cells import Cell, Opened, Question
from core.analysis.probes.findings import estimates, notes
from core.analysis.probes.measured import EXCESS, LINEAR, PROBES, Drawing, comparisons, read_cell
from core.analysis.result import Result
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.readings import STREAM_READ, LayerReadings
from core.stats.families import corrected
from core.stats.probing import CONTROLS

SHOWN = {
    "best": "Probes at the layer chosen on the selection split",
    "comparisons": "SAE features beside other readings, with as many features",
}
_CELL = ["label", "language", "position_set"]


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Probe every layer asked for, then measure the chosen ones with every control.

    Raises:
        BadInput: a column, a position set or a number of features is none that there can be.
    """
    if strange := [k for k in config.concluded if k not in config.ks]:
        raise BadInput(f"analyses.probes.concluded: {strange[0]} is not in ks {list(config.ks)}; add it there")
    walk = _Walk(inputs, config, Question.of(inputs, config))
    layers = inputs.chosen_layers(config.layers, "probes")
    for number, layer in enumerate(layers):
        walk.probe(layer)
        inputs.progress(number + 1, len(layers) + 1)
    tables = walk.tables()
    inputs.progress(1, 1)
    found = estimates(inputs, tables, config.concluded)
    return Result(tables=tables, shown=SHOWN, notes=notes(inputs, tables, walk.empty, found), estimates=found)


@dataclass
class _Walk:
    """Goes over the layers, then back to the chosen ones."""

    inputs: AnalysisInputs
    config: Config
    question: Question
    rows: list[dict[str, Any]] = field(default_factory=list)
    empty: dict[Cell, None] = field(default_factory=dict)

    def probe(self, layer: int) -> None:
        opened, drawing = self._open(layer), Drawing(self.config.draws, 0, self.inputs.seed)
        for cells in self._places(opened):
            found = [
                one.row(layer, self._decision(one.cell), self.config.draws)
                for one in self._read(opened, cells, drawing)
            ]
            self.rows += found
            read = {tuple(row[name] for name in _CELL) for row in found}
            self.empty |= {cell: None for cell in cells if tuple(cell) not in read}

    def tables(self) -> dict[str, pl.DataFrame]:
        probes = pl.DataFrame(self.rows, schema=PROBES).fill_nan(None)
        best, compared = self._again(chosen_layers(probes))
        return {
            "best": corrected(pl.DataFrame(best, schema=PROBES).fill_nan(None)),
            "comparisons": corrected(pl.DataFrame(compared, schema=EXCESS)),
            "probes": probes,
        }

    def _again(self, chosen: dict[Cell, int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The chosen layers' probes with the control task, and the comparisons between them."""
        best, compared = [], []
        drawing = Drawing(self.config.draws, CONTROLS, self.inputs.seed)
        for layer in sorted(set(chosen.values())):
            opened = self._open(layer)
            for cell in (cell for cell, at in chosen.items() if at == layer):
                readings = list(read_cell(opened, [cell], self.config.ks, drawing))
                best += [one.row(layer, self._decision(cell), drawing.draws) for one in readings]
                of = {(one.read, one.features): one.result for one in readings}
                for k, against, found in comparisons(readings, self.config.ks, drawing):
                    own, other = of["SAE", k], of[against, None if against == STREAM_READ else k]
                    areas = {"auroc": own.auroc.mean, "other": other.auroc.mean}
                    place = {**cell._asdict(), "decision": self._decision(cell), "layer": layer, "features": k}
                    excess = {"excess": found.value, **{name: vars(found)[name] for name in _OF_EXCESS}}
                    counts = {"draws": drawing.draws, "test_images": own.test_images}
                    compared.append({**place, "against": against, **areas, **excess, **counts})
        return best, compared

    def _open(self, layer: int) -> Opened:
        return Opened(LayerReadings.open(self.inputs, layer), self.question)

    def _places(self, opened: Opened) -> Iterator[list[Cell]]:
        for _, cells in groupby(self.question.cells(opened.readings.view.groups), key=lambda cell: cell[1:]):
            yield list(cells)

    def _read(self, opened: Opened, cells: list[Cell], drawing: Drawing) -> Iterator[Any]:
        return read_cell(opened, cells, self.config.ks, drawing)

    def _decision(self, cell: Cell) -> bool:
        return cell.position_set in self.inputs.concept.decision_sets


_OF_EXCESS = ("low", "high", "null", "null_low", "null_high", "p")


def chosen_layers(probes: pl.DataFrame) -> dict[Cell, int]:
    """The layer of each curve at which the stream's linear probe reads the selection split best, the lowest at a tie;
    the last one where no selection image has a label."""
    stream = probes.filter(pl.col("read") == STREAM_READ, pl.col("method") == LINEAR)
    found = {}
    for cell, curve in stream.group_by(_CELL, maintain_order=True):
        best = curve.sort("layer")["auroc_select"].arg_max()
        ordered = curve.sort("layer")["layer"]
        found[Cell(*map(str, cell))] = int(ordered[-1 if best is None else best])
    return found
