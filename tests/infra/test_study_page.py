from pathlib import Path

from infra.study_page import reference

PAGE = Path(__file__).parents[2] / "docs" / "study.md"


def test_the_page_is_the_model_of_today() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "python -m infra.study_page > docs/study.md"


def test_every_field_has_its_sentence() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `") and line.count("|") > 4]
    assert len(rows) > 60
    assert all(row.rstrip("| ").rsplit("|", 1)[1].strip() for row in rows)
