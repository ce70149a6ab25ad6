"""The table of all layers: rows as each layer's own table has them, read once, and again when a layer changes."""

from collections import Counter

import polars as pl
import pytest

from explorer.reading import all_features
from explorer.reading.all_features import COLUMNS, AllFeatures
from explorer.reading.library import Library
from tests.explorer.world import World


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each layer was read."""
    found: Counter[int] = Counter()
    own = all_features.of_layer

    def counted(study: object, layer: int) -> pl.DataFrame:
        found[layer] += 1
        return own(study, layer)

    monkeypatch.setattr(all_features, "of_layer", counted)
    return found


def test_the_rows_are_those_of_the_layers_own_table(world: World) -> None:
    library = Library(world.workspace)
    _, table = AllFeatures(library).of(library.study("cats"))
    own = library.layer("cats", 0).table(None, None)
    assert table.select(*COLUMNS, "association", "auroc", "q").equals(own.select(*COLUMNS, "association", "auroc", "q"))
    assert table["layer"].unique().to_list() == [0] and own["association"].is_not_null().any()


def test_a_layer_is_read_once_and_again_when_it_was_made_again(own: World, read: Counter[int]) -> None:
    library = Library(own.workspace)
    tables = AllFeatures(library)
    before, first = tables.of(library.study("cats"))
    again, same = tables.of(library.study("cats"))
    assert again == before and same is first and read == {0: 1}
    own.workspace.remember("cats-00000001", own.workspace.records()[0])
    assert tables.of(library.study("cats"))[1] is first and read == {0: 1}
    own.rebuilt(0.2)
    after, table = tables.of(library.study("cats"))
    assert after != before and read == {0: 2} and not table["mean"].equals(first["mean"])


def test_a_study_without_a_ranking_has_no_association(own: World, read: Counter[int]) -> None:
    refs = [unit.artifact.ref for step, unit in own.units.items() if step != "rank_features"]
    shards = [artifact.ref for artifact in own.units["index_features"].inputs["shards"]]
    record = {key: value for key, value in own.workspace.records()[0].items() if key != "key"}
    own.workspace.remember("cats-00000001", {**record, "artifacts": list(dict.fromkeys([*refs, *shards]))})
    library = Library(own.workspace)
    _, table = AllFeatures(library).of(library.study("cats"))
    assert table.height == 40 and table["association"].null_count() == 40
