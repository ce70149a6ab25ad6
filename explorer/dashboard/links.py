"""Addresses of pages. They name keys and numbers alone, so that a link holds as long as the study does."""

from urllib.parse import quote, urlencode


def study_at(study: str) -> str:
    """The page of a study."""
    return f"/s/{quote(study, safe='')}"


def layer_at(study: str, layer: int) -> str:
    """The feature table of a layer."""
    return f"{study_at(study)}/l/{layer}"


def feature_at(study: str, layer: int, feature: int) -> str:
    """The page of a feature."""
    return f"{layer_at(study, layer)}/f/{feature}"


def all_features_at(study: str) -> str:
    """The feature table of all layers."""
    return f"{study_at(study)}/features"


def sample_at(study: str, sample: str, layer: int | None = None) -> str:
    """The page of a sample, opened at a layer."""
    return f"{study_at(study)}/samples/{quote(sample, safe='')}" + (f"?layer={layer}" if layer is not None else "")


def image_at(study: str, image: str) -> str:
    """A sample's picture."""
    return f"/images/{quote(image, safe='')}?{urlencode({'study': study})}"


def feature_key(study: str, layer: int, feature: int) -> str:
    """How the page of comparisons names a feature."""
    return f"{study}:{layer}:{feature}"


def compared_at(a: str, b: str = "") -> str:
    """The page that compares two of such keys, or two studies."""
    return f"/compare?{urlencode({'a': a, 'b': b} if b else {'a': a})}"


def with_query(path: str, **values: object) -> str:
    """An address with the values that are not empty."""
    asked = {name: value for name, value in values.items() if value not in (None, "", [])}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path
