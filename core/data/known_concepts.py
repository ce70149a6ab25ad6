"""The concept that studies ask for: there is one so far."""

from core.data.gender_concept import GENDER

THE_CONCEPT = GENDER
