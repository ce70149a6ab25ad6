"""Changes that break promises of the bias: what is asked, of which images, and what stands beside it."""

from tests.promises.mutation import Mutant

_BIAS = "core/analysis/bias"
_RATES, _HIDDEN, _READABLE = f"{_BIAS}/rates.py", f"{_BIAS}/hidden.py", f"{_BIAS}/readable.py"
_WRITTEN, _SETS, _FINDINGS = f"{_BIAS}/written.py", f"{_BIAS}/sets.py", f"{_BIAS}/set_findings.py"
_ASKED, _VISIBLE = "core/causal/asked_words.py", "core/data/visible.py"
_MEANS, _LEAKAGE = "core/stats/group_means.py", "core/stats/leakage.py"
_AMPLIFIED, _PAIRS = "core/stats/bias_amplification.py", "core/data/caption_pairs.py"


def _of(breaks: str, file: str, old: str, new: str, tests: str = "test_bias.py") -> Mutant:
    return Mutant(f"bias: {breaks}", file, old, new, tests)


def _asked(breaks: str, old: str, new: str) -> Mutant:
    return _of(breaks, _ASKED, old, new, "../core/causal/test_asked_words.py")


def _set(breaks: str, file: str, old: str, new: str) -> Mutant:
    return _of(breaks, file, old, new, "test_bias_sets.py")


def _read(breaks: str, old: str, new: str) -> Mutant:
    return _of(breaks, _READABLE, old, new, "test_bias_readable.py")


MUTANTS = (
    _asked("P(female) with the word's end", "states, targets, ends)", "states, targets, ends | ~ends)"),
    _of("nothing is said where no side has a word", _ASKED, "found.filter(~unlikely)", "found"),
    _asked("P(female) is the first side's", "np.exp(first - either)", "np.exp(other - either)"),
    _of(
        "P(neutral) is of all three",
        _ASKED,
        "np.exp(neutral - np.logaddexp(either, neutral))",
        "np.exp(neutral - either)",
    ),
    _asked("a capital where a caption begins", "own if opens or not late else None", "own"),
    _asked("the first word is asked", "min(spans, default=None)", "max(spans, default=None)"),
    _asked("text is asked behind itself", "LAST_PROMPT if pictured else BEHIND", "LAST_PROMPT"),
    _of(
        "a word that tells a side is not neutral",
        _ASKED,
        "{**dict.fromkeys(inputs.concept.neutral(language), NEUTRAL), **tells}",
        "{**tells, **dict.fromkeys(inputs.concept.neutral(language), NEUTRAL)}",
    ),
    _of(
        "of hidden images the label rate is that of those asked",
        _HIDDEN,
        "chosen = (hidden if of_hidden else every)",
        "chosen = every",
    ),
    _of("what was made is no data", _HIDDEN, "if FLIPPED in samples.columns:", "if False:"),
    _of("whole units are drawn", _HIDDEN, "units = inputs.units(images)", "units = np.arange(len(images))"),
    _of("the draw follows the seed", _HIDDEN, "default_rng(inputs.seed)", "default_rng(0)"),
    _of(
        "rates are of their own language",
        _RATES,
        'own = hidden.asked.filter(pl.col("language") == language)',
        "own = hidden.asked",
    ),
    _of(
        "label rates are of their own language",
        _RATES,
        'labels = hidden.labels.filter(pl.col("language") == language).select',
        'labels = hidden.labels.unique("image_id", keep="first", maintain_order=True).select',
    ),
    _of(
        "twins are one unit",
        _RATES,
        'measured.group_by("group", "unit")',
        'measured.group_by("group", "unit", "image_id")',
    ),
    _of(
        "the planted rate is of its own column",
        _RATES,
        "known = planted is not None and planted.column == column",
        "known = planted is not None",
    ),
    _of("amplification is less its control", _RATES, "Agreement.of(value - float(null.mean())", "Agreement.of(value"),
    _of(
        "labels are redrawn at the model's rate",
        _RATES,
        "np.nan_to_num(groups.means[:, 0])\n",
        "np.nan_to_num(groups.means[:, 1])\n",
    ),
    _of(
        "amplification is to the side of the labels",
        _RATES,
        "np.sign(np.nan_to_num(label) - 0.5)",
        "np.sign(np.nan_to_num(rate) - 0.5)",
    ),
    _of(
        "q over the rows of a measure",
        _RATES,
        'schema=OVER_GROUPS), pl.col("measure"))',
        "schema=OVER_GROUPS), pl.lit(0))",
    ),
    _of("spread is one-sided", _RATES, "columns_of(found, measure == SPREAD)", "columns_of(found)"),
    _of(
        "groups are resampled",
        _MEANS,
        "Nested.of(self.codes.tolist(), self.units)",
        "Nested.of(self.units.tolist(), self.units)",
    ),
    _of(
        "the spread's interval is that of F",
        _MEANS,
        "f.ppf(part, *free)) for part",
        "1.0) for part",
    ),
    _of("few groups have no order", _MEANS, "known.sum() < LEAST_GROUPS", "known.sum() < 2"),
    _read(
        "a probe is fitted on images that show it",
        'table.filter(pl.col("image_id").is_in(hidden.visible.shown))',
        "table",
    ),
    _read("a probe is scored on images that do not show it", "if image in unseen]", "]"),
    _read("a layer is chosen on selection images", 'row.get("auroc_select", 0)', 'row.get("auroc", 0)'),
    _read("p over a whole curve", 'permutation_p(abs(row["value"]), highest[_of(row)])', 'row["p"]'),
    _of(
        "groups in the order of the first language's rate",
        f"{_BIAS}/side_by_side.py",
        'pl.coalesce("planted", "_first")',
        '"planted"',
    ),
    _of("shares are of images that do not show it", _WRITTEN, 'written.filter(~pl.col("shown"), ', "written.filter("),
    _of("a caption of both sides tells none", _WRITTEN, '.when(pl.col("told") == other).then(0.0)', ".otherwise(0.0)"),
    _of(
        "captions of twins are one",
        _WRITTEN,
        'known.group_by("group", "unit")',
        'known.group_by("group", "unit", "image_id")',
    ),
    _set("made labels are in no set of images", _SETS, ', ~pl.col("sample_id").is_in(made))', ")"),
    _set("a set's null is its control", _FINDINGS, "else control.mean", "else 0.0"),
    _set(
        "shuffles keep twins apart",
        _LEAKAGE,
        "rng.permutation(side[some[source]])",
        "rng.choice(side, len(some[place]))",
    ),
    _set("confidence counts where the side is named", _LEAKAGE, "np.where(own > 0.5, own, 0)", "own"),
    _set(
        "twins are in one fold",
        _LEAKAGE,
        "folds.split(found, side, units)",
        "folds.split(found, side, np.arange(len(found)))",
    ),
    _set("LIC is less the data's own", _LEAKAGE, "Agreement(model - data, low", "Agreement(model, low"),
    _set("the data lean, not the model", _AMPLIFIED, "(of_data - p_given * p_told)", "(of_model - p_given * p_told)"),
    _set(
        "exchanges are of whole units",
        _AMPLIFIED,
        "told.exchanged(coin[own])",
        "told.exchanged(rng.integers(0, 2, size) == 1)",
    ),
    _set(
        "an image is on the side of its own caption",
        _PAIRS,
        "sides = [told(concept, text, language) for text in own]",
        "sides = [told(concept, text, language) for text in generated]",
    ),
    _of(
        "all rows of an image agree on what it shows",
        _VISIBLE,
        "pl.when(values.n_unique() == 1, ",
        "pl.when(values.n_unique() >= 1, ",
    ),
    _of("a neutral caption says that nothing shows", _VISIBLE, "(clear.len() == people.len()) & ", ""),
    _of("a caption of both speaks of several people", _VISIBLE, '(people == "both").any()', '(people == "both").all()'),
)
"""Each is noticed by test_bias.py, test_bias_sets.py, or the tests of what is asked."""
