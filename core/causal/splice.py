"""What the model's captions lose when one layer's stream is replaced by its SAE's reconstruction."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.causal.interventions import within
from core.causal.pairs import request
from core.features.inputs import AnalysisInputs
from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.patched import CAPTION, IMAGE, PROMPT, TokenBatch, build_batch, states_from
from core.lm.prompts import EncodedSample, UnusableText, encode_sample
from core.lm.streams import CleanStreams
from core.sae.architectures import SparseAutoencoder
from core.stats.intervals import Interval, bootstrap_mean, weights

SEQUENCES = 16
"""Sequences in one forward pass."""
_SEGMENTS = {"image": IMAGE, "prompt": PROMPT, "caption": CAPTION}


class Splicer:
    """Splices SAEs in, layer after layer."""

    def __init__(self, inputs: AnalysisInputs, images: int, bootstrap: int) -> None:
        self._loaded = inputs.open_model()
        self._bootstrap, self._seed, self._unit_of = bootstrap, inputs.seed, inputs.units
        encoded = sorted(_encode(self._loaded, inputs, images), key=lambda sample: (len(sample.ids), sample.sample_id))
        self._units = pl.DataFrame([{"image_id": s.image_id, "language": s.language} for s in encoded])
        parts = [encoded[start : start + SEQUENCES] for start in range(0, len(encoded), SEQUENCES)]
        self._batches = [build_batch(self._loaded, part) for part in parts]
        self._streams = CleanStreams(self._loaded, self._batches)
        self._clean: list[Float[np.ndarray, " B"]] = []

    def measure(
        self, layer: int, sae: SparseAutoencoder, means: Mapping[str, Float[np.ndarray, " D"]], limit: float = math.inf
    ) -> pl.DataFrame:
        """Cross-entropy of the captions, in nats per token, clean, with the SAE spliced in, and with mean ablation.

        Every segment is spliced; control tokens and outliers, which no SAE has seen, pass unchanged.

        Args:
            layer: layer spliced.
            sae: its SAE.
            means: the stream's mean by segment, put at the same positions for the baseline.
            limit: norm beyond which a position is an outlier.

        Returns:
            One row per language: layer, language, images, ce_clean, ce_spliced, ce_mean, delta_ce (spliced − clean)
            with its interval, loss_recovered ((ce_mean − ce_spliced) / (ce_mean − ce_clean)) with its interval, NaN
            where it is no share (`recovered`).
        """
        if not self._batches:
            return pl.DataFrame()
        streams = list(zip(self._batches, self._streams.after(layer), strict=True))
        if not self._clean:
            ends = [(batch, states_from(self._loaded, batch, layer, stream)) for batch, stream in streams]
            self._clean = [caption_loss(self._loaded, batch, states) for batch, states in ends]
        changed = [spliced_stream(batch.segments, stream, sae, means, limit) for batch, stream in streams]
        losses = [self._losses(batch, layer, both) for batch, both in zip(self._batches, changed, strict=True)]
        captions = self._units.with_columns(
            pl.Series("ce_clean", np.concatenate(self._clean)),
            pl.Series("ce_spliced", np.concatenate([spliced for spliced, _ in losses])),
            pl.Series("ce_mean", np.concatenate([ablated for _, ablated in losses])),
        )
        return summarise(layer, captions, self._unit_of, self._bootstrap, self._seed)

    def _losses(
        self, batch: TokenBatch, layer: int, changed: Float[Tensor, "2B T D"]
    ) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
        """Loss of each sequence with the SAE spliced in, and with mean ablation."""
        both = batch.repeated(2)
        losses = caption_loss(self._loaded, both, states_from(self._loaded, both, layer, changed))
        return losses[: len(batch)], losses[len(batch) :]


def summarise(
    layer: int,
    captions: pl.DataFrame,
    unit_of: Callable[[Sequence[str]], Int[np.ndarray, " n"]],
    bootstrap: int,
    seed: int,
) -> pl.DataFrame:
    """One row per language (`Splicer.measure`); captions are averaged within their image, images are drawn by unit.

    Args:
        layer: layer spliced.
        captions: image_id, language, ce_clean, ce_spliced, ce_mean of each caption, in nats per token.
        unit_of: the unit that each image belongs to.
        bootstrap: draws for each interval.
        seed: of the draws.
    """
    images = captions.group_by("language", "image_id").agg(pl.col("^ce_.*$").mean()).sort("language", "image_id")
    rows = [
        {"layer": layer, "language": str(name), "images": part.height, **_losses_of(part, unit_of, bootstrap, seed)}
        for (name,), part in images.group_by("language", maintain_order=True)
    ]
    return pl.DataFrame(rows)


def _losses_of(
    part: pl.DataFrame, unit_of: Callable[[Sequence[str]], Int[np.ndarray, " n"]], bootstrap: int, seed: int
) -> dict[str, float]:
    clean, spliced, ablated = (part[f"ce_{name}"].to_numpy() for name in ("clean", "spliced", "mean"))
    units = unit_of(part["image_id"].to_list())
    added = bootstrap_mean(spliced - clean, bootstrap, seed, units)
    low, share, high = recovered(ablated - spliced, ablated - clean, weights(part.height, bootstrap, seed, units))
    return {
        "ce_clean": float(clean.mean()),
        "ce_spliced": float(spliced.mean()),
        "ce_mean": float(ablated.mean()),
        "delta_ce": added.mean,
        "delta_ce_low": added.low,
        "delta_ce_high": added.high,
        "loss_recovered": share,
        "loss_recovered_low": low,
        "loss_recovered_high": high,
    }


def recovered(
    gain: Float[np.ndarray, " n"], span: Float[np.ndarray, " n"], drawn: Int[np.ndarray, "draws n"]
) -> Interval:
    """Σ gain / Σ span, the share of mean ablation's loss that the reconstruction recovers, with its interval.

    Undefined (NaN) where the interval of `span` includes 0, for there is then no loss to recover, and where the share
    is below 0 or above 1: the reconstruction is then worse than the mean, or no loss at all.
    """
    spans = drawn @ span
    share = float(gain.sum() / span.sum()) if span.sum() > 0 else math.nan
    if np.quantile(spans, 0.025) <= 0 or not 0 <= share <= 1:
        return Interval(math.nan, math.nan, math.nan)
    positive = spans > 0
    low, high = np.quantile((drawn @ gain)[positive] / spans[positive], [0.025, 0.975])
    return Interval(float(low), share, float(high))


def spliced_stream(
    segments: Int[Tensor, "B T"],
    stream: Float[Tensor, "B T D"],
    sae: SparseAutoencoder,
    means: Mapping[str, Float[np.ndarray, " D"]],
    limit: float,
) -> Float[Tensor, "2B T D"]:
    """The stream with the SAE spliced in, and below it the stream of means."""
    spliced, ablated = stream.clone(), stream.clone()
    ordinary = within(stream, limit)
    for name, code in _SEGMENTS.items():
        at = (segments == code) & ordinary
        if at.any():
            spliced[at] = sae(stream[at].float()).to(stream.dtype)
            ablated[at] = torch.as_tensor(means[name], dtype=stream.dtype, device=stream.device)
    return torch.cat([spliced, ablated])


def caption_loss(loaded: LoadedModel, batch: TokenBatch, states: Float[Tensor, "B T D"]) -> Float[np.ndarray, " B"]:
    """Mean cross-entropy of each sequence's caption tokens, in nats, given all tokens before each."""
    targets = batch.segments[:, 1:] == CAPTION
    rows = targets.nonzero()[:, 0]
    logits = logits_of(loaded, states[:, :-1][targets]).float()
    loss = torch.nn.functional.cross_entropy(logits, batch.input_ids[:, 1:][targets], reduction="none").double()
    sums = torch.zeros(len(batch), dtype=torch.float64, device=loss.device).index_add_(0, rows, loss)
    return np.asarray((sums / targets.sum(dim=1).clamp(min=1)).cpu().numpy())


def spliced_samples(samples: pl.DataFrame, images: int, seed: int) -> pl.DataFrame:
    """All samples of up to `images` test images, drawn by seed."""
    test = samples.filter(pl.col("split") == "test")
    names = test["image_id"].unique(maintain_order=True)
    drawn = np.random.default_rng(seed).permutation(len(names))[:images]
    return test.filter(pl.col("image_id").is_in(names.gather(np.sort(drawn)).implode()))


def _encode(loaded: LoadedModel, inputs: AnalysisInputs, images: int) -> list[EncodedSample]:
    """The usable captions, in every language, of some test images."""
    encoded = []
    for row in spliced_samples(inputs.samples, images, inputs.seed).iter_rows(named=True):
        for language in inputs.languages:
            if caption := row.get(f"caption_{language}"):
                with suppress(UnusableText):  # capture left it out and said so
                    encoded.append(encode_sample(loaded, request(inputs, row, language, caption)))
    return encoded
