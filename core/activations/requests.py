"""From the samples of a shard to token sequences, with what had to be left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from core.data.languages import LANGUAGES
from core.lm.loaded import LoadedModel
from core.lm.prefix import CaptionGroup, common_length
from core.lm.prompts import CaptionRequest, EncodedSample, UnusableText, encode_sample
from core.study.model import CaptureConfig


@dataclass(frozen=True)
class CaptureJob:
    """What one shard is made of: its samples, the folder their images are in, and how captions are asked for.

    `instructions` gives each language's; `images` is null for a study of text only. `literal` captions may spell
    control tokens, which are text there.
    """

    samples: pl.DataFrame
    images: Path | None
    config: CaptureConfig
    instructions: Mapping[str, str]
    literal: bool = False


@dataclass(frozen=True)
class Drop:
    """A sample left out of a shard, and why."""

    sample_id: str
    language: str
    reason: str


@dataclass(frozen=True)
class EncodedShard:
    """A shard as token sequences: the captions of each image, the samples left out, and how many captions were cut."""

    groups: tuple[CaptionGroup, ...]
    drops: tuple[Drop, ...]
    cut: int


def images_between(samples: pl.DataFrame, start: int, stop: int) -> pl.DataFrame:
    """The samples of the images numbered `start` to `stop` (exclusive) in order of image id: one shard's."""
    ids = samples["image_id"].unique().sort()[start:stop]
    return samples.filter(pl.col("image_id").is_in(ids.implode())).sort("image_id", "sample_id")


def encode_shard(loaded: LoadedModel, job: CaptureJob) -> EncodedShard:
    """Lay every caption of the job out behind its prompt.

    A sample with a caption that is too long (where the study says `drop`), empty or unusable is left out in all its
    languages.

    Raises:
        BadInput: images are given to a model that takes none.
    """
    groups: dict[str, list[EncodedSample]] = {}
    drops: list[Drop] = []
    cut = 0
    for row in job.samples.sort("image_id", "sample_id").iter_rows(named=True):
        encoded, dropped = _encode_row(loaded, job, row)
        drops += dropped
        if encoded and not dropped:
            limit = job.config.max_caption_tokens
            cut += sum(len(sample.caption_ids) > limit for sample in encoded)
            groups.setdefault(row["image_id"], []).extend(cut_caption(sample, limit) for sample in encoded)
    examples = {_kind(loaded, sample): sample.image for own in groups.values() for sample in own}
    most = {kind: _shared_by_prompts(loaded, job, image) for kind, image in examples.items()}
    together = tuple(_group(loaded, image, own, most[_kind(loaded, own[0])]) for image, own in groups.items())
    return EncodedShard(together, tuple(drops), cut)


def _kind(loaded: LoadedModel, sample: EncodedSample) -> object:
    """Samples of one kind have prompts of equal length: all with an image, or those of one image where each has its
    own number of tokens."""
    return sample.image if sample.image is not None and not loaded.shape.image_tokens else sample.image is None


def cut_caption(sample: EncodedSample, limit: int) -> EncodedSample:
    """The sample with at most `limit` caption tokens."""
    length = sample.prefix_length + limit
    if len(sample.ids) <= length:
        return sample
    start = len(sample.text) - len(sample.caption)
    last = sample.spans[length - 1] if limit else None
    caption = sample.caption[: last[1]] if last is not None else ""
    return replace(sample.until(length), text=sample.text[:start] + caption, caption=caption)


def _encode_row(loaded: LoadedModel, job: CaptureJob, row: Mapping[str, Any]) -> tuple[list[EncodedSample], list[Drop]]:
    encoded: list[EncodedSample] = []
    drops: list[Drop] = []
    for language in LANGUAGES:
        caption = row.get(f"caption_{language}")
        if caption is None:
            continue
        try:
            sample = encode_sample(loaded, _request(job, row, language, caption))
        except UnusableText as error:
            drops.append(Drop(row["sample_id"], language, str(error)))
            continue
        reason = _fault(sample, job.config)
        if reason is not None:
            drops.append(Drop(row["sample_id"], language, reason))
        encoded.append(sample)
    return encoded, drops


def _request(job: CaptureJob, row: Mapping[str, Any], language: str, caption: str) -> CaptionRequest:
    image = row.get("image")
    return CaptionRequest(
        sample_id=row["sample_id"],
        image_id=row["image_id"],
        language=language,
        caption=caption,
        instruction=job.instructions.get(language, ""),
        image=job.images / image if image is not None and job.images is not None else None,
        literal=job.literal,
    )


def _fault(sample: EncodedSample, config: CaptureConfig) -> str | None:
    length = len(sample.caption_ids)
    if length == 0:
        return "the caption has no tokens"
    if length > config.max_caption_tokens and config.long_captions == "drop":
        return f"{length} caption tokens, more than max_caption_tokens = {config.max_caption_tokens}"
    return None


def _shared_by_prompts(loaded: LoadedModel, job: CaptureJob, image: Path | None) -> int:
    """What the prompts of all languages share, so that an image with one caption shares no more than the others."""
    prompts = [
        encode_sample(loaded, CaptionRequest("", "", language, "", job.instructions[language], image)).ids
        for language in sorted(job.instructions)
    ]
    return common_length(loaded, prompts)


def _group(loaded: LoadedModel, image_id: str, samples: Sequence[EncodedSample], most: int) -> CaptionGroup:
    # Never beyond a prompt's last token, which is the decision point and a row of its language.
    prompts = [sample.ids[: sample.prefix_length] for sample in samples]
    return CaptionGroup(image_id, tuple(samples), min(most, common_length(loaded, prompts)))
