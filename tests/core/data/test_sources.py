from pathlib import Path

import pytest

from core.data.sources import source_files
from core.errors import BadInput
from core.study.data import Columns, EmojiSource, SceneSource, TableSource


def test_a_table_counts_with_every_picture_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png", "unnamed.png"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    (tmp_path / "table.csv").write_text(
        "image,caption_en\npictures/b.png,x\npictures/a.png,y\npictures/a.png,z\nmissing.png,w\n,v\n"
    )
    source = TableSource(source="table", path="table.csv", columns=Columns(caption_ar=None))
    found = [path.relative_to(tmp_path).as_posix() for path in source_files(source, tmp_path)]
    assert found == ["table.csv", "pictures/a.png", "pictures/b.png"]


def test_a_table_is_found_from_its_own_folder_too(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("caption_en\nx\n")
    source = TableSource(source="table", path="deep/table.csv", columns=Columns(image=None, caption_ar=None))
    assert source_files(source, tmp_path) == [tmp_path / "table.csv"]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no such table; correct data\.path"):
        source_files(TableSource(source="table", path="nowhere.csv"), tmp_path)


def test_built_in_sources_count_with_the_files_that_they_ship(tmp_path: Path) -> None:
    for source in (SceneSource(source="scenes"), EmojiSource(source="emoji")):
        files = source_files(source, tmp_path)
        assert files
        assert all(path.is_file() for path in files)
