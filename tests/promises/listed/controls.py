"""Changes that break promises of controls and steering vectors."""

from tests.promises.mutation import Mutant

_CONTROLS, _STEERING, _PATCH = "core/causal/controls.py", "core/causal/steering.py", "core/causal/interventions.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_controls.py" if file == _CONTROLS else "test_steering.py")


MUTANTS = (
    _of("controls: means before the word over training images too", _CONTROLS, "if image in images]", "if image]"),
    _of(
        "controls: strength on captions anywhere",
        _CONTROLS,
        "view.concept.positions.before)",
        "view.concept.positions.later)",
    ),
    _of(
        "controls: a set contributes its features' mean",
        _CONTROLS,
        "contribution.sum(axis=-1)",
        "contribution.mean(axis=-1)",
    ),
    _of("controls: any factor up to three", _CONTROLS, "CALIPERS = (1.25, 1.5, 2.0)", "CALIPERS = (1.25, 1.5, 3.0)"),
    _of(
        "controls: associated features are allowed",
        _CONTROLS,
        "(least_p(view) >= ASSOCIATED) &",
        "(least_p(view) >= 0) &",
    ),
    _of("controls: the least similar features", _CONTROLS, "[:_NEAREST]]", "[::-1][:_NEAREST]]"),
    _of(
        "controls: association on the selection split alone",
        _CONTROLS,
        'SPLITS = ("train", "select")',
        'SPLITS = ("select",)',
    ),
    _of(
        "controls: association on test images",
        _CONTROLS,
        'SPLITS = ("train", "select")',
        'SPLITS = ("train", "select", "test")',
    ),
    _of(
        "controls: later words are not looked at",
        _CONTROLS,
        "in view.concept.questions:",
        "in list(view.concept.questions)[:4]:",
    ),
    _of("controls: no caliper on the firing rate", _CONTROLS, "        _factor(self.rate, own.rate),\n", ""),
    _of(
        "controls: no caliper on the added norm",
        _CONTROLS,
        "        _factor(self.norm, own.norm, slack).max(axis=0),\n",
        "",
    ),
    _of("controls: chosen features among the controls", _CONTROLS, "    free[list(chosen)] = False\n", ""),
    _of(
        "controls: a few sets are enough",
        _CONTROLS,
        "int(pool.size), caliper) if len(sets) >= min(draws, LEAST)",
        "int(pool.size), caliper) if sets",
    ),
    _of("controls: a fixed seed", _CONTROLS, "np.random.default_rng(seed))\n", "np.random.default_rng(0))\n"),
    _of(
        "steering: the difference of means is not scaled",
        _STEERING,
        "difference / difference.norm() * own.norm()",
        "difference",
    ),
    _of(
        "steering: random vectors are not scaled",
        _STEERING,
        "vector / vector.norm().clamp(min=1e-12) * own.norm()",
        "vector",
    ),
    _of(
        "steering: difference of means from test images",
        _STEERING,
        'labelled_images(images, labels, "select")',
        'labelled_images(images, labels, "test")',
    ),
    _of("steering: all random signs are one", _STEERING, "generator.choice([-1, 1]", "generator.choice([1, 1]"),
    _of(
        "ablation: the replacement is of another segment",
        _PATCH,
        "(site.segments == segment)[:, None]",
        "(site.segments != segment)[:, None]",
    ),
)
"""Each is noticed by test_controls.py or test_steering.py."""
