"""Which analyses a study leaves out, and the reason that its report gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.analysis.declaration import Analysis, Need
from core.analysis.registry import declared
from core.data.known_concepts import THE_CONCEPT, is_built_in
from core.data.languages import LANGUAGES
from core.planning.located import Shape, Sources
from core.planning.study import Study
from core.study.concept import StudiedConcept
from core.study.data import TableSource
from core.study.language import Language
from core.study.sites import ADDED, STREAM


@dataclass(frozen=True)
class _Known:
    study: Study
    sources: Sources
    shape: Shape
    layers: Sequence[int]
    concept: StudiedConcept


def left_out(
    study: Study, sources: Sources, shape: Shape, layers: Sequence[int], concept: StudiedConcept
) -> dict[str, str]:
    """The analyses that are not run on these captured layers for one of the study's concepts, each with its reason."""
    known = _Known(study, sources, shape, layers, concept)
    reasons = {name: _reason(analysis, known) for name, analysis in declared().items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def lacks_head(study: Study, sources: Sources, shape: Shape) -> bool:
    """Whether nothing of the model's vocabulary head can be read off what the study's SAEs write."""
    known = _Known(study, sources, shape, (), StudiedConcept(name=THE_CONCEPT.name))
    return any(lacks(known) for need, lacks in _LACKS if need == "head")


def _reason(analysis: Analysis, known: _Known) -> str | None:
    section = getattr(known.study.analyses, analysis.name)
    if section is None:
        return "not in the study" if analysis.default() is not None else None
    if analysis.concept is not None and analysis.concept != known.concept.name:
        return f"it is about {analysis.concept} alone, and the study asks about {known.concept.name}"
    needs = analysis.needs_of(section)
    return next((reason for need, lacks in _LACKS if need in needs and (reason := lacks(known))), None)


def _lacks_language_model(known: _Known) -> str | None:
    if known.study.model.factory is not None:
        return "it needs a language model, and model.factory makes another"
    return None


def _lacks_images(known: _Known) -> str | None:
    if not known.shape.has_images:
        return "the study has no images"
    if not known.shape.even_images:
        return "it lays all images on one grid, and in this model each has a grid of its own"
    return None


def _lacks_layers(known: _Known) -> str | None:
    return "it compares layers, and one is captured" if len(known.layers) == 1 else None


def _lacks_stream(known: _Known) -> str | None:
    """What changes the residual stream token by token has nothing to change it by elsewhere; and of rows made
    elsewhere nobody knows which input they belong to."""
    site, pool = known.study.capture.site, known.study.capture.pool
    if site != STREAM:
        return f"it changes the residual stream, and capture.site is {site}"
    if pool != "none":
        return f"it changes the residual stream, and capture.pool is {pool}"
    if known.sources.precomputed is not None:
        return "it runs the model over its rows' tokens, and capture.precomputed has only the rows"
    return None


def _lacks_head(known: _Known) -> str | None:
    """The vocabulary head reads the stream, and what is added to it."""
    site, rows = known.study.capture.site, known.sources.precomputed
    if site != STREAM and site not in ADDED:
        return f"the vocabulary head reads what is added to the stream, which {site} is not"
    width = known.shape.d_model
    if rows is not None and rows.d_model != width:
        return f"the vocabulary head reads {width} numbers, and rows of capture.precomputed have {rows.d_model}"
    return None


def _lacks_words(known: _Known) -> str | None:
    concept = known.concept
    if is_built_in(concept) or concept.words:
        return None
    return f"it reads the words that captions name {concept.name} by; list them in concepts.{concept.name}.words"


def _lacks_pairs(known: _Known) -> str | None:
    """What compares a caption's word with the other side's needs to know that word."""
    concept = known.concept
    if is_built_in(concept) or any(concept.pairs(language) for language in languages_of(known.study)):
        return None
    field, one_each = f"concepts.{concept.name}.words", "list as many words for one class as for the other"
    if not concept.words:
        return f"it compares a word with its counterpart, and {concept.name} has no words; {one_each} in {field}"
    return f"it compares a word with its counterpart, and the two lists of {field} differ in length; {one_each}"


def languages_of(study: Study) -> tuple[Language, ...]:
    """The languages that a study's captions can have."""
    if not isinstance(study.data, TableSource):
        return LANGUAGES
    return tuple(code for code in LANGUAGES if getattr(study.data.columns, f"caption_{code}") is not None)


_LACKS: tuple[tuple[Need, Callable[[_Known], str | None]], ...] = (
    ("stream", _lacks_language_model),
    ("head", _lacks_language_model),
    ("images", _lacks_images),
    ("layers", _lacks_layers),
    ("stream", _lacks_stream),
    ("head", _lacks_head),
    ("words", _lacks_words),
    ("pairs", _lacks_pairs),
)
