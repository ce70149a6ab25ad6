"""Images and their twins are one unit."""

import polars as pl

from core.data.twins import unit_of_image


def test_an_image_and_its_twin_are_one_unit_and_captions_of_an_image_another() -> None:
    samples = pl.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d", "e"],
            "image_id": ["1", "2", "3", "3", "4"],
            "twin_id": ["b", None, None, None, "gone"],
        }
    )
    units = unit_of_image(samples)
    assert units["1"] == units["2"]
    assert len(set(units.values())) == 3
    assert len(set(unit_of_image(samples.drop("twin_id")).values())) == 4
