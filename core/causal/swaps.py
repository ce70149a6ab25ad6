"""Feature-only swaps: what some features write in a donor's run, put in place of what they write in a run of its own.

`x ← x + Σ_f (a_f(donor) − a_f(own)) · d_f`; activations are read once, from the clean streams as they enter the patch,
and what the SAE does not explain stays as it was. How much of the whole interchange's effect the swap has is the
features' completeness; how much of the decision is left when everything but them is swapped, their faithfulness.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.causal.interchange import Donated
from core.causal.interventions import EditSite, open_edit_site, within
from core.features.layer_view import LayerView


@dataclass(frozen=True)
class SwapSite:
    """A clean stream, a donor's in line with it, and both's sparse codes at the R positions that a patch may reach.

    At positions where the donor has no row, or an outlier, nothing is swapped: `usable` [R] is false.
    """

    own: EditSite
    donor: EditSite
    usable: Bool[Tensor, " R"]
    view: LayerView

    @classmethod
    def of(cls, view: LayerView, own: EditSite, given: Donated) -> "SwapSite":
        """Read the donor's features where `own` reads its own."""
        donor = open_edit_site(view.sae, given.stream, _segments(own), own.reach)
        usable = given.known & within(given.stream, view.table.norm_limit)
        return cls(own, donor, usable[own.reach], view)

    def whole(self) -> Float[Tensor, "R D"]:
        """What turns the whole rows into the donor's."""
        difference = self.donor.stream[self.own.reach] - self.own.stream[self.own.reach]
        return difference.float() * self.usable[:, None]

    def features(self, features: Sequence[int]) -> Float[Tensor, "R D"]:
        """What turns some features into the donor's."""
        difference = self.donor.activations(features) - self.own.activations(features)
        return (difference @ self.own.decoder[list(features)]) * self.usable[:, None]

    def dictionary(self) -> Float[Tensor, "R D"]:
        """What turns all features into the donor's: the rest of `whole` is what the SAE does not explain."""
        with torch.no_grad():
            difference = self.view.sae.decode(self.donor.code) - self.view.sae.decode(self.own.code)
        return difference * self.usable[:, None]

    def along(self, direction: Float[Tensor, " D"]) -> Float[Tensor, "R D"]:
        """What turns the part along a unit direction into the donor's."""
        unit = direction.to(self.own.stream.device)
        return (self.whole() @ unit)[:, None] * unit


def _segments(site: EditSite) -> Int[Tensor, "B T"]:
    segments = torch.zeros(site.reach.shape, dtype=torch.int64, device=site.reach.device)
    segments[site.reach] = site.segments
    return segments


@dataclass(frozen=True)
class SetMeans:
    """Activations of n features averaged over each of S position sets of a row, and where a row has the set at all."""

    means: Float[Tensor, "B S n"]
    known: Bool[Tensor, "B S"]

    @classmethod
    def of(cls, site: EditSite, sets: Sequence[Bool[Tensor, "B T"]], features: Sequence[int]) -> "SetMeans":
        """The means over the positions that `site` reaches."""
        activations = site.activations(features)
        row = site.reach.nonzero()[:, 0]
        means, known = [], []
        for chosen in sets:
            inside = chosen[site.reach]
            sums = activations.new_zeros(len(site.reach), len(features)).index_add_(0, row[inside], activations[inside])
            count = torch.bincount(row[inside], minlength=len(site.reach))
            means.append(sums / count.clamp(min=1)[:, None])
            known.append(count > 0)
        return cls(torch.stack(means, dim=1), torch.stack(known, dim=1))

    def into(
        self, site: EditSite, sets: Sequence[Bool[Tensor, "B T"]], features: Sequence[int]
    ) -> Float[Tensor, "R D"]:
        """What sets the features, at every position of a set, to the mean that the same row has here.

        Position sets of two captions need not have one length: every position of a set gets the donor's mean over it.
        """
        activations, row = site.activations(features), site.reach.nonzero()[:, 0]
        target = activations.clone()
        for number, chosen in enumerate(sets):
            at = chosen[site.reach] & self.known[row, number]
            target[at] = self.means[row[at], number]
        delta: Tensor = (target - activations) @ site.decoder[list(features)]
        return delta
