"""The files whose content decides a study's samples: what their fingerprint is made of."""

from importlib.resources import files
from pathlib import Path

from core.data.images import is_there
from core.data.table_columns import check_columns, table_path
from core.data.table_rows import named_pictures
from core.study.data import DataSource, EmojiSource, TableSource


def source_files(source: DataSource, base: Path) -> list[Path]:
    """The table and every picture it names that is there; the sprites of scenes; CLDR's names of emoji.

    Raises:
        BadInput: the table or a column of it is missing.
    """
    if isinstance(source, TableSource):
        return _table_files(source, base)
    if isinstance(source, EmojiSource):
        names = Path(str(files("emoji"))) / "unicode_codes"
        return [names / "emoji.json", names / "emoji_ar.json"]
    sprites = Path(str(files("core.data"))) / "sprites"
    return [sprites / "sheet.json", sprites / "sheet.png"]


def _table_files(source: TableSource, base: Path) -> list[Path]:
    path = table_path(source, base)
    check_columns(source.columns, path)
    column = source.columns.image
    if column is None:
        return [path]
    return [path, *sorted(image for name in named_pictures(path, column) if is_there(image := path.parent / name))]
