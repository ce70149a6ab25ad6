"""The gender that a caption speaks of, in English and Arabic, word by word."""

from functools import lru_cache

from core.data.gender_arabic import label_arabic
from core.data.gender_english import label_english
from core.data.gender_words import CaptionGender, Gender, GenderedWord, GenderLabel, Referent
from core.data.languages import Language

__all__ = ["CaptionGender", "Gender", "GenderLabel", "GenderedWord", "Referent", "label_caption"]


@lru_cache(maxsize=65536)
def label_caption(text: str, language: Language) -> GenderLabel:
    """Label a caption; the spans are characters of `text`, half open.

    The label counts everybody the caption speaks of, owners included: `a woman with his book` is `both`. The Arabic
    generic masculine is labelled male: beside a neutral English caption that is expected, and a stratum of its own.
    """
    return label_english(text) if language == "en" else label_arabic(text)
