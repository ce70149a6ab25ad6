"""Changes that break promises of the ablation."""

from tests.promises.mutation import Mutant

_SUMMARY, _SETS = "core/analysis/ablation/summary.py", "core/stats/against_sets.py"
_MEANS, _MEASURES = "core/causal/resampling.py", "core/analysis/ablation/measures.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    alone = file.startswith("core/stats/")
    return Mutant(breaks, file, old, new, "test_against_sets.py" if alone else "test_ablation.py")


MUTANTS = (
    Mutant(
        "ablation: share as mean of ratios",
        "core/stats/intervals.py",
        "ratio = float(part.sum() / whole.sum())",
        "ratio = float((part / whole).mean())",
        "test_ablation.py",
    ),
    _of("ablation: share of no ceiling", _SUMMARY, "not resampling.mean(whole, images, language).low > 0", "False"),
    _of(
        "ablation: mean of the other language",
        _MEASURES,
        "means(features, language)",
        'means(features, "en" if language == "ar" else "ar")',
    ),
    _of(
        "ablation: q over the pooled rows too",
        _SUMMARY,
        'corrected_within(effects, pl.col("language") == ALL)',
        "corrected_within(effects, pl.lit(True))",
    ),
    _of(
        "ablation: one-sided p",
        "core/stats/permuted.py",
        "distance = np.abs(every - every.mean())",
        "distance = every - every.mean()",
    ),
    _of(
        "ablation: p holds the images fixed",
        _SETS,
        "p = max(rank_p(float(own.mean()), means), sign_flip_p(own - drawn.mean(axis=0), flips, seed, units))",
        "p = rank_p(float(own.mean()), means)",
    ),
    _of(
        "ablation: p holds the sets fixed",
        _SETS,
        "p = max(rank_p(float(own.mean()), means), sign_flip_p(own - drawn.mean(axis=0), flips, seed, units))",
        "p = sign_flip_p(own - drawn.mean(axis=0), flips, seed, units)",
    ),
    _of(
        "ablation: captions are not averaged within images",
        _SUMMARY,
        'own = frame.group_by(["language", *keys, "image_id"], maintain_order=True).agg(pl.col("effect").mean())',
        "own = frame",
    ),
    _of(
        "ablation: twins are two units",
        _MEANS,
        "return bootstrap_mean(values, self.bootstrap, self.inputs.seed, self.drawn(images, language))",
        "return bootstrap_mean(values, self.bootstrap, self.inputs.seed)",
    ),
    _of(
        "ablation: the layer is picked by its number",
        "core/stats/picking.py",
        "descending=[True, False]",
        "descending=[False, False]",
    ),
    _of(
        "ablation: the last prompt token is ablated alone wherever",
        _MEASURES,
        "    if last_prompt:\n",
        "    if True:\n",
    ),
)
"""Each is noticed by test_ablation.py or test_against_sets.py."""
