"""What a gallery row is made of: which images are shown, heat strips, maps."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from core.causal.interventions import EditSite
from core.causal.pairs import MinimalPair
from core.lm.patched import IMAGE, TokenBatch
from core.lm.prompts import EncodedSample

CHANGED = "changed caption"
RULES = ("largest effect", "median effect", "least effect", "failure")
"""In what respect an image is shown: taking the features out shifted its gendered words most toward the other gender,
as much as the median, not at all, or most in the wrong direction. Before these, by rule `CHANGED`, come images with a
generated caption that changes gender."""


def pick_images(effects: dict[str, float], count: int, changed: Collection[str] = ()) -> dict[str, str]:
    """Up to `count` images, each with the rule that chose it, the rules taking turns.

    Up to half of them are images of `changed`, whose generated captions change gender, the largest effect first. A
    failure shifted away from the other gender; without any left, that rule passes.
    """
    left = dict(sorted(effects.items()))
    if not left:
        return {}
    middle = float(np.median(list(left.values())))
    distance: dict[str, Callable[[float], float]] = {
        RULES[0]: lambda effect: -effect,
        RULES[1]: lambda effect: abs(effect - middle),
        RULES[2]: abs,
        RULES[3]: lambda effect: effect,
    }
    most = sorted(set(changed) & left.keys(), key=lambda image: (-left[image], image))[: (count + 1) // 2]
    chosen = dict.fromkeys(most, CHANGED)
    left = {image: effect for image, effect in left.items() if image not in chosen}
    while left and len(chosen) < count:
        for rule in RULES:
            if not left or len(chosen) == count:
                break
            _, best = min((distance[rule](effect), image) for image, effect in left.items())
            if rule == RULES[3] and left[best] >= 0:
                continue
            chosen[best] = rule
            del left[best]
    return chosen


@dataclass(frozen=True)
class Strip:
    """Summed activation of the chosen features along a caption's pieces of text, and over the image's cells."""

    pieces: tuple[tuple[str, float], ...]
    cells: tuple[float, ...]


def read_strips(
    pairs: Sequence[MinimalPair], batch: TokenBatch, site: EditSite, features: Sequence[int]
) -> list[Strip]:
    """The strips of captions that ran together, in their order."""
    heat = torch.zeros(site.reach.shape, device=site.stream.device)
    heat[site.reach] = site.activations(features).sum(dim=1)
    values = heat.cpu().numpy().astype(np.float64)
    cells = (batch.segments == IMAGE).cpu().numpy()
    found = []
    for row, pair in enumerate(pairs):
        found.append(Strip(_pieces(pair.caption, values[row]), tuple(values[row][cells[row]].tolist())))
    return found


def _pieces(caption: EncodedSample, values: Float[np.ndarray, " T"]) -> tuple[tuple[str, float], ...]:
    """The caption's text cut at its tokens, the space before a token with it; tokens of one character together."""
    pieces: list[tuple[str, float]] = []
    done = 0
    for span, value in zip(caption.spans, values[: len(caption.spans)], strict=True):
        if span is None:
            continue
        if span[1] > done or not pieces:
            pieces.append((caption.caption[done : span[1]], float(value)))
            done = span[1]
        else:  # the rest of a character that takes several tokens
            pieces[-1] = (pieces[-1][0], max(pieces[-1][1], float(value)))
    return tuple(pieces)
