"""Features that are planted over the attributes of scenes, with the tables of a catalogue as its steps hand them on.

A feature is the value of one attribute: it fires on the English caption's word for it (on the last word where the
caption has no such word, and in Arabic), stronger in some samples than in others, and is silent where the attribute has
another value. Each scene stands there once as drawn and once per attribute with that attribute changed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from core.data.scene_changes import VALUES, changed
from core.data.scenes import Scene, SceneWorld, paint, study_scenes
from core.explain.about import About
from core.explain.tables import ACTIVATION_EXAMPLES, WINDOWS
from core.explain.twins import one_apart, twins

CHANGED = ("colour", "object", "place")
"""The attributes that features are planted over; a word of theirs stands in every English caption."""
LANGUAGES = ("en", "ar")
SAE = "planted/layer_3"
_CELLS = 16


@dataclass(frozen=True)
class Feature:
    number: int
    attribute: str
    value: str

    @property
    def oracle(self) -> str:
        """What was planted, in words."""
        return f"{self.attribute.replace('_', ' ')} {self.value}"


@dataclass(frozen=True)
class Planted:
    """The world; `confounded` scenes are at the beach where their colour is red, and nowhere else."""

    scenes: int = 80
    seed: int = 0
    confounded: bool = False

    @cached_property
    def features(self) -> list[Feature]:
        named = [(name, value) for name in CHANGED for value in VALUES[name]]
        return [Feature(number, *one) for number, one in enumerate(named)]

    @cached_property
    def drawn(self) -> dict[str, Scene]:
        """Scenes by sample; those of one base follow each other."""
        rng, found = np.random.default_rng(self.seed), {}
        for number, scene in enumerate(study_scenes(self.scenes, self.seed, twins=False).values()):
            if self.confounded:
                place = "beach" if _value(scene, "colour") == "red" else "forest"
                scene = changed(scene, place=place)
            found[f"{number:03d}"] = scene
            for name in () if self.confounded else CHANGED:
                others = [value for value in VALUES[name] if value != _value(scene, name)]
                found[f"{number:03d}-{name}"] = changed(scene, **{name: str(rng.choice(others))})
        return found

    @cached_property
    def samples(self) -> pl.DataFrame:
        rows = [
            {
                "sample_id": sample,
                "image_id": sample,
                "image": f"images/{sample}.png",
                "caption_en": scene.caption("en").text,
                "caption_ar": scene.caption("ar").text,
                "twin_id": None,
                **{name: _value(scene, name) for name in ("profession", "gender", "mood", "skin_tone", *CHANGED)},
            }
            for sample, scene in self.drawn.items()
        ]
        return pl.DataFrame(rows, schema_overrides={"twin_id": pl.String})

    def open(self, name: str) -> Image.Image:
        """The picture that the samples name."""
        return paint(self.drawn[name.removeprefix("images/").removesuffix(".png")], SceneWorld())

    @cached_property
    def prompts(self) -> list[dict[str, Any]]:
        rows = self.samples.iter_rows(named=True)
        pairs = [(row, language) for row in rows for language in LANGUAGES]
        return [
            {"prompt_id": number, "language": language, "row": row, "tokens": cut(row[f"caption_{language}"])}
            for number, (row, language) in enumerate(pairs)
        ]

    def values(self, feature: Feature, prompt: dict[str, Any]) -> list[float]:
        """The feature's activation on each token of a prompt."""
        tokens, strength = prompt["tokens"], 1 + (prompt["prompt_id"] * 7919 + feature.number) % 97 / 97
        if prompt["row"][feature.attribute] != feature.value:
            return [0.0] * len(tokens)
        named = [n for n, token in enumerate(tokens) if bare(token) == feature.value and prompt["language"] == "en"]
        return [strength if n in (named or [len(tokens) - 1]) else 0.0 for n in range(len(tokens))]

    @cached_property
    def windows(self) -> pl.DataFrame:
        rows = [row for feature in self.features for row in self._windows(feature)]
        return pl.DataFrame(rows, schema=WINDOWS)

    @cached_property
    def examples(self) -> pl.DataFrame:
        """`ACTIVATION_EXAMPLES`."""
        rows = []
        for feature in self.features:
            for prompt in self.prompts:
                values = self.values(feature, prompt)
                if any(values):
                    rows.append(_example(feature, prompt, values))
        return pl.DataFrame(rows, schema=ACTIVATION_EXAMPLES)

    @cached_property
    def about(self) -> About:
        pairs = twins(one_apart(self.samples, None), self.examples, self.windows, self.samples, seed=0)
        numbers = tuple(feature.number for feature in self.features)
        return About(SAE, numbers, self.samples, None, self.open, pairs, seed=0, draws=50)

    def _windows(self, feature: Feature) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng([self.seed, feature.number])
        told = [(prompt, self.values(feature, prompt)) for prompt in self.prompts]
        firing = sorted((one for one in told if any(one[1])), key=lambda one: -max(one[1]))
        silent = [one for one in told if not any(one[1])]
        for band in range(4):
            own = firing[band * len(firing) // 4 : (band + 1) * len(firing) // 4]
            chosen = rng.permutation(len(own))[:10].tolist()
            for place, number in enumerate(chosen):
                yield self._window(feature, own[number], "explain" if place % 2 else "score", "quantile", 4 - band)
        for kind, places in zip(("random", "hard"), rng.permutation(len(silent))[:20].reshape(2, 10), strict=True):
            for number in places.tolist():
                yield self._window(feature, silent[number], "score", kind, None)

    def _window(
        self, feature: Feature, told: tuple[dict[str, Any], list[float]], use: str, kind: str, quantile: int | None
    ) -> dict[str, Any]:
        prompt, values = told
        cells = [0.0] * _CELLS
        cells[feature.number % _CELLS] = max(values)
        shown = {name: prompt["row"][name] for name in ("sample_id", "image")}
        fixed = {"feature_id": feature.number, "sae_id": SAE, "use": use, "kind": kind, "quantile": quantile}
        text = {name: prompt[name] for name in ("prompt_id", "language", "tokens")}
        return {**fixed, **shown, **text, "values": values, "map_cells": cells}


def cut(caption: str) -> list[str]:
    """Words with the space before them, and punctuation, as tokens."""
    return re.findall(r"\s*(?:[\w']+|[^\w\s])", caption)


def bare(token: str) -> str:
    return token.strip().lower()


def derangement(count: int) -> list[int]:
    """Every number at another's place."""
    return [(number + count // 2) % count for number in range(count)]


def explanations(features: Sequence[Feature], texts: Sequence[str], explainer: str) -> pl.DataFrame:
    """`EXPLANATIONS` that say these texts."""
    from core.explain.tables import EXPLANATIONS

    rows = [
        {
            "feature_id": feature.number,
            "sae_id": SAE,
            "explainer": explainer,
            "explanation_method": "planted",
            "llm_explainer": "",
            "language": "en",
            "text": text,
        }
        for feature, text in zip(features, texts, strict=True)
    ]
    return pl.DataFrame(rows, schema=EXPLANATIONS)


def _value(scene: Scene, name: str) -> str:
    if name in ("gender", "skin_tone"):
        return str(getattr(scene, name))
    content = scene.content
    named = {"profession": content.profession, "object": content.thing, "place": content.place, "mood": content.mood}
    return str(named[name].name if name in named else content.colour)


def _example(feature: Feature, prompt: dict[str, Any], values: list[float]) -> dict[str, Any]:
    pairs = [{"token_position": n, "activation_value": value} for n, value in enumerate(values) if value]
    return {
        "feature_id": feature.number,
        "sae_id": SAE,
        "prompt_id": prompt["prompt_id"],
        "prompt_tokens": prompt["tokens"],
        "num_activations": len(pairs),
        "max_activation": max(values),
        "activation_pairs": pairs,
        "language": prompt["language"],
        "sample_id": prompt["row"]["sample_id"],
        "image": prompt["row"]["image"],
        "map_cells": None,
    }
