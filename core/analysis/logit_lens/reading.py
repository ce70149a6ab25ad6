"""What the lens reads in one layer's rows, averaged within images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int

from core.analysis.logit_lens.rows import BEFORE, CAPTION, CHOOSING, LensRows
from core.lm.lens import LensReading
from core.lm.loaded import LoadedModel
from core.sae.architectures import SparseAutoencoder
from core.sae.lens import read_all_through
from core.stats.curves import LayerScores, layer_scores
from core.stats.intervals import bootstrap_auroc, bootstrap_mean
from core.stats.scored import Scored

STREAM_READ, SAE_READ, FROZEN_READ = "stream", "SAE", "frozen dictionary"
READ = (STREAM_READ, SAE_READ, FROZEN_READ)
_OF_WORDS = (
    *("own_rank", "other_rank", "ahead", "ahead_low", "ahead_high"),
    *("auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high"),
)
LENS = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "rows", "read"), pl.String),
        **dict.fromkeys(("entropy", "entropy_low", "entropy_high", "kl", "kl_low", "kl_high"), pl.Float64),
        **dict.fromkeys(("agrees", "error", "divergence"), pl.Float64),
        **dict.fromkeys(_OF_WORDS, pl.Float64),
        **dict.fromkeys(("images", "tokens"), pl.UInt32),
    }
)
"""One row per layer, language, kind of rows and what is read."""


@dataclass(frozen=True)
class Setup:
    """What every layer's reading needs: draws, seed, tokens kept, and the shuffled labels of some test images and of
    some selection images."""

    bootstrap: int
    seed: int
    k: int
    shuffled: Callable[[list[str], str], Bool[np.ndarray, "n draws"]]
    choosing: Callable[[list[str], str], Bool[np.ndarray, "n draws"]]


@dataclass(frozen=True)
class WordScores:
    """How far the first side's best word is ahead of the other's, by image: null curves and the test rows; `choosing`
    is the same of selection images, null where none has a row there."""

    scores: LayerScores
    scored: Scored
    choosing: LayerScores | None


@dataclass(frozen=True)
class Here:
    """The rows of one language that a layer has: `known` among all, their `stream`, and the last layer's."""

    rows: LensRows
    known: Int[np.ndarray, " n"]
    stream: Float[torch.Tensor, "n D"]
    final: Float[torch.Tensor, "n D"] | None

    def of(self, kind: str) -> Bool[np.ndarray, " n"]:
        """Which of the known rows are of a kind."""
        return np.asarray((self.rows.table["kind"] == kind).to_numpy()[self.known])


def read_layer(
    loaded: LoadedModel, here: Here, saes: Mapping[str, SparseAutoencoder], setup: Setup
) -> tuple[list[dict[str, Any]], dict[str, WordScores], pl.DataFrame]:
    """The rows of `LENS` but for the layer, the words' scores by what is read, and the stream's top tokens."""
    read = read_all_through(loaded, saes, here.stream, here.final, k=setup.k, tokens=here.rows.tokens)
    found: dict[str, tuple[LensReading, dict[str, np.ndarray]]] = {STREAM_READ: (read.plain, {})}
    for name, through in read.through.items():
        beside = {
            "error": through.error.double().cpu().numpy(),
            "divergence": through.divergence.double().cpu().numpy(),
        }
        found[name] = (through.reading, beside)
    target = None if read.final_ids is None else read.final_ids.cpu().numpy()
    rows, words = [], {}
    for name, (reading, beside) in found.items():
        numbers = _numbers(reading, beside, target)
        for kind in (BEFORE, CAPTION):
            chosen = here.of(kind)
            if chosen.any():
                row = {"language": here.rows.language, "rows": kind, "read": name}
                row |= _averaged(numbers, here, chosen, setup)
                if kind == BEFORE:
                    of_words, words[name] = _word_row(reading, here, chosen, setup)
                    row |= of_words
                rows.append(row)
    return rows, words, top_tokens(loaded, read.plain, here)


def _numbers(reading: LensReading, beside: dict[str, np.ndarray], target: np.ndarray | None) -> dict[str, np.ndarray]:
    found = {"entropy": reading.entropy.double().cpu().numpy(), **beside}
    if reading.kl is not None and target is not None:
        found["kl"] = reading.kl.double().cpu().numpy()
        found["agrees"] = (reading.top_ids[:, 0].cpu().numpy() == target).astype(np.float64)
    return found


def _averaged(numbers: dict[str, np.ndarray], here: Here, chosen: np.ndarray, setup: Setup) -> dict[str, Any]:
    of_image, units = _images(here, chosen)
    row: dict[str, Any] = {"images": len(units), "tokens": int(chosen.sum())}
    for name, values in numbers.items():
        means = np.bincount(of_image, values[chosen]) / np.bincount(of_image)
        if name in ("entropy", "kl"):
            low, mean, high = bootstrap_mean(means, setup.bootstrap, setup.seed, units)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        else:
            row[name] = float(means.mean())
    return row


def _images(here: Here, chosen: np.ndarray) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " N"]]:
    """The image of each chosen row, by number, and the unit of each image."""
    table = here.rows.table[here.known[chosen]]
    _, first, codes = np.unique(table["image_id"].to_numpy(), return_index=True, return_inverse=True)
    return codes, table["unit"].to_numpy()[first]


def _word_row(reading: LensReading, here: Here, chosen: np.ndarray, setup: Setup) -> tuple[dict[str, Any], WordScores]:
    """Ranks of the two sides' best words, and how well their order tells the image's side."""
    _, units = _images(here, chosen)
    names, positive, one, other = _best_words(reading, here, chosen)
    scores = layer_scores(other - one, positive, setup.shuffled(names, here.rows.language))
    ahead = np.where(positive, other - one, one - other)
    low, mean, high = bootstrap_mean(ahead, setup.bootstrap, setup.seed, units)
    area = bootstrap_auroc(other - one, positive.astype(np.int64), setup.bootstrap, setup.seed, units)
    ends = np.quantile(scores.null_auroc, [0.025, 0.975])
    row = {
        "own_rank": float(2 ** np.median(np.where(positive, one, other))),
        "other_rank": float(2 ** np.median(np.where(positive, other, one))),
        **{"ahead": mean, "ahead_low": low, "ahead_high": high},
        **{"auroc": area.mean, "low": area.low, "high": area.high},
        "shuffled": float(scores.null_auroc.mean()),
        **{"shuffled_low": float(ends[0]), "shuffled_high": float(ends[1])},
    }
    choosing = _choosing(reading, here, setup)
    return row, WordScores(scores, Scored((other - one)[:, None], positive[:, None], units), choosing)


def _choosing(reading: LensReading, here: Here, setup: Setup) -> LayerScores | None:
    chosen = here.of(CHOOSING)
    if not chosen.any():
        return None
    names, positive, one, other = _best_words(reading, here, chosen)
    return layer_scores(other - one, positive, setup.choosing(names, here.rows.language))


def _best_words(
    reading: LensReading, here: Here, chosen: np.ndarray
) -> tuple[list[str], Bool[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """The images of chosen rows, whether each is on the first side, and the log rank of each side's best word there."""
    table = here.rows.table[here.known[chosen]]
    names, first = np.unique(table["image_id"].to_numpy(), return_index=True)
    of_image, _ = _images(here, chosen)
    count = len(here.rows.words[0])
    ranks = np.log2(reading.ranks[torch.from_numpy(np.flatnonzero(chosen))].double().cpu().numpy())
    one, other = (
        np.bincount(of_image, part.min(axis=1)) / np.bincount(of_image) for part in (ranks[:, :count], ranks[:, count:])
    )
    return names.tolist(), table["positive"].to_numpy().astype(bool)[first], one, other


def top_tokens(loaded: LoadedModel, reading: LensReading, here: Here) -> pl.DataFrame:
    """The tokens that stand most often among a row's likeliest, before the word: token_id, token, share of rows, and
    mean probability where they do."""
    rows = np.flatnonzero(here.of(BEFORE))
    ids, log_p = (part[torch.from_numpy(rows)].cpu().numpy() for part in (reading.top_ids, reading.top_log_p))
    flat = pl.DataFrame({"token_id": ids.ravel().astype(np.int64), "p": np.exp(log_p.ravel().astype(np.float64))})
    counted = flat.group_by("token_id").agg((pl.len() / max(1, len(rows))).alias("share"), pl.col("p").mean())
    best = counted.sort("share", "p", "token_id", descending=[True, True, False]).head(ids.shape[1])
    names = loaded.tokenizer.convert_ids_to_tokens(best["token_id"].to_list())
    named = best.with_columns(pl.Series("token", names, dtype=pl.String), pl.lit(here.rows.language).alias("language"))
    return named.select("language", "token_id", "token", "share", "p")
