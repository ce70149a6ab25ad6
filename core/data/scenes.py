"""The known-answer world: pictures with captions whose every cause is known, for studies and for the captioner.

Planted, and written to `truth.json`: the gender that each person shows; for people who show none, a rate
P(female | profession) that the captions' gender is drawn from, independent of place, object and colour; the lexicon of
gendered pairs; and every gendered word of every caption. Importing this module needs neither torch nor transformers.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.data import scene_lexicon as lexicon
from core.data.languages import LANGUAGES
from core.data.scene_captions import CORNERS
from core.data.scene_drawing import Scene, SceneWorld, Stream, boxes, draw_scenes, flipped, paint
from core.data.scene_lexicon import Visible

__all__ = ["SCENE_SCHEMA", "Scene", "SceneWorld", "generate_scenes", "paint", "training_scenes", "unseen_scenes"]

SCENE_SCHEMA: dict[str, Any] = {
    "sample_id": pl.String,
    "image_id": pl.String,
    "image": pl.String,
    "caption_en": pl.String,
    "caption_ar": pl.String,
    "gender_en": pl.String,
    "gender_ar": pl.String,
    "visible_gender": pl.String,
    "split": pl.String,
    "twin_id": pl.String,
    "pair_id": pl.String,
    "is_flipped": pl.Boolean,
    "profession": pl.String,
    "skin_tone": pl.String,
    "object": pl.String,
    "colour": pl.String,
    "place": pl.String,
    "mood": pl.String,
    "place_first": pl.Boolean,
    "person_box": pl.List(pl.Int64),
    "object_box": pl.List(pl.Int64),
    "place_box": pl.List(pl.Int64),
}
"""The columns of the table that `generate_scenes` returns. `is_flipped` marks the twin that was not drawn but flipped
from the drawn scene: a neutral person's rate P(female | profession) holds among the drawn rows only."""


class _Sample(NamedTuple):
    """A scene with its place in the study."""

    scene: Scene
    sample_id: str
    split: str
    twin_id: str | None
    pair_id: str
    is_flipped: bool

    @property
    def image(self) -> str:
        return f"images/{self.sample_id}.png"


def generate_scenes(out: Path, *, num_samples: int, seed: int, twins: bool = True) -> pl.DataFrame:
    """Write images/NNNNN.png and truth.json below `out`; return one row per sample.

    Half of the rows are for training, a quarter each for selection and test. With `twins`, the latter two come in
    gender-flipped pairs, which stand side by side and share `pair_id`; a neutral person's twin has the same picture
    and the other gender's words. `num_samples` counts all rows.
    """
    if num_samples < 0:
        raise ValueError(f"num_samples must not be negative, got {num_samples}")
    world = SceneWorld()
    samples = _samples(num_samples, seed, twins, world)
    (out / "images").mkdir(parents=True, exist_ok=True)
    for sample in samples:
        paint(sample.scene, world).save(out / sample.image)
    truth = _truth(samples, seed, twins, world)
    (out / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return pl.DataFrame([_row(sample) for sample in samples], schema=SCENE_SCHEMA, orient="row")


def scene_table(num_samples: int, seed: int, twins: bool = True) -> pl.DataFrame:
    """The rows that `generate_scenes` returns, without a picture painted."""
    samples = _samples(num_samples, seed, twins, SceneWorld())
    return pl.DataFrame([_row(sample) for sample in samples], schema=SCENE_SCHEMA, orient="row")


def study_scenes(num_samples: int, seed: int, *, twins: bool = True) -> dict[str, Scene]:
    """The scenes that `generate_scenes` paints, by sample_id."""
    return {sample.sample_id: sample.scene for sample in _samples(num_samples, seed, twins, SceneWorld())}


def training_scenes(num_scenes: int, seed: int, *, neutral_share: float | None = None) -> list[Scene]:
    """Draw the captioner's training corpus, from the stream that no study draws from (see `draw_scenes`)."""
    return _mixed("training", num_scenes, seed, neutral_share)


def unseen_scenes(num_scenes: int, seed: int, *, neutral_share: float | None = None) -> list[Scene]:
    """Draw scenes from the studies' stream, which the captioner never saw in training: its evaluation."""
    return _mixed("study", num_scenes, seed, neutral_share)


def _mixed(stream: Stream, num_scenes: int, seed: int, neutral_share: float | None) -> list[Scene]:
    world = SceneWorld()
    share = world.neutral_share if neutral_share is None else neutral_share
    kinds = np.random.default_rng([seed, num_scenes]).permutation(np.array(_kinds(num_scenes, share), dtype=object))
    return list(draw_scenes(kinds.tolist(), seed=seed, stream=stream, world=world))


def _kinds(count: int, neutral_share: float) -> list[Visible]:
    """The stated share of neutral people; women and men in equal parts."""
    neutral = round(count * neutral_share)
    women = (count - neutral + 1) // 2
    numbers: dict[Visible, int] = {"neutral": neutral, "woman": women, "man": count - neutral - women}
    return [kind for kind, number in numbers.items() for _ in range(number)]


def _plan(num_samples: int, seed: int, twins: bool, world: SceneWorld) -> list[tuple[str, Visible]]:
    """Return the split and the kind of person of every scene to draw; a pair of twins is one scene."""
    held_out = num_samples // 4 - (num_samples // 4 % 2 if twins else 0)
    counts = {
        "train": num_samples - 2 * held_out,
        "select": held_out // 2 if twins else held_out,
        "test": held_out // 2 if twins else held_out,
    }
    plan = [(split, kind) for split, count in counts.items() for kind in _kinds(count, world.neutral_share)]
    order = np.random.default_rng([seed, num_samples]).permutation(len(plan))
    return [plan[index] for index in order]


def _samples(num_samples: int, seed: int, twins: bool, world: SceneWorld) -> list[_Sample]:
    plan = _plan(num_samples, seed, twins, world)
    scenes = draw_scenes([kind for _, kind in plan], seed=seed, stream="study", world=world)
    samples: list[_Sample] = []
    for (split, _), scene in zip(plan, scenes, strict=True):
        first, second = f"{len(samples):05d}", f"{len(samples) + 1:05d}"
        paired = twins and split != "train"
        samples.append(_Sample(scene, first, split, second if paired else None, f"pair-{first}", False))
        if paired:
            samples.append(_Sample(flipped(scene), second, split, first, f"pair-{first}", True))
    return samples


def _row(sample: _Sample) -> tuple[Any, ...]:
    scene, box = sample.scene, boxes(sample.scene)
    content = scene.content
    identity = (sample.sample_id, sample.sample_id, sample.image)
    words = (scene.caption("en").text, scene.caption("ar").text, scene.gender, scene.gender, scene.visible)
    pairing = (sample.split, sample.twin_id, sample.pair_id, sample.is_flipped)
    person = (content.profession.name, scene.skin_tone)
    rest = (content.thing.name, content.colour, content.place.name, content.mood.name, scene.place_first)
    return (*identity, *words, *pairing, *person, *rest, box["person"], box["object"], box["place"])


def _truth(samples: list[_Sample], seed: int, twins: bool, world: SceneWorld) -> dict[str, Any]:
    """Everything that was planted, and how it came out."""
    return {
        "world": asdict(world),
        "seed": seed,
        "num_samples": len(samples),
        "twins": twins,
        "female_rate_of_neutral": world.female_rates(),
        "realised_female_rate_of_neutral": _realised_rates([s.scene for s in samples if not s.is_flipped]),
        "professions": [profession._asdict() for profession in lexicon.PROFESSIONS],
        "objects": [thing._asdict() for thing in lexicon.OBJECTS],
        "places": [place._asdict() for place in lexicon.PLACES],
        "colours": list(lexicon.COLOURS),
        "moods": [mood.name for mood in lexicon.MOODS],
        "skin_tones": list(lexicon.SKIN_TONES),
        "corners": list(CORNERS),
        "lexicon": gendered_pairs(),
        "samples": {sample.sample_id: _sample_truth(sample.scene) for sample in samples},
    }


def gendered_pairs() -> dict[str, list[dict[str, str]]]:
    """Return every pair of gendered words that captions can hold, by language: female form, male form, kind."""
    english = [(lexicon.SUBJECT_EN, "noun"), (lexicon.PRONOUN_EN, "pronoun"), (lexicon.POSSESSIVE_EN, "possessive")]
    arabic = [
        (lexicon.SUBJECT_AR, "noun"),
        (lexicon.SUBJECT_DEFINITE_AR, "noun"),
        (lexicon.PRONOUN_AR, "pronoun"),
        (lexicon.DEMONSTRATIVE_AR, "demonstrative"),
        *((profession.ar, "profession") for profession in lexicon.PROFESSIONS),
        *((mood.ar, "adjective") for mood in lexicon.MOODS),
        *((thing.verb_ar, "verb") for thing in lexicon.OBJECTS),
        *((thing.noun_ar, "possessive") for thing in lexicon.OBJECTS),
    ]
    return {
        language: [{"female": pair.female, "male": pair.male, "kind": kind} for pair, kind in pairs]
        for language, pairs in zip(LANGUAGES, (english, arabic), strict=True)
    }


def realised_female_rates(scenes: list[Scene]) -> dict[str, float]:
    """Return the share of female captions among neutral people, by profession; professions without any are left out."""
    return {name: row["rate"] for name, row in _realised_rates(scenes).items()}


def _realised_rates(scenes: list[Scene]) -> dict[str, dict[str, float]]:
    neutral = [scene for scene in scenes if scene.visible == "neutral"]
    rates = {}
    for profession in lexicon.PROFESSIONS:
        female = [scene.gender == "female" for scene in neutral if scene.content.profession.name == profession.name]
        if female:
            rates[profession.name] = {"count": len(female), "rate": sum(female) / len(female)}
    return rates


def _sample_truth(scene: Scene) -> dict[str, Any]:
    """A sample's corner and, by language, its gendered words with their places in the caption."""
    gendered = {language: [word._asdict() for word in scene.caption(language).gendered] for language in LANGUAGES}
    return {"corner": scene.content.corner, "gendered_words": gendered}
