"""How often generated captions speak of the other gender than the clean caption does."""

import polars as pl

from core.data.gender import label_caption
from core.stats.intervals import wilson

CONDITIONS = ("ablated", "amplified", "random")
OTHER = {"female": "male", "male": "female"}
CHANGES = pl.Schema(
    {
        "language": pl.String,
        "condition": pl.String,
        "captions": pl.UInt32,
        "changed": pl.UInt32,
        "rate": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)


def gender_changes(captions: pl.DataFrame) -> pl.DataFrame:
    """How many captions change from one gender to the other, of those whose clean caption has one."""
    rows = []
    for (language,), part in captions.group_by("language", maintain_order=True):
        before = [label_caption(text, str(language)).gender for text in part["clean"]]
        for condition in CONDITIONS:
            after = [None if t is None else label_caption(t, str(language)).gender for t in part[condition]]
            known = [(was, now) for was, now in zip(before, after, strict=True) if was in OTHER and now is not None]
            changed = sum(now == OTHER[was] for was, now in known)
            rate = wilson(changed, len(known))
            counted = {"language": language, "condition": condition, "captions": len(known), "changed": changed}
            rows.append({**counted, "rate": rate.mean, "low": rate.low, "high": rate.high})
    return pl.DataFrame(rows, schema=CHANGES).filter(pl.col("captions") > 0)


def away_from(clean: str, language: str, otherwise: int) -> int:
    """+1 to steer toward female, −1 toward male: away from the caption's gender; `otherwise` where it has none."""
    gender = label_caption(clean, language).gender
    return {"male": 1, "female": -1}.get(gender, otherwise)


def headlines(changes: pl.DataFrame, layer: int) -> tuple[str, ...]:
    """One sentence a language: how many captions change gender, by condition."""
    sentences = []
    for (language,), part in changes.group_by("language", maintain_order=True):
        told = [
            f"{row['condition']} {row['changed']} of {row['captions']} ({row['rate']:.0%} "
            f"[{row['low']:.0%}, {row['high']:.0%}])"
            for row in part.rows(named=True)
        ]
        sentences.append(f"{language}: generated captions that change gender at layer {layer}: {'; '.join(told)}.")
    return tuple(sentences)
