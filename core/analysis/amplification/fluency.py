"""Captions generated at every dose: their fluency under the clean model, and the words of the concept in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.analysis.amplification.caption_measures import measures, measures_of
from core.analysis.amplification.picked import Picked
from core.causal.pairs import MinimalPair
from core.causal.resampling import Resampling
from core.causal.steering import FEATURES
from core.causal.written import clean_costs, prompt_of, written, written_each
from core.data.concept import Concept
from core.lm.loaded import LoadedModel
from core.lm.prompts import EncodedSample
from core.stats.families import corrected_within
from core.stats.permuted import sign_flip_p

CLEAN = "clean"
FLUENCY = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "measure"), pl.String),
        "dose": pl.Float64,
        **dict.fromkeys(("images", "units"), pl.UInt32),
        **dict.fromkeys(("value", "low", "high", "change", "change_low", "change_high"), pl.Float64),
        **dict.fromkeys(("control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q", "relative_norm"), pl.Float64),
        "out_of_range": pl.Boolean,
    }
)
"""One row per language, measure and dose: the mean over images, its change from the clean captions, and the change with
random vectors (`draws`, mean and range); p of random signs of the units' differences between the two changes, the
random vectors held fixed; q over doses and languages of a measure."""


def written_schema(concept: Concept) -> pl.Schema:
    """One row per generated caption: of no patch (`clean`, dose 0), of the features' vector, and of random vectors."""
    return pl.Schema(
        {
            **dict.fromkeys(("language", "vector"), pl.String),
            "dose": pl.Float64,
            **dict.fromkeys(("image_id", "sample_id", "text"), pl.String),
            **dict.fromkeys(measures_of(concept), pl.Float64),
        }
    )


@dataclass(frozen=True)
class Writer:
    """Writes and measures captions of some images in one language."""

    picked: Picked
    loaded: LoadedModel
    language: str
    prompts: Sequence[EncodedSample]
    most: int

    def clean(self) -> pl.DataFrame:
        """Captions without any vector (`written_schema`)."""
        texts = written(self.loaded, self.picked.opened, self.prompts, self.most)
        return self.measured([(CLEAN, 0.0)], texts)

    def steered(self, vectors: Mapping[tuple[str, float], Float[Tensor, " D"]]) -> pl.DataFrame:
        """Captions with each vector added at every step; vectors are named by name and dose (`written_schema`)."""
        if not vectors:
            return pl.DataFrame(schema=written_schema(self.picked.inputs.concept))
        added = torch.stack([vector for vector in vectors.values() for _ in self.prompts])
        prompts = [prompt for _ in vectors for prompt in self.prompts]
        return self.measured(list(vectors), written_each(self.loaded, self.picked.opened, prompts, added, self.most))

    def measured(self, vectors: Sequence[tuple[str, float]], texts: Sequence[str]) -> pl.DataFrame:
        """The rows of captions, all prompts' of the first vector and dose before those of the next."""
        inputs = self.picked.inputs
        places = [(*named, prompt) for named in vectors for prompt in self.prompts]
        costs = clean_costs(inputs, self.loaded, [prompt for _, _, prompt in places], texts)
        rows = [
            {
                "language": self.language,
                "vector": vector,
                "dose": float(dose),
                "image_id": prompt.image_id,
                "sample_id": prompt.sample_id,
                "text": text,
                **measures(text, self.language, cost, inputs.concept),
            }
            for (vector, dose, prompt), text, cost in zip(places, texts, costs, strict=True)
        ]
        return pl.DataFrame(rows, schema=written_schema(inputs.concept))


def writers(picked: Picked, images: int, most: int) -> list[Writer]:
    """One writer a language, of up to `images` of the test images measured, as many of either side as can be had."""
    loaded = picked.inputs.open_model()
    found = []
    for part in picked.runs:
        prompts = [prompt_of(picked.inputs, loaded, pair) for pair in balanced(part.pairs, images)]
        found.append(Writer(picked, loaded, part.language, prompts, most))
    return found


def balanced(pairs: Sequence[MinimalPair], most: int) -> list[MinimalPair]:
    """The first caption of up to `most` images, sides taking turns, in the images' order."""
    first = list({pair.image_id: pair for pair in reversed(pairs)}.values())[::-1]
    seen: dict[str, int] = {}
    turns = []
    for pair in first:
        turns.append((seen.setdefault(pair.side, 0), pair.side))
        seen[pair.side] += 1
    chosen = sorted(range(len(first)), key=lambda index: turns[index])[:most]
    return [first[index] for index in sorted(chosen)]


def write_by_dose(writer: Writer, doses: Sequence[float], random: int) -> pl.DataFrame:
    """Clean captions, and those with the features' vector and `random` vectors of each kind at every dose but 0."""
    picked = writer.picked
    named = {FEATURES: picked.steer.vectors[FEATURES], **dict(_random(picked.random, random))}
    vectors = {(name, dose): vector * dose for name, vector in named.items() for dose in doses if dose != 0}
    return pl.concat([writer.clean(), writer.steered(vectors)])


def _random(kinds: Mapping[str, Sequence[Tensor]], most: int) -> Iterator[tuple[str, Tensor]]:
    for kind, vectors in kinds.items():
        yield from ((f"{kind} {number + 1}", vector) for number, vector in enumerate(vectors[:most]))


def summarise_captions(
    layer: int, captions: pl.DataFrame, norms: Mapping[tuple[str, float], float], resampling: Resampling
) -> pl.DataFrame:
    """Every measure at every dose with its change from the clean captions, beside random vectors (`FLUENCY`).

    Args:
        layer: the layer steered.
        captions: rows of `written_schema`, an image once a language, vector and dose.
        norms: ‖Δx‖ / ‖x‖ by language and dose.
        resampling: of whole captions.
    """
    rows = []
    for (language,), own in captions.group_by("language", maintain_order=True):
        clean = own.filter(vector=CLEAN)
        doses = own.filter(vector=FEATURES)["dose"].unique().sort().to_list()
        for dose in [0.0, *doses]:
            steered = clean if dose == 0 else own.filter(vector=FEATURES, dose=dose)
            random = own.filter(~pl.col("vector").is_in([CLEAN, FEATURES]), dose=dose)
            norm = 0.0 if dose == 0 else norms[str(language), dose]
            place = {"layer": layer, "language": language, "dose": dose}
            place |= {"relative_norm": norm, "out_of_range": norm > 1}
            rows += [
                place | {"measure": measure} | _measured(measure, steered, clean, random, resampling)
                for measure in measures_of(resampling.inputs.concept)
            ]
    found = pl.DataFrame(rows, schema=FLUENCY).sort("language", "measure", "dose", descending=[True, False, False])
    return corrected_within(found, pl.col("measure")).select(FLUENCY.names())


def _measured(
    measure: str, steered: pl.DataFrame, clean: pl.DataFrame, random: pl.DataFrame, resampling: Resampling
) -> dict[str, Any]:
    images = clean["image_id"].to_list()
    value, before = (_aligned(frame, images, measure)[:, 0] for frame in (steered, clean))
    mean, change = resampling.mean(value, images), resampling.mean(value - before, images)
    units = resampling.units(images)
    row: dict[str, Any] = {"images": len(images), "units": np.unique(units).size, "draws": 0}
    row |= {"value": mean.mean, "low": mean.low, "high": mean.high}
    if steered is not clean:
        row |= {"change": change.mean, "change_low": change.low, "change_high": change.high}
    if random.height:
        drawn = _aligned(random, images, measure) - before[:, None]
        of_vectors = np.array([column[np.isfinite(column)].mean() for column in drawn.T if np.isfinite(column).any()])
        others = np.array([line[np.isfinite(line)].mean() if np.isfinite(line).any() else np.nan for line in drawn])
        if of_vectors.size:
            row |= {"control": of_vectors.mean(), "control_low": of_vectors.min(), "control_high": of_vectors.max()}
            own = value - before - others
            p = sign_flip_p(own, resampling.bootstrap, resampling.inputs.seed, units)
            row |= {"draws": of_vectors.size, "p": p}
    return {name: None if isinstance(found, float) and not np.isfinite(found) else found for name, found in row.items()}


def _aligned(frame: pl.DataFrame, images: list[str], measure: str) -> Float[np.ndarray, "N V"]:
    """A measure by image and vector; NaN where a caption has none."""
    wide = frame.pivot("vector", index="image_id", values=measure, maintain_order=True)
    joined = pl.DataFrame({"image_id": images}).join(wide, on="image_id", how="left", maintain_order="left")
    return joined.drop("image_id").fill_null(float("nan")).to_numpy().astype(np.float64)
