"""A feature's positions are in the sets of the concept that its study asks about, on its page and in answers."""

import re

import polars as pl
import pytest

from core.activations.positions import position_sets
from core.data.gender_concept import GENDER
from core.features.statistics import RowKinds, positions_of
from core.reading.records import open_by_name
from explorer.dashboard.links import feature_at
from explorer.reading.positions import positions
from tests.explorer.conftest import client_of
from tests.explorer.dashboard.conftest import pages_of
from tests.explorer.dashboard.parsed import parsed
from tests.explorer.world import STUDY, World

DEED = {"name": "deed", "column": "activity", "positive": "sings", "negative": "cooks"}


@pytest.fixture
def of_deeds(own: World) -> World:
    """The same study, asked about another concept."""
    record = own.workspace.records()[0]
    own.workspace.remember("cats-00000001", {**record, "study": {**STUDY, "concepts": [DEED]}})
    return own


def test_one_features_positions_are_its_rows_of_all(world: World) -> None:
    study = open_by_name(world.workspace, "cats")
    opened = study.indexed(0)
    kinds = RowKinds.of(opened.tokens, position_sets(opened.tokens, study.samples, GENDER))
    for feature in range(opened.index.num_features):
        counted = positions_of(feature, *opened.index.csc(feature), kinds)
        assert counted.equals(opened.feature(feature).positions)


def test_rows_are_counted_in_the_sets_of_the_studys_concept(of_deeds: World) -> None:
    study = open_by_name(of_deeds.workspace, "cats")
    opened = study.indexed(0)
    features = [opened.feature(feature) for feature in range(opened.index.num_features)]
    found = pl.concat([positions(study, 0, feature) for feature in features])
    assert set(found["position_set"]) <= set(study.concept.position_sets)
    assert found["count"].sum() == pl.concat([feature.positions for feature in features])["count"].sum()


def test_no_page_or_answer_has_sets_of_another_concept(of_deeds: World) -> None:
    index = open_by_name(of_deeds.workspace, "cats").index(0)
    firing = [feature for feature in range(index.num_features) if len(index.csc(feature)[0])]
    pages, answers = pages_of(of_deeds), client_of(of_deeds)
    for feature in firing[:6]:
        page = parsed(pages.get(feature_at("cats-00000001", 0, feature)).text).words
        told = answers.get(f"/studies/cats/layers/0/features/{feature}").text
        assert "By language and positions" in page and '"position_set"' in told
        for words in (page, told):
            assert not {"pre-gender", "first-gendered", "later-gendered"} & set(re.findall(r"[a-z-]+", words))


def test_two_features_stand_beside_each_other_under_their_own_concept(of_deeds: World) -> None:
    shown = parsed(pages_of(of_deeds).get("/compare", params={"a": "cats:0:7", "b": "cats:0:2"}).text).words
    assert shown.count("With deed, selection split") == 2 and "With gender" not in shown
