"""Features with their examples, and the gallery's images with their captions, as cards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from core.report import text
from core.report.columns import Column, columns_of, entry, picture, strip
from core.report.contents import LANGUAGES, label
from core.report.examples import KEYS, chosen_examples
from core.report.model import Gallery, ShownTable
from core.report.pictures import Picture, Pictures

MOST_CARDS = 12
MOST_EXAMPLES = 6
_DRAWN = {"strip", "map", "image"}
_CAPTIONS = ("reference", "clean", "ablated", "amplified")


@dataclass(frozen=True)
class FeatureCard:
    """One feature: what is known of it, and its examples, in a table or (maps alone) as a film."""

    title: str
    facts: tuple[tuple[str, Markup], ...]
    headings: tuple[Column, ...]
    examples: tuple[tuple[Markup, ...], ...]
    film: tuple[tuple[Markup, str], ...] = ()


@dataclass(frozen=True)
class FeatureCards:
    """The cards of one table; `left_out` features are not shown."""

    name: str
    heading: str
    cards: tuple[FeatureCard, ...]
    left_out: int


@dataclass(frozen=True)
class CaptionView:
    """One caption of a gallery image, what is changed against the clean one marked."""

    kind: str
    words: Markup
    direction: Markup


@dataclass(frozen=True)
class SpokenView:
    """One language of a gallery image."""

    language: str
    code: str
    captions: tuple[CaptionView, ...]
    strip: Markup
    effect: str


@dataclass(frozen=True)
class GalleryCard:
    """One image of the gallery."""

    sample: str
    rule: str
    image: Markup
    overlays: tuple[tuple[str, Markup], ...]
    spoken: tuple[SpokenView, ...]


def feature_cards(shown: ShownTable, facts: pl.DataFrame | None, pictures: Pictures) -> FeatureCards:
    """A table of examples as one card per feature, in the order of `facts`, which has one row per feature."""
    chosen = chosen_examples(shown.table, facts, MOST_CARDS, MOST_EXAMPLES)
    known = {} if facts is None else {(row["layer"], row["feature"]): row for row in facts.iter_rows(named=True)}
    columns = () if facts is None else columns_of(facts)
    cards = []
    for group in chosen.partition_by(KEYS, maintain_order=True):
        row = known.get((group["layer"][0], group["feature"][0]), {})
        entries = {
            column.heading: entry(column, row, pictures) for column in columns if row.get(column.name) is not None
        }
        cards.append(_feature_card(group, entries, pictures))
    features = shown.table.select(KEYS).n_unique()
    return FeatureCards(shown.name, shown.heading, tuple(cards), features - len(cards))


def _feature_card(group: pl.DataFrame, entries: Mapping[str, Markup], pictures: Pictures) -> FeatureCard:
    first = group.row(0, named=True)
    columns = [column for column in columns_of(group) if column.name not in KEYS]
    fixed = [column for column in columns if column.name not in _DRAWN and _is_constant(group[column.name])]
    varied = tuple(column for column in columns if column not in fixed)
    constant = {column.heading: entry(column, first, pictures) for column in fixed if first[column.name] is not None}
    facts = {**constant, **entries}
    filmed = "map" in group.columns and "strip" not in group.columns
    rows = list(group.iter_rows(named=True))
    return FeatureCard(
        title=f"Layer {first['layer']} · feature {first['feature']}",
        facts=tuple((name, value) for name, value in facts.items() if name not in ("Layer", "Feature")),
        headings=() if filmed else varied,
        examples=() if filmed else tuple(tuple(entry(column, row, pictures) for column in varied) for row in rows),
        film=tuple(_frame(row, columns, pictures) for row in rows) if filmed else (),
    )


def _frame(row: Mapping[str, Any], columns: Sequence[Column], pictures: Pictures) -> tuple[Markup, str]:
    """A map over its image, and the row's numbers under it."""
    numbers = [f"{column.heading} {text.number(float(row[column.name]))}" for column in columns if column.numeric]
    drawn = pictures.overlay(row.get("image"), row["map"])
    words = f"Map of layer {row['layer']}, feature {row['feature']} over {row.get('image')}"
    return picture(drawn, words), ", ".join(numbers)


def _is_constant(values: pl.Series) -> bool:
    return len({str(value) for value in values.to_list()}) == 1


def gallery_cards(gallery: Gallery, pictures: Pictures) -> tuple[GalleryCard, ...]:
    """One card per image and rule, its languages side by side."""
    keys = [key for key in ("rule", "sample_id") if key in gallery.table.columns]
    groups = gallery.table.partition_by(keys, maintain_order=True) if gallery.table.height else []
    return tuple(_gallery_card(group.to_dicts(), pictures) for group in groups)


def _gallery_card(rows: Sequence[Mapping[str, Any]], pictures: Pictures) -> GalleryCard:
    first = rows[0]
    name = first.get("image")
    return GalleryCard(
        sample=str(first["sample_id"]),
        rule=label(str(first.get("rule") or "")),
        image=picture(pictures.thumbnail(name), f"Image of sample {first['sample_id']}"),
        overlays=tuple(_overlays(rows, pictures)),
        spoken=tuple(_spoken(row) for row in rows),
    )


def _overlays(rows: Iterable[Mapping[str, Any]], pictures: Pictures) -> Iterable[tuple[str, Markup]]:
    """The maps of a card, each once: a feature's map over the image is the same before either caption."""
    seen: set[str] = set()
    for row in rows:
        drawn: Picture | None = pictures.overlay(row.get("image"), row.get("map"))
        if drawn is not None and drawn.name not in seen:
            seen.add(drawn.name)
            words = f"Where the features fire on the image of sample {row['sample_id']}"
            yield LANGUAGES.get(str(row.get("language")), ""), picture(drawn, words)


def _spoken(row: Mapping[str, Any]) -> SpokenView:
    code = str(row.get("language") or "")
    effect = row.get("effect")
    return SpokenView(
        language=LANGUAGES.get(code, code),
        code=code,
        captions=tuple(_captions(row)),
        strip=strip(row["strip"]) if row.get("strip") else Markup(""),
        effect="" if effect is None else text.number(float(effect), 2),
    )


def _captions(row: Mapping[str, Any]) -> Iterable[CaptionView]:
    clean = str(row.get("clean") or "")
    for kind in _CAPTIONS:
        caption = row.get(kind)
        if caption is None:
            continue
        compared = clean if kind in ("ablated", "amplified") else str(caption)
        words = Markup(" ").join(
            Markup("<mark>{}</mark>").format(piece) if changed else Markup("{}").format(piece)
            for piece, changed in text.changed_words(compared, str(caption))
        )
        yield CaptionView(kind, words or Markup('<span class="none">(empty)</span>'), text.direction(str(caption)))
