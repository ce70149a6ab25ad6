"""`saeflow mcp`: features for language models, over the Model Context Protocol."""

from flows.runtime.settings import read_settings


def mcp() -> None:
    """Answer a language model's questions about features over stdin and stdout, until they close.

    Its client starts it: name the command `saeflow --workspace FOLDER mcp` where
    the client lists its servers. It reads studies, runs their models for
    `intervene`, and writes nothing but labels.
    """
    from explorer.mcp.server import make_server  # a second or two

    make_server(read_settings().workspace).run("stdio")
