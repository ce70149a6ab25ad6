"""The gallery's images with their captions before and after intervention, as cards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from core.report import text
from core.report.columns import picture, strip
from core.report.contents import LANGUAGES, label
from core.report.model import Gallery
from core.report.pictures import Picture, Pictures

RULES = {
    "changed caption": "a generated caption speaks of the other side once features are taken out or turned up",
    "largest effect": "taking the features out shifts the caption's word most toward the other side",
    "median effect": "the shift is the median one",
    "least effect": "the shift is closest to none",
    "failure": "the shift goes the wrong way, away from the other side",
}
"""Why an image is shown, in words."""
_INTERVENED = ("ablated", "amplified")
_CAPTIONS = ("reference", "clean", *_INTERVENED)


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
    unchanged: str = ""


@dataclass(frozen=True)
class GalleryCard:
    """One image of the gallery."""

    sample: str
    rule: str
    why: str
    image: Markup
    overlays: tuple[tuple[str, Markup], ...]
    spoken: tuple[SpokenView, ...]


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
        why=RULES.get(str(first.get("rule")), ""),
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
        unchanged=_unchanged(row),
    )


def _unchanged(row: Mapping[str, Any]) -> str:
    """One line for the interventions that leave the clean caption as it is."""
    same = [kind for kind in _INTERVENED if row.get(kind) is not None and row[kind] == row.get("clean")]
    return f"{' and '.join(same)}: the same words as clean".capitalize() if same else ""


def _captions(row: Mapping[str, Any]) -> Iterable[CaptionView]:
    clean = str(row.get("clean") or "")
    for kind in _CAPTIONS:
        caption = row.get(kind)
        if caption is None or (kind in _INTERVENED and caption == row.get("clean")):
            continue
        compared = clean if kind in _INTERVENED else str(caption)
        words = Markup(" ").join(
            Markup("<mark>{}</mark>").format(piece) if changed else Markup("{}").format(piece)
            for piece, changed in text.changed_words(compared, str(caption))
        )
        yield CaptionView(kind, words or Markup('<span class="none">(empty)</span>'), text.direction(str(caption)))
