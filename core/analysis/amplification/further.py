"""The parts of the analysis that a study asks for by a setting of their own, at the reported layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from core.analysis.amplification import Config
from core.analysis.amplification.fluency import Writer, summarise_captions, write_by_dose, writers
from core.analysis.amplification.mid_dose import mid_doses
from core.analysis.amplification.picked import Picked
from core.analysis.amplification.prompting import compare
from core.analysis.amplification.vectors import vector_tables
from core.causal.steering import FEATURES

SHOWN = {
    "vector_slopes": "Slope at dose 0 by vector",
    "mid_dose": "Logistic curve of the rate",
    "prompting": "Steering beside prompting",
}


@dataclass
class Further:
    """Tables by name, those that the report prints with their headings, and notes."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def shown(self) -> Mapping[str, str]:
        """Headings of the tables that there are."""
        return {name: heading for name, heading in SHOWN.items() if name in self.tables}


def measure_further(picked: Picked, config: Config) -> Further:
    """What the settings ask for: nothing, where all of them are off."""
    found = Further()
    if config.vectors:
        curves, slopes = vector_tables(picked, config.doses, config.random_curves)
        found.tables |= {"vector_response": curves, "vector_slopes": slopes}
        if slopes["p"].null_count():
            found.notes.append(f"layer {picked.layer}: a kind of random directions could not be drawn.")
    if config.logistic:
        responses = picked.responses.drop("layer")
        found.tables["mid_dose"] = mid_doses(picked.layer, responses, config.logistic, picked.resampling)
    writing = _writers(picked, config, found.notes)
    captions = _captions(picked, config, writing, found) if writing else None
    if config.prompting:
        found.tables["prompting"], notes = compare(picked, config.prompting, writing, captions)
        found.notes += notes
    return found


def _writers(picked: Picked, config: Config, notes: list[str]) -> list[Writer]:
    """None, with a note, where no caption can be generated."""
    if not config.written:
        return []
    unwritable = picked.inputs.open_model().unwritable
    if unwritable:
        notes.append(f"No caption is generated: {unwritable}.")
    elif picked.inputs.images is None:
        notes.append(
            "No caption is generated: the samples of a study of text only tell the "
            f"{picked.inputs.concept.name} themselves."
        )
    else:
        return writers(picked, config.written, config.max_new_tokens)
    return []


def _captions(picked: Picked, config: Config, writing: list[Writer], found: Further) -> pl.DataFrame:
    captions = pl.concat([write_by_dose(writer, config.doses, config.written_random) for writer in writing])
    own = picked.responses.filter(vector=FEATURES)
    norms = {
        (row["language"], row["dose"]): row["relative_norm"]
        for row in own.select("language", "dose", "relative_norm").unique().rows(named=True)
    }
    found.tables["written"] = captions
    found.tables["fluency"] = summarise_captions(picked.layer, captions, norms, picked.by_caption)
    return captions
