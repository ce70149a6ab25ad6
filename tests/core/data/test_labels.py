import polars as pl
import pytest

from core.data.languages import LANGUAGES
from tests.core.data.label_accuracy import FIRST_CONTACT, GENDERS, accuracy, labelled


@pytest.fixture(scope="module", params=LANGUAGES)
def frame(request: pytest.FixtureRequest) -> pl.DataFrame:
    return labelled(request.param)


def test_the_list_has_every_label_and_is_long_enough(frame: pl.DataFrame) -> None:
    assert frame.height >= 250 and frame["caption"].n_unique() == frame.height
    assert set(frame["gender"]) == set(GENDERS)


def test_natural_captions_are_labelled_as_a_reader_does(frame: pl.DataFrame) -> None:
    natural = accuracy(frame.filter(kind="natural"), "kind")
    assert natural["captions"].sum() >= 80 and natural["share"].min() >= 0.98, wrong(frame)


@pytest.mark.parametrize("by", ["kind", "gender"])
def test_hard_captions_are_labelled_as_a_reader_does(frame: pl.DataFrame, by: str) -> None:
    hard = accuracy(frame.filter(pl.col("kind") != "natural"), by)
    assert hard["share"].min() >= 0.95, wrong(frame)


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_that_no_rule_was_made_for_are_labelled_as_a_reader_does(language: str) -> None:
    frame = labelled(language, FIRST_CONTACT)
    right = frame["gender"] == frame["found"]
    assert right.mean() >= 0.95 and right.filter(frame["kind"] == "natural").mean() >= 0.97, wrong(frame)  # type: ignore[operator]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_caption_is_in_both_lists(language: str) -> None:
    lists = [labelled(language, folder)["caption"] for folder in ("", FIRST_CONTACT)]
    assert not set(lists[0]) & set(lists[1])
    assert min(map(len, lists)) >= 250


def wrong(frame: pl.DataFrame) -> str:
    rows = frame.filter(pl.col("gender") != pl.col("found")).select("kind", "gender", "found", "caption").rows()
    return "\n".join(map(str, rows))
