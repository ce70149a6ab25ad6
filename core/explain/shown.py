"""Which part of its prompts a feature is shown in: captions, instructions, or images alone."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from core.explain.firing import Firing
from core.explain.prompt_rows import Prompts

Part = Literal["caption", "instruction", "image"]


@dataclass(frozen=True)
class PartStrength:
    """How strongly each pair of feature and prompt fires in each part of the prompt, and the entries of each part."""

    of: dict[Part, Float[np.ndarray, " k"]]
    entries: dict[Part, Bool[np.ndarray, " n"]]

    @classmethod
    def measured(cls, fired: Firing, prompts: Prompts) -> "PartStrength":
        """The strength of every pair."""
        prompt = np.repeat(fired.prompt, np.diff(fired.starts))
        caption = ~fired.image & (fired.place >= prompts.captions[prompt])
        entries: dict[Part, Bool[np.ndarray, " n"]] = {
            "caption": caption,
            "instruction": ~fired.image & ~caption,
            "image": fired.image,
        }
        return cls({part: fired.strongest(among) for part, among in entries.items()}, entries)

    def part(self, pairs: slice) -> Part:
        """The part for one feature: the text where it fires in most prompts; images alone where it fires in text in
        fewer than half as many prompts as in images."""
        counts = {part: int((strength[pairs] > 0).sum()) for part, strength in self.of.items()}
        text: Part = "caption" if counts["caption"] >= counts["instruction"] else "instruction"
        return text if 2 * counts[text] >= counts["image"] else "image"


def bounds(part: Part, prompts: Prompts) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Where the part's tokens start and stop among each prompt's own tokens; in images alone there are none."""
    none = np.zeros(len(prompts), np.int64)
    if part == "image":
        return none, none
    return (prompts.captions, prompts.lengths) if part == "caption" else (none, prompts.captions)


def showable(part: Part, prompts: Prompts) -> Bool[np.ndarray, " P"]:
    """The prompts that have such a part."""
    if part == "image":
        return prompts.cells > 0
    low, high = bounds(part, prompts)
    return high > low
