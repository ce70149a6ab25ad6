"""Changes that break promises of interventions across languages, and of conclusions at two numbers of features."""

from tests.promises.mutation import Mutant

_VECTORS, _STEERED = "core/analysis/contrast/vectors.py", "core/analysis/contrast/steered.py"
_TABLE = "core/analysis/contrast/steered_table.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_contrast.py")


MUTANTS = (
    _of(
        "contrast: features are chosen in the vector's language",
        _VECTORS,
        "return replace(view.ranking, languages=(language,))",
        "return view.ranking",
    ),
    _of(
        "contrast: vectors are fitted on selection images",
        _VECTORS,
        'labelled_images(images, labels, "select")',
        'labelled_images(images, labels, "test")',
    ),
    _of(
        "contrast: rows that languages share are fitted on by none",
        _VECTORS,
        "if name in view.groups.shared_sets:",
        "if False:",
    ),
    _of(
        "contrast: every vector has one added norm",
        _STEERED,
        "scaled = vector * (norm / relative_norms(self._sites, Steering(vector).delta))",
        "scaled = vector * norm",
    ),
    _of(
        "contrast: even responses fall out",
        _STEERED,
        "for v in (scaled, -scaled))",
        "for v in (scaled, 0 * scaled))",
    ),
    _of(
        "contrast: the share is of the captions' own language",
        _TABLE,
        "home = means.filter(source=target, target=target, vector=kind, draw=OWN)",
        "home = means.filter(source=source, target=source, vector=kind, draw=OWN)",
    ),
    _of(
        "contrast: there is no share of nothing",
        _TABLE,
        "if not resampling.mean(whole, images, target).low > 0:",
        "if False:",
    ),
    _of(
        "contrast: effects within a language are a family of their own",
        _TABLE,
        'corrected_within(table, pl.col("source") == pl.col("target"))',
        "corrected_within(table, pl.lit(0))",
    ),
)
