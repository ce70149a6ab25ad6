"""SQLite databases: a damaged one is found before it is used."""

import sqlite3
from contextlib import closing
from pathlib import Path


def damage_of(database: Path) -> str | None:
    """What SQLite finds wrong with a database, in its words; null where it is whole, absent or locked for a moment."""
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(database)) as opened:
            (found,) = opened.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())
