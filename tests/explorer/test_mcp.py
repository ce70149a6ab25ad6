"""`saeflow mcp`, asked by a real client over stdin and stdout."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.flows.commands import PROJECT, environment

Ask = Callable[[Callable[[Client], Awaitable[Any]]], Any]
AT = {"study": "mini", "layer": 17}


@pytest.fixture(scope="module")
def ask(mini_workspace: Path) -> Ask:
    """Runs some questions against a server of their own."""

    def asked(questions: Callable[[Client], Awaitable[Any]]) -> Any:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "cli", "mcp"], cwd=str(PROJECT), env=environment(mini_workspace)
        )

        async def run() -> Any:
            async with Client(server, read_timeout_seconds=120) as client:
                return await questions(client)

        return asyncio.run(run())

    return asked


def test_a_client_finds_a_study_looks_at_a_feature_and_varies_its_inputs(ask: Ask) -> None:
    async def questions(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"studies", "overview", "sweep", "heatmap", "top", "decoder", "search", "investigate"} <= tools.keys()
        assert all(tool.annotations.read_only_hint for name, tool in tools.items() if not name.startswith("label_"))
        assert tools["sweep"].output_schema["properties"].keys() >= {"title", "lines", "tables"}
        found = (await client.call_tool("studies")).structured_content["studies"]
        (study,) = (one for one in found if one["title"] == "mini")
        assert study["layers"] == [0, 9, 17, 33] and study["languages"] == ["en", "ar"] and study["finished"]
        every = await client.call_tool("overview", {**AT, "top_k": 1})
        ((row,),) = every.structured_content["tables"].values()
        swept = await client.call_tool("sweep", {**AT, "feature": row["feature"], "family": "mood"})
        _words, verdict, observed = swept.structured_content["lines"]
        assert "q = " in verdict and observed.startswith("Observed, not intervened")
        fired = await client.call_tool("search", {**AT, "text": "a woman sings", "segment": "caption", "top_k": 2})
        ((first, second),) = fired.structured_content["tables"].values()
        assert first["max"] >= second["max"] > 0 and first["segment"] == "caption"
        varied = {"family": "mood", "intervene": True, "images": 2}
        done = await client.call_tool("sweep", {**AT, "feature": row["feature"], **varied})
        assert done.structured_content["lines"][0].startswith("Intervened: mood varied in 2 test images")

    ask(questions)


def test_what_is_wrong_is_told_in_one_line_and_the_server_goes_on(ask: Ask) -> None:
    async def questions(client: Client) -> None:
        for arguments, told in (
            ({**AT, "feature": 9999}, "feature 9999 is out of range; the layer has features 0-127"),
            ({"study": "mini", "feature": 1}, "say which layer, as in --layer 17; there are 0, 9, 17, 33"),
            ({"study": "nobodys", "layer": 1, "feature": 1}, "nobodys"),
        ):
            answer = await client.call_tool("top", arguments)
            assert answer.is_error and told in answer.content[0].text and "Traceback" not in answer.content[0].text
        refused = await client.call_tool("top", {**AT, "feature": -1})
        assert refused.is_error
        assert not (await client.call_tool("top", {**AT, "feature": 1, "top_k": 1})).is_error

    ask(questions)


def test_a_label_is_set_and_its_history_is_kept(ask: Ask) -> None:
    async def questions(client: Client) -> None:
        for text in ("people", "women", ""):
            await client.call_tool("label_set", {**AT, "feature": 7, "text": text, "author": "a model"})
        found = (await client.call_tool("label_show", {**AT, "feature": 7})).structured_content
        assert found["lines"] == ["It has no label."]
        assert [row["text"] for row in found["tables"]["history"]] == [None, "women", "people"]
        assert (await client.call_tool("label_set", {**AT, "feature": 7, "text": "x", "author": ""})).is_error

    ask(questions)


def test_prompts_name_only_tools_that_are_there(ask: Ask) -> None:
    async def questions(client: Client) -> None:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert sorted(prompts) == ["decoder", "explanations", "investigator", "labeler", "overview", "runner"]
        for name in prompts:
            found = await client.get_prompt(name, {"feature": "5", "layer": "17"})
            text = found.messages[0].content.text
            assert "feature 5 of layer 17" in text
            called = {word for word in text.split("`")[1::2] if word not in ("intervene",)}
            assert called <= tools, name

    ask(questions)
