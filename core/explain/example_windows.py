"""Windows out of a table of examples alone: of an SAE whose feature index is not here."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from jaxtyping import Int

from core.explain.drawing import Candidates, Drawn, draw
from core.explain.examples import dense_values
from core.explain.nested import slices
from core.explain.tables import WINDOWS
from core.explain.windows import cut
from core.study.catalogue import ExampleConfig


def windows_of_examples(
    examples: pl.DataFrame, config: ExampleConfig, others: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The windows of the features of one SAE, with the columns of `WINDOWS`; without hard examples.

    Prompts of one `sample_id` (where it is null: of one `prompt_id`) are never both shown and scored; twins are not
    known here. A random example is a prompt that the table has for other features alone; one in which the feature fires
    on the image alone is neither shown nor silent.

    Args:
        examples: with the columns of `ACTIVATION_EXAMPLES`; rows without an active token are passed over.
        config: how many of which kind, and how they are drawn and cut.
        others: rows of the SAE's prompts, of whatever feature, which random examples are drawn from beside those of
            `examples`.
    """
    spoken = examples.filter(pl.col("num_activations") > 0).sort("feature_id", "prompt_id", maintain_order=True)
    if not spoken.height:
        return WINDOWS.to_frame()
    every = examples if others is None else pl.concat([examples, others])
    told = every.filter(pl.col("prompt_tokens").list.len() > 0)
    prompts = told.unique("prompt_id", keep="first", maintain_order=True).sort("prompt_id")
    sample = pl.coalesce(pl.col("sample_id"), pl.col("prompt_id").cast(pl.String))
    units = prompts.select(sample.rank("dense").cast(pl.Int64)).to_series().to_numpy()
    fires = examples.select("feature_id", "prompt_id").partition_by("feature_id", as_dict=True)
    heard = {int(feature): own["prompt_id"].to_numpy() for (feature,), own in fires.items()}
    chosen = [*_chosen((spoken, heard), prompts, units, config)]
    drawn = [one for _, _, one in chosen]
    empty = pl.lit([], spoken.schema["activation_pairs"]).alias("activation_pairs")
    silent = prompts.with_columns(empty, pl.col("map_cells").list.eval(pl.element() * 0))
    rows = pl.concat([spoken, silent])[np.array([row for _, row, _ in chosen])]
    values = dense_values(rows)
    draws = [np.random.default_rng((config.seed, feature, one.prompt)).random() for feature, _, one in chosen]
    lengths = rows["prompt_tokens"].list.len().to_numpy().astype(np.int64)
    peaks = values.list.arg_max().to_numpy().astype(np.int64)
    is_active = np.array([one.quantile > 0 for one in drawn])
    centres = np.where(is_active, peaks, (np.array(draws) * lengths).astype(np.int64))
    low, high = cut(centres, (np.zeros_like(lengths), lengths), config.window, config.place)
    return rows.select(
        pl.Series("feature_id", [feature for feature, _, _ in chosen]),
        "sae_id",
        pl.Series("use", [one.use for one in drawn]),
        pl.Series("kind", [one.kind for one in drawn]),
        pl.Series("quantile", [one.quantile or None for one in drawn], dtype=pl.UInt8),
        "prompt_id",
        "sample_id",
        "image",
        "language",
        slices(rows["prompt_tokens"], low, high).alias("tokens"),
        slices(values, low, high).alias("values"),
        "map_cells",
    ).cast(WINDOWS)


def _chosen(
    fired: tuple[pl.DataFrame, Mapping[int, Int[np.ndarray, " n"]]],
    prompts: pl.DataFrame,
    units: Int[np.ndarray, " P"],
    config: ExampleConfig,
) -> Iterator[tuple[int, int, Drawn]]:
    """The feature, the row (of those that fire on tokens, with `prompts` behind it), and why it was drawn; of each
    feature also the prompts in which it fires on whatever."""
    spoken, heard = fired
    features, ids = spoken["feature_id"].to_numpy(), prompts["prompt_id"].to_numpy()
    place = np.searchsorted(ids, spoken["prompt_id"].to_numpy())
    value = pl.element().struct.field("activation_value")
    strength = spoken.select(pl.col("activation_pairs").list.eval(value.max()).list.first()).to_series().to_numpy()
    numbers, starts = np.unique(features, return_index=True)
    for feature, start, stop in zip(numbers.tolist(), starts.tolist(), [*starts.tolist()[1:], len(features)]):
        own = place[start:stop]
        silent = np.ones(len(prompts), bool)
        silent[np.isin(ids, heard[feature])] = False
        given = Candidates(own, strength[start:stop], units, silent, np.empty(0, np.int64))
        for one in draw(given, config, feature):
            active = start + int(np.searchsorted(own, one.prompt))
            yield feature, active if one.quantile else len(spoken) + one.prompt, one
