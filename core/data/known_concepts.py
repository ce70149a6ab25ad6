"""The concepts that a study can ask for, by name."""

from collections.abc import Mapping

from core.data.concept import Concept
from core.data.gender_concept import GENDER

CONCEPTS: Mapping[str, Concept] = {GENDER.name: GENDER}
"""By name."""
THE_CONCEPT = GENDER
"""What studies ask for: there is one so far."""
