"""Changes to the overview, to what ranks and tests features, and to the splice."""

from tests.promises.mutation import Mutant

_FEATURES, _READING = "test_overview_features.py", "test_overview_probes.py"


def _mutant(breaks: str, file: str, old: str, new: str, tests: str = "test_overview.py") -> Mutant:
    return Mutant(f"overview: {breaks}", file, old, new, tests)


_EMERGENCE = "core/analysis/overview/emergence.py"
_ONSET = "core/analysis/overview/onset.py"
_TOP = "core/analysis/overview/top_features.py"
_QUALITY = "core/analysis/overview/quality.py"
_ASSOCIATIONS = "core/features/associations.py"
_FAMILIES = "core/features/families.py"
_ROWS = "core/features/row_groups.py"
_SHUFFLES = "core/features/shuffles.py"
_PROBES = "core/stats/probes.py"
_CURVES = "core/stats/curves.py"
_SPLICE = "core/causal/splice.py"

MUTANTS = (
    # The issue's
    _mutant(
        "the peak layer is chosen on the selection split",
        _ONSET, 'best = known["auroc_select"].arg_max()', 'best = known["auroc"].arg_max()',
    ),
    _mutant(
        "a layer is picked by associations of the selection split",
        "core/features/ranking.py", 'SPLIT = "select"', 'SPLIT = "test"',
    ),
    _mutant(
        "the difference of means is taken on train",
        _EMERGENCE, "difference_of_means(units.train)", "difference_of_means(units.test)",
    ),
    _mutant(
        "professions are held out",
        _PROBES, "(~np.isin(train.groups, out), np.isin(test.groups, out))",
        "(np.isin(train.groups, names), np.isin(test.groups, out))", _READING,
    ),
    _mutant(
        "q is over the rows of one question",
        _FAMILIES, 'corrected(part) for part in asked.partition_by("question", maintain_order=True)',
        "corrected(part) for part in [asked]", _FEATURES,
    ),
    _mutant("an image counts by its mean", _ROWS, "totals / rows, (selection", "totals, (selection"),
    _mutant(
        "captions have the label of their own language",
        _ASSOCIATIONS, "cls(concept.image_labels(samples, language)", 'cls(concept.image_labels(samples, "en")',
        _FEATURES,
    ),
    _mutant(
        "prompt rows are spliced", _SPLICE,
        '_SEGMENTS = {"image": IMAGE, "prompt": PROMPT, "caption"', '_SEGMENTS = {"image": IMAGE, "caption"', _FEATURES,
    ),
    _mutant(
        "odds have a half added", _ASSOCIATIONS,
        "(firing + 0.5) / (chosen.sum() - firing + 0.5)", "(firing + 0.1) / (chosen.sum() - firing + 0.1)", _FEATURES,
    ),
    # Our own
    _mutant(
        "attribute odds have a half added", "core/analysis/overview/counts.py",
        'pl.col(_OTHER).cast(pl.Float64) + 0.5', 'pl.col(_OTHER).cast(pl.Float64) + 0.1', _FEATURES,
    ),
    _mutant("LDA is fitted on train", _EMERGENCE, "discriminant(units.train)", "discriminant(units.test)"),
    _mutant(
        "the curve's probe is fitted on train",
        _EMERGENCE, "probe = logistic_at(units.train, strength)", "probe = logistic_at(units.test, strength)",
    ),
    _mutant(
        "sparse features are chosen on train",
        _EMERGENCE, "sparse_probe(units.train, k)", "sparse_probe(units.test, k)",
    ),
    _mutant(
        "probes are scored on test", _EMERGENCE, "    test, select = units.test, units.select\n",
        "    test, select = units.train, units.select\n",
    ),
    _mutant(
        "a probe's interval is drawn by unit",
        _EMERGENCE, "setup.bootstrap, setup.seed, test.units)", "setup.bootstrap, setup.seed)",
    ),
    _mutant(
        "a feature's interval is drawn by unit",
        _TOP, "setup.bootstrap, setup.seed, units)", "setup.bootstrap, setup.seed)",
    ),
    _mutant(
        "shown features are picked on the selection split",
        _TOP, 'distance = (pl.col("auroc_select") - 0.5).abs()', 'distance = (pl.col("auroc") - 0.5).abs()',
    ),
    _mutant(
        "features are tested on test images", _FAMILIES, 'split: str = "test"', 'split: str = "select"',
    ),
    _mutant(
        "shared rows are tested once", _ROWS,
        "return (SHARED,) if position_set in self.shared_sets else tuple(languages)", "return tuple(languages)",
        _FEATURES,
    ),
    _mutant(
        "shared rows have the label that all captions agree on",
        _ASSOCIATIONS, "label in own])", "label in list(own)[:1]])", _FEATURES,
    ),
    _mutant(
        "the stream of an image is the mean of its rows",
        _ROWS, "return images, (selection @ sums) / rows", "return images, selection @ sums",
    ),
    _mutant(
        "support is counted whatever the label", _ASSOCIATIONS,
        "support >= max(MIN_IMAGES, 0.01", "support > max(MIN_IMAGES, 0.01", _FEATURES,
    ),
    _mutant(
        "an image's languages are shuffled together", _SHUFFLES,
        "moved[stratum.members, :, draw] = known[stratum.drawn(rng)] == 1",
        "moved[stratum.members, :, draw] = rng.permuted(known[stratum.drawn(rng)], axis=-1) == 1",
    ),
    _mutant(
        "twins differ in every shuffle", _SHUFFLES, "units.get(name, name)", "name",
    ),
    _mutant(
        "the layer is corrected over the curve", _CURVES,
        "sliding_window_view(z, run, axis=-1).min(axis=-1).max(axis=-1)",
        "sliding_window_view(z, run, axis=-1).min(axis=-1)[..., 0]", _READING,
    ),
    _mutant(
        "the layer is corrected over the family's curves",
        _CURVES, "largest = np.max(null, axis=0)", "largest = null[0]", _READING,
    ),
    _mutant("p is two-sided", _CURVES, "np.maximum(sustained(null), sustained(-null))", "sustained(null)", _READING),
    _mutant("a verdict needs three layers", _CURVES, "RUN = 3\n", "RUN = 2\n", _READING),
    _mutant(
        "the evidence quoted is that of the layer named",
        _ONSET, "_at(part, peak if onset is None else onset)", "_at(part, peak)", _READING,
    ),
    _mutant(
        "the interval of discoveries is less what shuffled runs have",
        _FAMILIES, "max(0, found - int(np.quantile(lucky, 0.975", "max(0, found - 0 * int(np.quantile(lucky, 0.975",
        _FEATURES,
    ),
    _mutant(
        "LDA shrinks by images, not dimensions", _PROBES, "/ (dims * n)\n", "/ dims\n", _READING,
    ),
    _mutant("a fold of few images is not shown", _PROBES, "MIN_OUT = 5", "MIN_OUT = 1", _READING),
    _mutant(
        "twins are in one inner fold", _PROBES,
        "together.split(train.x, train.y, train.units)", "together.split(train.x, train.y, np.arange(len(train.y)))",
    ),
    _mutant(
        "a word's random label is the same in test", _PROBES,
        "drawn[np.searchsorted(types, test)]", "1 - drawn[np.searchsorted(types, test)]", _READING,
    ),
    _mutant(
        "test rows are those of the test split", _QUALITY,
        '(pl.col("split") == split)\n', '((pl.col("split") == "train") == (split == "train"))\n',
    ),
    _mutant(
        "identical rows have no share of variance", _QUALITY,
        "spread if spread > IDENTICAL * squares else 0.0", "max(spread, 1e-30)", _FEATURES,
    ),
    _mutant(
        "test images are spliced", _SPLICE,
        'samples.filter(pl.col("split") == "test")', 'samples.filter(pl.col("split") != "train")',
    ),
    _mutant(
        "captions are averaged within their image", _SPLICE,
        'agg(pl.col("^ce_.*$").mean())', 'agg(pl.col("^ce_.*$").first())',
    ),
    _mutant(
        "the loss is drawn by unit", _SPLICE,
        "bootstrap_mean(spliced - clean, bootstrap, seed, units)", "bootstrap_mean(spliced - clean, bootstrap, seed)",
    ),
    _mutant(
        "no share where there is no loss to recover",
        _SPLICE, "np.quantile(spans, 0.025) <= 0 or not 0", "not 0", _FEATURES,
    ),
    _mutant("no share above 1", _SPLICE, "not 0 <= share <= 1", "not 0 <= share", _FEATURES),
    _mutant("outliers pass the splice", _SPLICE, "(segments == code) & ordinary", "segments == code", _FEATURES),
)  # fmt: skip
