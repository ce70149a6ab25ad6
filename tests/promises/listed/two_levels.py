"""Changes to the two-level resamples and to what draws them."""

from tests.promises.mutation import Mutant

_TWO_LEVEL = "core/stats/two_level.py"
_MEANS = "core/causal/resampling.py"
_OUT = "core/stats/groups_out.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"two levels: {breaks}", file, old, new, "test_two_levels.py")


MUTANTS: tuple[Mutant, ...] = (
    _of(
        "groups are drawn with replacement",
        _TWO_LEVEL,
        "times = rng.multinomial(sizes.size, np.full(sizes.size, 1 / sizes.size), size=draws)",
        "times = np.ones((draws, sizes.size), dtype=np.int64)",
    ),
    _of(
        "effects are resampled over professions",
        _MEANS,
        "return bootstrap_mean(values, self.bootstrap, self.inputs.seed, self.drawn(images, language))",
        "return bootstrap_mean(values, self.bootstrap, self.inputs.seed, self._own_units(images, language))",
    ),
    _of(
        "p is of the professions that the interval draws",
        _MEANS,
        "return drawn.groups if isinstance(drawn, Nested) else drawn",
        "return drawn.units if isinstance(drawn, Nested) else drawn",
    ),
    _of(
        "unseen professions are resampled, not images alone",
        _OUT,
        "counts = nested.counts(draws, seed)",
        "counts = Nested(nested.units, nested.units).counts(draws, seed)",
    ),
    _of(
        "a study that does not ask is left as it is",
        "core/analysis/ablation/__init__.py",
        "professions: bool = added(False)",
        "professions: bool = False",
    ),
    _of(
        "the layer of unseen professions is picked on the selection split",
        "core/analysis/overview/unseen.py",
        'for row in table.filter("picked").iter_rows(named=True):',
        'for row in table.sort("auroc").tail(1).with_columns(layer=3).iter_rows(named=True):',
    ),
)
