"""Changes that break promises of units that share a context."""

from tests.promises.mutation import Mutant

_RESAMPLING, _INTERVALS = "core/causal/resampling.py", "core/stats/intervals.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_contexts.py")


MUTANTS = (
    _of(
        "contexts: images that share one are independent",
        _RESAMPLING,
        "append(context_of(pair))",
        "append(pair.image_id)",
    ),
    _of("contexts: those of all languages in each", _RESAMPLING, "if language in (name, None)", "if True"),
    _of(
        "contexts: p takes images for independent",
        _RESAMPLING,
        "to_numpy().T, self.units(images, language)",
        "to_numpy().T, self.inputs.units(images)",
    ),
    _of("contexts: one unit has an interval", _INTERVALS, "np.unique(units).size) < 2", "np.unique(units).size) < 1"),
    _of(
        "contexts: a picture is none of it",
        "core/causal/pairs.py",
        "return str(pair.caption.image), tuple",
        "return tuple",
    ),
    _of(
        "contexts: an estimate keeps an interval that is none",
        "core/stats/estimate.py",
        "or any(end is None or not math.isfinite(end) for end in ends)",
        "",
    ),
)
