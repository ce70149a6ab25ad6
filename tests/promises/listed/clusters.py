"""Changes to the clusters of features by where and what."""

from tests.promises.mutation import Mutant

_ROOM = "core/analysis/visual_patterns"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"clusters: {breaks}", file, old, new, "test_clusters.py")


MUTANTS: tuple[Mutant, ...] = (
    _of(
        "they are compared with shifted maps",
        f"{_ROOM}/described.py",
        "return replace(self, maps=moved, attributes",
        "return replace(self, attributes",
    ),
    _of(
        "they are compared with exchanged attributes",
        f"{_ROOM}/described.py",
        "attributes=self.attributes.exchanged(units, random))",
        "attributes=self.attributes)",
    ),
    _of(
        "twins are exchanged together",
        f"{_ROOM}/described.py",
        "strata = exchangeable([(0,)] * len(units), units.tolist())",
        "strata = exchangeable([(0,)] * len(units), list(range(len(units))))",
    ),
    _of(
        "p is of the stability against draws without a pattern",
        f"{_ROOM}/clusters.py",
        'found["p"] = permutation_p(float(agreed.mean()), rand)',
        'found["p"] = permutation_p(float(agreed.mean()), np.zeros(DRAWS))',
    ),
    _of(
        "a resample weighs the images of the map",
        f"{_ROOM}/described.py",
        "parts = (weights[self.row_image],",
        "parts = (np.ones(self.row_image.size),",
    ),
)
