"""What `--retry` makes again: units whose answers could not be used, and what was made of them."""

from pathlib import Path

from core.planning.catalogue_sources import CatalogueSources
from core.planning.catalogue_survey import CatalogueSurvey
from core.store.workspace import Workspace
from flows.runtime.catalogues import forget_unanswered
from tests.core.planning.test_catalogue import plan


def test_units_with_unusable_answers_and_what_was_made_of_them_are_set_aside(tmp_path: Path) -> None:
    made, workspace = plan(), Workspace(tmp_path)
    store = workspace.store
    for unit in made:
        metrics = {"unanswered": 1 if unit.name == "3-000-chat" else 0}
        store.publish(store.staging(unit.artifact), unit.artifact, {"unit": unit.to_json(), "metrics": metrics})
    seen = CatalogueSurvey(made.config, CatalogueSources(()), made)
    assert forget_unanswered(seen, workspace) == 1
    assert {unit.label for unit in made if not store.intact(unit.artifact)} == {
        "explain_features[3-000-chat]",
        "embed_explanations[3-000-chat-small]",
        "score_explanations[3-000-chat-near]",
        "score_explanations[3-000-chat-judge]",
        "publish_catalogue",
        "report_catalogue",
    }
    assert forget_unanswered(seen, workspace) == 0
