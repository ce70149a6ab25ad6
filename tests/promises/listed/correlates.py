"""Changes that break what a correlate is."""

from tests.promises.mutation import Mutant

CODE, TESTS = "core/features/correlates.py", "test_correlates.py"
MUTANTS = (
    Mutant(
        "correlates: η² is adjusted for the number of groups",
        CODE,
        "return np.asarray(1 - (1 - share) * (n - 1) / max(n - kinds, 1))",
        "return np.asarray(share)",
        TESTS,
    ),
    Mutant(
        "correlates: chosen on the selection split, reported on test",
        CODE,
        "labelled_images(features.images, labels, split), groups) for split in SPLITS]",
        'labelled_images(features.images, labels, "test"), groups) for split in SPLITS]',
        TESTS,
    ),
    Mutant(
        "correlates: concept and attribute are compared over the same images",
        CODE,
        "concept = adjusted_eta2(values, known.positive[said].astype(np.int64))",
        "concept = adjusted_eta2(features.means[np.ix_(known.rows, np.asarray(chosen))], known.positive.astype(int))",
        TESTS,
    ),
    Mutant(
        "correlates: an attribute as strong as the concept shares the feature",
        CODE,
        "(attribute >= np.nan_to_num(concept))",
        "(attribute > np.nan_to_num(concept) + 1e-9)",
        TESTS,
    ),
    Mutant(
        "correlates: an attribute that explains nothing shares nothing",
        CODE,
        "(attribute > 0) & ",
        "(attribute > -1) & ",
        TESTS,
    ),
    Mutant(
        "correlates: the concept's own columns are no attributes",
        "core/data/own_columns.py",
        "own = {concept.shown[0], concept.name, concept.column, *map(concept.label_column, LANGUAGES)}",
        "own = {concept.name, concept.column, *map(concept.label_column, LANGUAGES)}",
        TESTS,
    ),
    Mutant(
        "correlates: a column that sorts images as a described concept does is no attribute of it",
        "core/data/own_columns.py",
        "if name not in same]",
        "if name]",
        TESTS,
    ),
    Mutant(
        "correlates: the attribute that exceeds most is named",
        CODE,
        'descending=[True, False], maintain_order=True)\n        .unique("feature"',
        'descending=[False, False], maintain_order=True)\n        .unique("feature"',
        TESTS,
    ),
    Mutant(
        "correlates: images whose samples disagree have no attribute",
        "core/data/attributes.py",
        "pl.when(values.len() == 1)",
        "pl.when(values.len() >= 1)",
        TESTS,
    ),
    Mutant(
        "correlates: unknown attributes leave an image out",
        CODE,
        "said = codes[known.rows] >= 0",
        "said = codes[known.rows] >= -1",
        TESTS,
    ),
    Mutant(
        "correlates: a correlate on either split counts",
        CODE,
        "either = pl.any_horizontal(",
        "either = pl.all_horizontal(",
        TESTS,
    ),
    Mutant(
        "associations: Haldane's half is added to each cell",
        "core/features/associations.py",
        "np.log((firing + 0.5) / (chosen.sum() - firing + 0.5))",
        "np.log((firing + 0.1) / (chosen.sum() - firing + 0.1))",
        TESTS,
    ),
)
