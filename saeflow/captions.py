"""A set of generated captions beside the data's own: does the model's wording amplify a bias of the data?

>>> own = ["A woman cooks dinner.", "A man repairs a car.", "A woman cooks rice.", "A man repairs a bike."] * 10
>>> generated = ["A woman in a kitchen.", "A man in a garage."] * 20
>>> pairs = beside(generated, own, language="en")
>>> found = pairs.leakage(draws=9)  # LIC, Hirota et al. 2022
>>> 0.5 < found.model <= 1
True
"""

from collections.abc import Sequence

from core.data.caption_pairs import CaptionPairs as CaptionPairs
from core.data.known_concepts import THE_CONCEPT

__all__ = ["CaptionPairs", "beside"]


def beside(
    generated: Sequence[str], own: Sequence[str], language: str, units: Sequence[int] | None = None
) -> CaptionPairs:
    """One generated caption and one of the data's own per image, of the images whose own caption tells one gender.

    Args:
        generated: the model's captions.
        own: the data's, of the same images in the same order.
        language: of both: en or ar.
        units: what each image belongs to, where several are no independent observations; null: each is one.

    Raises:
        ValueError: the lists differ in length, or the language is neither of the two.
    """
    return CaptionPairs.of(THE_CONCEPT, language, generated, own, units)
