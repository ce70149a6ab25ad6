"""The server over stdio: tools that look at features of studies, and prompts that say how to use them."""

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from core.store.workspace import Workspace
from explorer.mcp.prompts import add_prompts
from explorer.mcp.tools import FeatureTools

_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_INSTRUCTIONS = """Features of the sparse autoencoders of studies that saeflow has run. Call `studies` first. Sentences
come with a control and a corrected p: repeat a claim only with them. `sweep` and `heatmap` are observational unless
`intervene` is true. Nothing is changed but labels."""


def make_server(workspace: Workspace) -> MCPServer:
    """The server over a workspace's studies."""
    server = MCPServer("saeflow", title="saeflow", instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = FeatureTools(workspace)
    looks = (tools.studies, tools.overview, tools.search, tools.top, tools.compare, tools.decoder)
    said = (tools.explanations, tools.search_explanations)
    for tool in (*looks, tools.sweep, tools.heatmap, tools.vary_word, tools.investigate, *said):
        server.add_tool(tool, annotations=_READS)
    server.add_tool(tools.label_show, annotations=_READS)
    server.add_tool(tools.label_set, annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    add_prompts(server)
    return server
