"""What the model's captions lose when one layer's stream is replaced by its SAE's reconstruction."""

import math
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
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
from core.stats.intervals import bootstrap_mean, resamples

SEQUENCES = 16
"""Sequences in one forward pass."""
_SEGMENTS = {"image": IMAGE, "prompt": PROMPT, "caption": CAPTION}


class Splicer:
    """Splices SAEs in, layer after layer."""

    def __init__(self, inputs: AnalysisInputs, images: int, bootstrap: int) -> None:
        self._loaded = inputs.open_model()
        self._bootstrap, self._seed = bootstrap, inputs.seed
        encoded = sorted(_encode(self._loaded, inputs, images), key=lambda sample: (len(sample.ids), sample.sample_id))
        self._units = pl.DataFrame([{"image_id": s.image_id, "language": s.language} for s in encoded])
        parts = [encoded[start : start + SEQUENCES] for start in range(0, len(encoded), SEQUENCES)]
        self._batches = [build_batch(self._loaded, part) for part in parts]
        self._streams = CleanStreams(self._loaded, self._batches)
        self._clean: list[Float[np.ndarray, " B"]] = []

    def measure(
        self, layer: int, sae: SparseAutoencoder, means: Mapping[str, Float[np.ndarray, " D"]], limit: float = math.inf
    ) -> pl.DataFrame:
        """Cross-entropy of the captions, in nats a token, clean, with the SAE spliced in, and with mean ablation.

        Every segment is spliced; control tokens and outliers, which no SAE has seen, pass unchanged.

        Args:
            layer: layer spliced.
            sae: its SAE.
            means: the stream's mean by segment, put at the same positions for the baseline.
            limit: norm beyond which a position is an outlier.

        Returns:
            One row a language: layer, language, images, ce_clean, ce_spliced, ce_mean, delta_ce (spliced − clean)
            with its interval, loss_recovered ((ce_mean − ce_spliced) / (ce_mean − ce_clean)) with its interval.
        """
        if not self._batches:
            return pl.DataFrame()
        streams = list(zip(self._batches, self._streams.after(layer), strict=True))
        if not self._clean:
            ends = [(batch, states_from(self._loaded, batch, layer, stream)) for batch, stream in streams]
            self._clean = [caption_loss(self._loaded, batch, states) for batch, states in ends]
        losses = [self._losses(batch, layer, _changed(batch, stream, sae, means, limit)) for batch, stream in streams]
        frame = self._units.with_columns(
            pl.Series("ce_clean", np.concatenate(self._clean)),
            pl.Series("ce_spliced", np.concatenate([spliced for spliced, _ in losses])),
            pl.Series("ce_mean", np.concatenate([ablated for _, ablated in losses])),
        )
        rows = [self._summary(layer, str(name), part) for (name,), part in frame.group_by("language")]
        return pl.DataFrame(rows).sort("language")

    def _losses(
        self, batch: TokenBatch, layer: int, changed: Float[Tensor, "2B T D"]
    ) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
        """Loss of each sequence with the SAE spliced in, and with mean ablation."""
        both = batch.repeated(2)
        losses = caption_loss(self._loaded, both, states_from(self._loaded, both, layer, changed))
        return losses[: len(batch)], losses[len(batch) :]

    def _summary(self, layer: int, language: str, part: pl.DataFrame) -> dict[str, object]:
        clean, spliced, ablated = (part[f"ce_{name}"].to_numpy() for name in ("clean", "spliced", "mean"))
        added = bootstrap_mean(spliced - clean, self._bootstrap, self._seed)
        counts = resamples(part.height, self._bootstrap, self._seed)
        gain, span = counts @ (ablated - spliced), counts @ (ablated - clean)
        low, high = np.quantile(gain[span > 0] / span[span > 0], [0.025, 0.975]) if (span > 0).any() else [np.nan] * 2
        total = float((ablated - clean).sum())
        return {
            "layer": layer,
            "language": language,
            "images": part.height,
            "ce_clean": float(clean.mean()),
            "ce_spliced": float(spliced.mean()),
            "ce_mean": float(ablated.mean()),
            "delta_ce": added.mean,
            "delta_ce_low": added.low,
            "delta_ce_high": added.high,
            "loss_recovered": float((ablated - spliced).sum()) / total if total > 0 else float("nan"),
            "loss_recovered_low": float(low),
            "loss_recovered_high": float(high),
        }


def _changed(
    batch: TokenBatch,
    stream: Float[Tensor, "B T D"],
    sae: SparseAutoencoder,
    means: Mapping[str, Float[np.ndarray, " D"]],
    limit: float,
) -> Float[Tensor, "2B T D"]:
    """The stream with the SAE spliced in, and below it the stream of means."""
    spliced, ablated = stream.clone(), stream.clone()
    ordinary = within(stream, limit)
    for name, code in _SEGMENTS.items():
        at = (batch.segments == code) & ordinary
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


def _encode(loaded: LoadedModel, inputs: AnalysisInputs, images: int) -> list[EncodedSample]:
    """One sample of each of `images` test images (drawn by seed) in every language that it has a usable caption in."""
    test = inputs.samples.filter(pl.col("split") == "test").unique("image_id", keep="first", maintain_order=True)
    order = np.random.default_rng(inputs.seed).permutation(test.height)[:images]
    encoded = []
    for row in test[np.sort(order)].iter_rows(named=True):
        for language in inputs.languages:
            if caption := row.get(f"caption_{language}"):
                with suppress(UnusableText):  # capture left it out and said so
                    encoded.append(encode_sample(loaded, request(inputs, row, language, caption)))
    return encoded
