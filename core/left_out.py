"""Which analyses a study leaves out, and the reason that its report gives."""

from collections.abc import Sequence

from core.steps import ANALYSES, EVOLUTION, INTERPRETATION
from core.study import Study
from core.study.model import CaptureConfig
from core.study.sites import ADDED, STREAM
from core.units import Precomputed, Shape, Sources


def left_out(study: Study, sources: Sources, shape: Shape, layers: Sequence[int]) -> dict[str, str]:
    """The analyses that are not run on these captured layers, each with its reason."""
    off = {spec.name: "not in the study" for spec in ANALYSES if getattr(study.analyses, spec.name) is None}
    skipped = dict(off)
    if not shape.has_images and "visual_patterns" not in skipped:
        skipped["visual_patterns"] = "the study has no images"
    if not shape.even_images and "visual_patterns" not in skipped:
        skipped["visual_patterns"] = "it lays all images on one grid, and in this model each has a grid of its own"
    if len(layers) == 1:
        skipped = {EVOLUTION.name: "it compares layers, and one is captured", **skipped}
    if study.model.factory is not None:
        others = [spec.name for spec in ANALYSES if spec is not EVOLUTION]
        return {**skipped, **dict.fromkeys(others, "it needs a language model, and model.factory makes another"), **off}
    return {**_needing_own_rows(sources.precomputed, shape), **_needing_the_stream(study.capture), **skipped}


def _needing_the_stream(capture: CaptureConfig) -> dict[str, str]:
    """The analyses that change the residual stream token by token have nothing to change it by elsewhere."""
    site, pool = capture.site, capture.pool
    if site == STREAM and pool == "none":
        return {}
    names = [spec.name for spec in ANALYSES if spec not in (INTERPRETATION, EVOLUTION)]
    told = f"capture.site is {site}" if site != STREAM else f"capture.pool is {pool}"
    reasons = dict.fromkeys(names, f"it changes the residual stream, and {told}")
    if site != STREAM and site not in ADDED:
        reasons[INTERPRETATION.name] = f"the vocabulary head reads what is added to the stream, which {site} is not"
    return reasons


def _needing_own_rows(rows: Precomputed | None, shape: Shape) -> dict[str, str]:
    """The analyses that run the model over the very tokens of its rows: of rows made elsewhere nobody knows which
    input they belong to."""
    if rows is None:
        return {}
    names = [spec.name for spec in ANALYSES if spec not in (INTERPRETATION, EVOLUTION)]
    reasons = dict.fromkeys(names, "it runs the model over its rows' tokens, and capture.precomputed has only the rows")
    if rows.d_model != shape.d_model:
        told = f"the vocabulary head reads {shape.d_model} numbers, and rows of capture.precomputed have {rows.d_model}"
        reasons[INTERPRETATION.name] = told
    return reasons
