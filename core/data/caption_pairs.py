"""Generated captions as a set, beside the data's own of the same images: LIC, and directional bias amplification."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from core.data.caption_sets import frequent, has, other_words, told
from core.data.concept import Concept
from core.data.languages import LANGUAGE_NAMES
from core.stats.bias_amplification import Told, directional_amplification
from core.stats.group_means import Agreement
from core.stats.leakage import Leakage, leakage
from core.stats.two_level import Nested

Draws = tuple[int, int]
"""Resamples for the interval, and draws of the control."""


@dataclass(frozen=True, eq=False)
class CaptionPairs:
    """One generated caption and one of the data's own per image, of images on one of a concept's sides.

    `first` [N] tells whether an image is on the first side; `units` [N] what it belongs to (an image and its twin are
    one unit); `kept` [N] its place among the `given` images, those without a side among them.
    """

    concept: Concept
    language: str
    generated: Sequence[str]
    own: Sequence[str]
    first: Bool[np.ndarray, " N"]
    units: Int[np.ndarray, " N"]
    kept: Int[np.ndarray, " N"]
    given: int

    @classmethod
    def of(
        cls,
        concept: Concept,
        language: str,
        generated: Sequence[str],
        own: Sequence[str],
        units: Sequence[int] | None = None,
    ) -> "CaptionPairs":
        """The images whose own caption tells one side, which is theirs; without units each image is one.

        Raises:
            ValueError: the lists differ in length, or the concept has no words of the language.
        """
        if language not in LANGUAGE_NAMES:
            known = ", ".join(LANGUAGE_NAMES)
            raise ValueError(f"language {language!r}: no words that tell the {concept.name}; known: {known}")
        _same_length(own, {"generated captions": generated, "units": units})
        sides = [told(concept, text, language) for text in own]
        kept = [place for place, side in enumerate(sides) if side in concept.sides]
        every = np.arange(len(own)) if units is None else np.asarray(units)
        return cls(
            concept,
            language,
            [generated[place] for place in kept],
            [own[place] for place in kept],
            np.array([sides[place] == concept.sides[0] for place in kept], dtype=bool),
            every[kept].astype(np.int64),
            np.array(kept, dtype=np.int64),
            len(own),
        )

    @cached_property
    def _words(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        model, data = (
            [other_words(self.concept, text, self.language) for text in texts] for texts in (self.generated, self.own)
        )
        return model, data

    @property
    def _sides(self) -> Bool[np.ndarray, "N 2"]:
        return np.stack([self.first, ~self.first], axis=1)

    def leakage(self, draws: int = 99, seed: int = 0) -> Leakage | None:
        """LIC (`core.stats.leakage`), the words that tell a side taken out; null with too few images of a side.

        `draws` are exchanges of the two captions, the control.
        """
        return leakage(self._words, self.first, self.units, draws, seed)

    def to_side(self, groups: Sequence[str | None], draws: Draws = (1000, 99), seed: int = 0) -> Agreement | None:
        """Directional bias amplification from groups to the side that captions tell (`core.stats.bias_amplification`);
        the interval draws groups, then units within each.

        Args:
            groups: one per given image, those whose own caption tells no single side among them; null: left out.
            draws: resamples, and exchanges of the two captions.
            seed: of both.

        Raises:
            ValueError: more or fewer groups than images were given.
        """
        if len(groups) != self.given:
            raise ValueError(f"{len(groups)} groups, {self.given} images: one of each per image given")
        kept = [place for place, image in enumerate(self.kept) if groups[image] is not None]
        if not kept:
            return None
        own = [groups[self.kept[place]] for place in kept]
        names = sorted({str(group) for group in own})
        given = np.array([[group == name for name in names] for group in own])
        said = [told(self.concept, self.generated[place], self.language) for place in kept]
        model = np.array([[one == side for side in self.concept.sides] for one in said])
        nested = Nested.of(own, self.units[kept])
        return directional_amplification(Told(given, self._sides[kept], model), nested, draws, seed)

    def to_words(self, most: int = 100, draws: Draws = (1000, 99), seed: int = 0) -> Agreement | None:
        """The same from sides to the `most` most frequent other words of the data's captions."""
        model, data = self._words
        words = frequent(data, most)
        if not words:
            return None
        return directional_amplification(
            Told(self._sides, has(data, words), has(model, words)), self.units, draws, seed
        )


def _same_length(own: Sized, others: Mapping[str, Sized | None]) -> None:
    for name, other in others.items():
        if other is not None and len(other) != len(own):
            raise ValueError(f"{len(other)} {name}, {len(own)} of the data's captions: one of each per image")
