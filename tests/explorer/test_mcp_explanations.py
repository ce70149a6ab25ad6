"""What catalogues say, asked over MCP of tables made by hand for an SAE of mini."""

from pathlib import Path

import pytest
from mcp.server.mcpserver.exceptions import ToolError

import saeflow as public
from explorer.mcp.prompts import explanations
from explorer.mcp.tools import FeatureTools
from tests.cli.test_feature_server import sharing
from tests.planted_tables import publish


@pytest.fixture(scope="module")
def tools(mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureTools:
    study = public.open("mini", workspace=sharing(mini_workspace, tmp_path_factory.mktemp("told")))
    publish(study.workspace, {"mini/layer_17": study.layer_artifacts(17).sae}, name="mini")
    return FeatureTools(study.workspace)


def test_a_features_explanations_and_their_scores(tools: FeatureTools) -> None:
    found = tools.explanations(3, "mini", 17)
    (rows,) = found.tables.values()
    assert [row["explanation"] for row in rows][1] == "a woman is named" and rows[1]["fuzz_low"] == 0.8
    assert tools.explanations(3, "mini", 9).lines == ["No catalogue explains this layer."]
    assert tools.explanations(9, "mini", 17).lines == ["catalogue mini: this feature is not in it"]


def test_explanations_are_searched_of_all_studies_or_of_one(tools: FeatureTools) -> None:
    (rows,) = tools.search_explanations("woman named").tables.values()
    assert [(row["layer"], row["feature"]) for row in rows] == [(17, 3)]
    assert tools.search_explanations("woman", "mini", 9).lines == [
        "No catalogue explains the features that are looked for."
    ]
    with pytest.raises(ToolError, match="nobodys"):
        tools.search_explanations("woman", "nobodys")


def test_the_prompt_names_the_tool_and_what_may_be_claimed() -> None:
    text = explanations("3", "17")
    assert "Call `explanations` for feature 3 of layer 17" in text and "interval and chance" in text
