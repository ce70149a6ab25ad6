"""The generic masculine: the same masculine words for a man, and for somebody whose gender English does not tell."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.features.associations import MIN_CLASS
from core.features.inputs import AnalysisInputs
from core.stats.clustered import Dealt, dealt


@dataclass(frozen=True)
class Generic:
    """Masculine words of the person that occur both for men (`man`) and in the generic masculine.

    `rows`, `stems` and `units` as of a `Stratum`.
    """

    rows: Int[np.ndarray, " n"]
    man: Bool[np.ndarray, " n"]
    stems: Int[np.ndarray, " n"]
    units: Int[np.ndarray, " n"]
    words: str = "generic"
    suffix: str = ""

    @classmethod
    def of(cls, inputs: AnalysisInputs, words: pl.DataFrame) -> "Generic":
        """The words that both have."""
        masculine = words.with_row_index("row").filter(
            (pl.col("sort") == "person") & (pl.col("form") == "male") & ~pl.col("referent_female").fill_null(False)
        )
        man = pl.col("referent_female").is_not_null()
        both = masculine.filter(man.any().over("stem", "is_verb") & (~man).any().over("stem", "is_verb"))
        _, stems = np.unique(both["stem"].to_numpy().astype(str), return_inverse=True)
        units = inputs.units(both["image_id"].to_list())
        return cls(both["row"].to_numpy().astype(np.int64), both.select(man).to_series().to_numpy(), stems, units)

    @property
    def tested(self) -> tuple[str, ...]:
        """The one effect."""
        return ("generic",)

    @cached_property
    def x(self) -> Float[np.ndarray, "n 2"]:
        """Constant, and ½ for a man, −½ for anybody."""
        return np.column_stack([np.ones(len(self.man)), self.man - 0.5])

    def dealt(self, effect: str, draws: int, seed: int) -> Dealt:
        """Designs with men and the generic masculine dealt to the images."""
        return Dealt(dealt(self.man, self.units, draws, seed), np.ones((len(self.man), 1)))

    @property
    def sizes(self) -> tuple[int, int]:
        """Units that hold words for men, and words in the generic masculine."""
        return len(np.unique(self.units[self.man])), len(np.unique(self.units[~self.man]))

    @property
    def fault(self) -> str:
        """Why nothing is measured; empty where something is."""
        few = min(self.sizes) < MIN_CLASS
        return f"fewer than {MIN_CLASS} images for a man, or in the generic masculine, with a word that both have" * few

    def table(self) -> pl.DataFrame:
        """One row: words, suffix, occurrences, different words, units, those with words for men and in the generic
        masculine, and why nothing is measured; empty where the study has no generic masculine with such words."""
        men, generic = self.sizes
        found = (len(self.rows), len(np.unique(self.stems)), len(np.unique(self.units)))
        counts = dict(zip(("occurrences", "different_words", "units"), found, strict=True))
        row = {"words": self.words, "suffix": self.suffix, **counts, "men": men, "generic": generic}
        types = {"words": pl.String, "suffix": pl.String, **dict.fromkeys(list(row)[2:], pl.UInt32)}
        rows = [{**row, "not_identifiable": self.fault}] if len(self.rows) else []
        return pl.DataFrame(rows, schema={**types, "not_identifiable": pl.String})
