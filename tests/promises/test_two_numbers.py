"""Verdicts at two numbers of features: a warning where they differ, and none where they agree."""

from core.stats.two_numbers import SECOND, differing
from tests.planted_studies import estimate


def test_a_warning_names_what_differs_and_with_how_many_features() -> None:
    weak = {"p": 0.2, "draws": 0}
    found = [
        estimate("swap.en.shared", 0.5),
        estimate("swap.ar.shared", 0.5),
        estimate("interaction.en", 0.0, p=0.9),
        estimate(f"swap{SECOND}.en.shared", 0.5, **weak),
        estimate(f"swap{SECOND}.ar.shared", 0.6),
        estimate(f"interaction{SECOND}.en", 0.5),
        estimate(f"swap{SECOND}.en.alone", 0.5),  # no first to compare with
    ]
    assert list(differing(found, (5, 2))) == [
        "The number of features decides: swap, en, shared: found with 5, weak with 2.",
        "The number of features decides: interaction, en: not found with 5, found with 2.",
    ]
