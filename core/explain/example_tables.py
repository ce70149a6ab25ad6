"""Tables of examples made elsewhere: which features they have, and the examples of some of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from core.errors import BadInput, first_line
from core.explain.importing.older_tables import cast_older
from core.explain.tables import ACTIVATION_EXAMPLES

FILE = "activation_examples.parquet"
_NEEDED = ("feature_id", "sae_id", "prompt_id", "prompt_tokens", "activation_pairs")
"""Columns without nulls."""
_FIX = "correct the table"


class GivenExamples(NamedTuple):
    """What a table says of some features, and one row of each prompt that it has of the SAE, of whatever feature."""

    examples: pl.DataFrame
    prompts: pl.DataFrame


def features_in(file: Path) -> pl.DataFrame:
    """The SAEs of a table and their features: sae_id, feature_id, and in how many rows the feature fires on a token.

    Raises:
        BadInput: it is missing, cannot be read, or has not the declared columns.
    """
    fires = pl.col("activation_pairs").list.len() > 0
    counted = _scan(file).group_by(pl.col("sae_id").cast(pl.String), pl.col("feature_id").cast(pl.Int64))
    return _collected(file, counted.agg(fires.sum().alias("rows")).sort("sae_id", "feature_id"))


def read_examples(file: Path, sae_id: str, features: Sequence[int]) -> GivenExamples:
    """The examples of some features of an SAE, with the columns of `ACTIVATION_EXAMPLES`, by feature and prompt.

    Columns that older tables do not have are null. The rows of other features are read for their prompts alone, one of
    each.

    Raises:
        BadInput: the table cannot be read, a column is missing, of another type or has nulls, or a token's place lies
            beyond its prompt.
    """
    rows = _scan(file).filter(pl.col("sae_id") == sae_id)
    own = _checked(file, _collected(file, rows.filter(pl.col("feature_id").is_in(list(features)))))
    prompts = _checked(file, _collected(file, rows.unique("prompt_id", keep="first")))
    return GivenExamples(own.sort("feature_id", "prompt_id", maintain_order=True), prompts)


def _scan(file: Path) -> pl.LazyFrame:
    return pl.scan_parquet(file, glob=False)


def _collected(file: Path, rows: pl.LazyFrame) -> pl.DataFrame:
    try:
        return rows.collect(engine="streaming")
    except (OSError, PolarsError) as error:
        raise BadInput(f"{file}: cannot be read as a table of examples ({first_line(error)}); {_FIX}") from error


def _checked(file: Path, rows: pl.DataFrame) -> pl.DataFrame:
    table = cast_older(file, rows, ACTIVATION_EXAMPLES)
    if nulls := next((name for name in _NEEDED if table[name].null_count()), None):
        raise BadInput(f"{file}: column {nulls!r} has nulls; {_FIX}")
    counts, places = (
        pl.col("activation_pairs").list.len(),
        pl.col("activation_pairs").list.eval(pl.element().struct.field("token_position")),
    )
    beyond = table.filter(places.list.max() >= pl.col("prompt_tokens").list.len())
    if beyond.height:
        where = f"prompt {beyond['prompt_id'][0]} of feature {beyond['feature_id'][0]}"
        raise BadInput(f"{file}: activation_pairs: {where} has a token_position beyond its tokens; {_FIX}")
    if table.filter(counts != pl.col("num_activations")).height:
        raise BadInput(f"{file}: num_activations is not the length of activation_pairs everywhere; {_FIX}")
    return table
