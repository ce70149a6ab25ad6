"""How many captions of our own lists are labelled as a reader labels them: `python -m tests.core.data.label_accuracy`.

The lists, one a language, are labels/english.csv and labels/arabic.csv: `caption,gender,kind`. The tables that this
prints stand in docs/labels.md.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from core.data.gender import label_caption

GENDERS = ("female", "male", "both", "neutral", "none")
_LISTS = Path(__file__).with_name("labels")
_LANGUAGES = {"english": "en", "arabic": "ar"}


def languages() -> list[str]:
    """The languages that have a list, English first."""
    return [name for name in _LANGUAGES if (_LISTS / f"{name}.csv").is_file()]


def labelled(language: str) -> pl.DataFrame:
    """The list of a language: caption, gender (the reader's), kind, and `found`, the labeller's gender."""
    frame = pl.read_csv(_LISTS / f"{language}.csv")
    found = [label_caption(caption, _LANGUAGES[language]).gender for caption in frame["caption"]]  # type: ignore[arg-type]
    return frame.with_columns(found=pl.Series(found, dtype=pl.String))


def accuracy(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """Captions, how many are right, and their share, for each value of the column `by`."""
    right = (pl.col("gender") == pl.col("found")).sum().alias("right")
    return (
        frame.group_by(by, maintain_order=True)
        .agg(pl.len().alias("captions"), right)
        .with_columns(share=pl.col("right") / pl.col("captions"))
    )


def _tables(language: str) -> Iterable[str]:
    frame = labelled(language)
    yield f"### {language.capitalize()}: {frame.height} captions\n"
    yield f"| the reader's label | captions | right | {' | '.join(GENDERS)} |"
    yield "|---|---|---|" + "---|" * len(GENDERS)
    for gender in GENDERS:
        part = frame.filter(gender=gender)
        counts = [str(part.filter(found=found).height) for found in GENDERS]
        yield f"| {gender} | {part.height} | {_share(part)} | {' | '.join(counts)} |"
    yield "\n| kind | captions | right |\n|---|---|---|"
    for (kind,), part in frame.group_by("kind", maintain_order=True):
        yield f"| {kind} | {part.height} | {_share(part)} |"
    yield f"| all | {frame.height} | {_share(frame)} |\n"


def _share(frame: pl.DataFrame) -> str:
    return f"{(frame['gender'] == frame['found']).mean():.1%}" if frame.height else "–"


if __name__ == "__main__":
    print("\n".join(line for language in languages() for line in _tables(language)))
