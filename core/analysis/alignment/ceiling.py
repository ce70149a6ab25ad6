"""What two SAEs of one layer, trained alike from two seeds, share by the measures that compare the languages."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy import sparse

from core.analysis.alignment.concept_features import Firsts, first_features, nearest, unit
from core.analysis.alignment.design import Design, Sides
from core.analysis.alignment.layer import Compared
from core.analysis.alignment.same_image import live_features, matched_features
from core.features.caption_rows import PairedCaptions, caption_groups, pair
from core.features.encoded import sum_encoded
from core.features.layer_view import LayerView
from core.sae.architectures import SparseAutoencoder
from core.stats.matching import Pairs


def seed_ceiling(
    opened: LayerView, sibling: SparseAutoencoder, captions: PairedCaptions, design: Design, found: Compared
) -> Mapping[str, float]:
    """The measures between a layer's SAE and its sibling on the same captions, averaged over the two languages.

    Args:
        opened: the layer.
        sibling: the other SAE.
        captions: of the layer's SAE, all images.
        design: the images compared.
        found: what was compared with the layer's SAE.
    """
    groups = caption_groups(opened.table.tokens)
    other = pair(sum_encoded(sibling, opened.table, groups), opened.languages[:2])
    own, others = captions.of(design.images), other.of(design.images)
    sides = ((own.first.means, others.first.means), (own.second.means, others.second.means))
    matched = [_matched(*side, design) for side in sides]
    ceilings = {"matched": float(np.mean([share for _, share in matched]))}
    if found.firsts is None or design.sides is None:
        return ceilings
    labels = Sides(design.sides.rows, design.sides.positive[:, :1])
    most = found.firsts.top
    firsts = first_features((others.first.means, others.second.means), labels, other.supported, most)
    if firsts is None:
        return ceilings
    decoders = tuple(unit(sae.W_dec.detach().float().cpu().numpy()) for sae in (opened.sae, sibling))
    pairs = [part for part, _ in matched]
    return {**ceilings, **_of_firsts(found.firsts, firsts, pairs, decoders)}


def _matched(own: sparse.csr_array, other: sparse.csr_array, design: Design) -> tuple[Pairs, float]:
    """The mutual nearest features of the SAEs on one language's captions, and their share of the live ones."""
    pairs = matched_features(own, other, design, 0)
    return pairs, pairs.first.size / max(int(live_features(own).sum()), 1)


def _of_firsts(
    own: Firsts, other: Firsts, pairs: list[Pairs], decoders: tuple[Float[np.ndarray, "F D"], ...]
) -> dict[str, float]:
    """Of each language's first features: those whose match is among the sibling's, and how near these lie."""
    found = []
    for mine, theirs, matched in zip((own.first[0], own.second[0]), (other.first[0], other.second[0]), pairs):
        kept = matched.first[np.isin(matched.second, theirs)]
        cosine, transport = nearest(decoders[0][mine], decoders[1][theirs])
        found.append((np.isin(mine, kept).mean(), cosine.mean(), transport.mean()))
    return dict(zip(("overlap", "cosine", "transport"), map(float, np.mean(found, axis=0)), strict=True))
