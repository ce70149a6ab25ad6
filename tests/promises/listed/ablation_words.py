"""Changes that break promises of the ablation's word sets and written captions."""

from tests.promises.mutation import Mutant

_SETS, _WORDS = "core/causal/word_sets.py", "core/analysis/ablation/lexicon.py"
_WRITTEN, _CAPTIONS = "core/causal/written.py", "core/analysis/ablation/captions.py"


def _word(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"ablation: {breaks}", file, old, new, "test_ablation_words.py")


def _caption(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"ablation: {breaks}", file, old, new, "test_ablation_captions.py")


MUTANTS = (
    _word(
        "the likeliest word of a side stands for all",
        _SETS,
        "np.logaddexp.reduce(log_probs[:, side], axis=1)",
        "log_probs[:, side].max(axis=1)",
    ),
    _word("words are kept without their counterparts", _SETS, "(kept | partners)", "(kept)"),
    _word("a word of both sides counts", _SETS, "if not both.intersection(pair)", "if True"),
    _word("words that cannot be spelled are kept", _SETS, " & np.isfinite(log_probs))", ")"),
    _word(
        "the sum's effect is that of the pair",
        _WORDS,
        'effects, rows = by_image(words.drop_nans("effect"), []), []',
        "effects, rows = zeroed, []",
    ),
    _word(
        "what the scored words miss is not told",
        _WORDS,
        '(words["whole"] - words["effect"])',
        '(words["whole"] - words["whole"])',
    ),
    _caption("captions without one gender count as unchanged", _CAPTIONS, "wide.fill_nan(None)", "wide.fill_null(0.0)"),
    _caption("quality is not beside clean captions", _CAPTIONS, "shift = ablated - before", "shift = ablated"),
    _caption(
        "random captions are not beside clean ones",
        _CAPTIONS,
        '(pl.col("value") - pl.col("before")).alias("value")',
        '"value"',
    ),
    _caption("q is over measures too", _CAPTIONS, 'pl.col("measure"))', "pl.lit(True))"),
    _caption("a rate has a bootstrap's interval", _CAPTIONS, "    if measure == CHANGED:\n", "    if False:\n"),
    _caption("a caption of both genders has changed", _WRITTEN, "not in (None, before)", "!= before"),
)
"""Each is noticed by test_ablation_words.py or test_ablation_captions.py."""
