"""The step `prepare`: from a study's source to `samples.parquet`, and what is left out of it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from core.data.drops import DROPPED
from core.data.emoji_source import read_emoji
from core.data.gender_ambiguous import ambiguous_captions
from core.data.languages import LANGUAGES
from core.data.sample_frame import SCHEMA
from core.data.scenes import generate_scenes
from core.data.splits import SPLITS
from core.data.table_source import Drawn, read_table
from core.progress import Progress
from core.store.artifacts import read_json
from core.study.data import DataSource, EmojiSource, TableSource

__all__ = ["SCHEMA", "SamplesSummary", "prepare", "read_samples"]

FILE = "samples.parquet"
_CAPTURE_DROPS = {"sample_id": pl.String, "language": pl.String, "reason": pl.String}
_GENDERS = ("female", "male", "both", "neutral", "none")


@dataclass(frozen=True)
class SamplesSummary:
    """What `prepare` made; `summary.json` holds the same."""

    rows: int
    """Rows the source had."""
    samples: int
    """Samples kept: image-caption rows."""
    images: int
    """Units: distinct images, or texts where there are no images."""
    dropped: int
    """Rows dropped; `dropped.parquet` says why."""
    dropped_by_field: dict[str, int]
    """Rows dropped, by the field that was wrong."""
    has_images: bool
    languages: list[str]
    splits: dict[str, int]
    """Images in each split."""
    genders: dict[str, dict[str, int]]
    """Samples by the gender of their caption, by language."""
    ambiguous: dict[str, int]
    """Captions whose words allow another gender, by language; `ambiguous.parquet` lists them."""
    notes: tuple[str, ...] = ()
    """What is to be said of a table's pairs, scripts and splits."""


def prepare(source: DataSource, base: Path, out: Path, progress: Progress) -> SamplesSummary:
    """Write samples.parquet, dropped.parquet, ambiguous.parquet, summary.json and, if there are any, images/ to `out`.

    Args:
        source: the study's data section.
        base: the folder that a relative table path starts at.
        out: an empty folder.
        progress: called with rows and images done; may stop the work.

    Raises:
        BadInput: the source is wrong, or more of it had to be dropped than it allows.
    """
    drawn = _read(source, base, out, progress)
    frame = drawn.frame.sort("image_id", "sample_id")
    dropped = pl.DataFrame(drawn.drops, schema=DROPPED, orient="row")
    ambiguous = ambiguous_captions(frame, _languages(frame))
    summary = _summary(frame, dropped, ambiguous, drawn)
    frame.write_parquet(out / FILE)
    dropped.write_parquet(out / "dropped.parquet")
    ambiguous.write_parquet(out / "ambiguous.parquet")
    text = json.dumps(asdict(summary), ensure_ascii=False, indent=1)
    (out / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def read_samples(folder: Path) -> pl.DataFrame:
    """The samples that `prepare` wrote to `folder`, sorted by image_id and sample_id."""
    return pl.read_parquet(folder / FILE, glob=False)


def capture_drops(shards: Iterable[Path]) -> pl.DataFrame:
    """The captions that captured shards left out, in the shards' order: sample_id, language, reason.

    Raises:
        DamagedArtifact: the summary of a shard is missing or not JSON.
    """
    drops = [drop for shard in shards for drop in read_json(shard / "shard.json").get("drops", ())]
    return pl.DataFrame([{name: drop[name] for name in _CAPTURE_DROPS} for drop in drops], schema=_CAPTURE_DROPS)


def analysed(samples: pl.DataFrame, drops: pl.DataFrame) -> pl.DataFrame:
    """The samples that the model was run on: those of which capture dropped no caption."""
    return samples.filter(~pl.col("sample_id").is_in(drops["sample_id"].implode()))


def _read(source: DataSource, base: Path, out: Path, progress: Progress) -> Drawn:
    if isinstance(source, TableSource):
        return read_table(source, base, out, progress)
    if isinstance(source, EmojiSource):
        return read_emoji(source, progress)
    progress(0, source.num_samples)
    frame = generate_scenes(out, num_samples=source.num_samples, seed=source.seed)
    progress(frame.height, frame.height)
    return Drawn(frame, [], frame.height)


def _languages(frame: pl.DataFrame) -> list[str]:
    return [language for language in LANGUAGES if frame[f"caption_{language}"].null_count() < frame.height]


def _summary(frame: pl.DataFrame, dropped: pl.DataFrame, ambiguous: pl.DataFrame, drawn: Drawn) -> SamplesSummary:
    languages = _languages(frame)
    images = frame.unique("image_id", maintain_order=True)
    return SamplesSummary(
        rows=drawn.rows,
        samples=frame.height,
        images=images.height,
        dropped=dropped.height,
        dropped_by_field=_counts(dropped["field"], sorted(dropped["field"].unique())),
        has_images=frame["image"].null_count() < frame.height,
        languages=languages,
        splits=_counts(images["split"], SPLITS),
        genders={language: _counts(frame[f"gender_{language}"], _GENDERS) for language in languages},
        ambiguous=_counts(ambiguous["language"], languages),
        notes=tuple(drawn.notes),
    )


def _counts(values: pl.Series, names: tuple[str, ...] | list[str]) -> dict[str, int]:
    return {name: int((values == name).sum()) for name in names}
