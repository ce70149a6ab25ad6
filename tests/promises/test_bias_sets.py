"""Captions as a set: what leaks, and what is amplified, beside the data's own and beside what chance would give."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.bias import Config
from core.analysis.bias.set_findings import set_estimates
from core.analysis.bias.sets import HIDDEN, TO_ATTRIBUTE, set_table
from core.analysis.bias.written import WRITTEN
from core.data.caption_pairs import CaptionPairs
from core.data.gender_concept import GENDER
from core.stats.bias_amplification import Told, directional, directional_amplification
from core.stats.leakage import folds_of, leakage, leaked
from tests.promises.bias_world import JOBS, asked, planted

SIDE = np.arange(40) % 2 == 0
UNITS = np.arange(40) // 2  # twins on opposite sides


def written_set(flipped: int) -> Any:
    """Twelve hidden images whose model is a woman in kitchens; as many labels as `flipped` were made."""
    names = [f"i{number:02d}" for number in range(12)]
    women = [number % 3 > 0 for number in range(12)]
    own = [f"A {'woman' if woman else 'man'} in a {'kitchen' if woman else 'garage'}." for woman in women]
    samples = pl.DataFrame(
        {"sample_id": names, "caption_en": own, "is_flipped": [number < flipped for number in range(12)]}
    )
    told = ["female" if woman else "male" for woman in women]
    rows = [
        (name, name, "en", False, "A woman in a kitchen.", "female", side)
        for name, side in zip(names, told, strict=True)
    ]
    hidden = planted([(name, number, JOBS[number // 4]) for number, name in enumerate(names)], asked("en", i00=0.5))
    inputs: Any = SimpleNamespace(**{**vars(hidden.inputs), "samples": samples, "languages": ("en",)})
    return replace(hidden, inputs=inputs), pl.DataFrame(rows, schema=WRITTEN, orient="row")


def test_labels_that_were_made_are_in_no_set_of_images_that_do_not_show_the_gender() -> None:
    table = set_table(*_with(written_set(4)))
    assert set(table["images"]) == {8} and set(table["pictures"]) == {HIDDEN}


def _with(found: Any) -> tuple[Any, Config, pl.DataFrame]:
    hidden, written = found
    return hidden, Config(bootstrap=50, shuffles=19), written


def test_directional_amplification_is_compared_with_exchanged_captions() -> None:
    """Its control is not 0: a lean of the data by chance is one that the model lacks."""
    hidden, config, written = _with(written_set(0))
    table = set_table(hidden, config, written)
    one = next(one for one in set_estimates(hidden, table) if one.name.startswith("amplified_side"))
    row = table.row(by_predicate=pl.col("measure") == TO_ATTRIBUTE, named=True)
    assert one.null == row["control"] != 0


def test_twins_stay_on_opposite_sides_in_a_shuffle(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def record(_x: Any, side: np.ndarray, _folds: Any) -> np.ndarray:
        seen.append(side)
        return np.zeros(len(side))

    monkeypatch.setattr("core.stats.leakage.leaked", record)
    leakage(([("a",)] * 40, [("a",)] * 40), SIDE, UNITS, 5, 0)
    assert any(len(side) == 40 and (side != SIDE).any() for side in seen)
    assert all((side[::2] != side[1::2]).all() for side in seen)


def test_a_caption_whose_words_tell_the_wrong_side_leaks_nothing() -> None:
    told = np.where(np.arange(40) < 4, ~SIDE, SIDE)
    found = leaked(told[:, None].astype(float), SIDE, folds_of(SIDE, UNITS, 0))
    assert (found[:4] == 0).all() and (found[4:] > 0.5).all()


def test_a_word_that_twins_share_tells_a_classifier_nothing_that_has_seen_neither() -> None:
    """A word per unit, whose images are on one side."""
    words = np.repeat(np.eye(20), 2, axis=0)
    side = UNITS % 2 == 0
    assert leaked(words, side, folds_of(side, UNITS, 0)).max() < 0.55


def test_captions_that_are_the_datas_own_leak_no_more_than_they_do() -> None:
    own = [("kitchen" if side else "garage",) for side in SIDE]
    found = leakage((own, own), SIDE, UNITS, 3, 0)
    assert found is not None and found.model > 0.8 and found.lic.value == 0


def kitchens(data: list[int], model: list[int]) -> Told:
    """The first half of the images in a kitchen, and which of them tell a woman."""
    given, own, said = (
        np.array(one, dtype=bool) for one in ([1] * (len(data) // 2) + [0] * (len(data) // 2), data, model)
    )
    return Told(np.stack([given, ~given], axis=1), np.stack([own, ~own], axis=1), np.stack([said, ~said], axis=1))


def test_what_is_amplified_is_the_lean_of_the_data() -> None:
    """P(woman | kitchen) is ¾ in the data and ½ in captions, outside ¼ and ½: the lean of the data is lost."""
    even = kitchens([1, 1, 1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0])
    assert directional(even, np.ones((1, 8)))[0] == pytest.approx(-0.25)


def test_captions_of_a_unit_are_exchanged_together() -> None:
    """Two units have four exchanges."""
    told = kitchens([1] * 15 + [0] * 5 + [1] * 5 + [0] * 15, [1] * 20 + [0] * 20)
    found = directional_amplification(told, np.arange(40) // 20, (20, 60), 0)
    assert found is not None and len(set(found.null.round(9))) <= 4


def test_an_image_is_on_the_side_of_its_own_caption() -> None:
    own, generated = ["A woman sits.", "A man sits.", "A dog."], ["A man sits.", "A man sits.", "A man."]
    found = CaptionPairs.of(GENDER, "en", generated, own)
    assert found.first.tolist() == [True, False] and found.generated == generated[:2]
