"""Prompts: what to ask of a feature, in which order, and what may be claimed."""

from mcp.server import MCPServer

_CLAIMS = (
    "Claim only what a sentence of a tool's answer says with its control and its q. What is observed is no cause; "
    "say so. Where a tool finds nothing, say that."
)


def overview(feature: str, layer: str) -> str:
    """Describe a feature."""
    return (
        f"Call `overview` for feature {feature} of layer {layer}, then `top`. Describe in three sentences what it "
        f"fires on, in which language and position. {_CLAIMS}"
    )


def runner(feature: str, layer: str) -> str:
    """Find what a feature goes with, and whether varying that changes it."""
    return (
        f"For feature {feature} of layer {layer}: call `sweep` without a family. Take what explains most: if its q "
        "is at most 0.05, call `sweep` with it and `intervene` true, then `heatmap` of it with the attribute "
        f"that comes second. Say whether varying the attribute changes the feature. {_CLAIMS}"
    )


def decoder(feature: str, layer: str) -> str:
    """Say what a feature does to the next word."""
    return (
        f"Call `decoder` for feature {feature} of layer {layer}. Say which tokens it promotes and suppresses, and "
        "whether they have something in common. This is the direct path: later layers may do something else with it."
    )


def investigator(feature: str, layer: str) -> str:
    """Write a feature's dossier and weigh it."""
    return (
        f"Call `investigate` for feature {feature} of layer {layer}. Weigh the evidence for and against the proposed "
        f"label, and propose another if the tables support it better. {_CLAIMS}"
    )


def explanations(feature: str, layer: str) -> str:
    """Weigh what catalogues say of a feature."""
    return (
        f"Call `explanations` for feature {feature} of layer {layer}, then `overview`. Say which explanation its "
        "examples support and which they contradict. Repeat a score only with its interval and chance; where the "
        f"interval holds chance, say that the score does not tell the explanation from none. {_CLAIMS}"
    )


def labeler(feature: str, layer: str) -> str:
    """Label a feature."""
    return (
        f"Call `investigate` for feature {feature} of layer {layer}, and `label_show` for what others called it. If "
        "the evidence supports a label, set it with `label_set` in at most eight words; if not, set none and say why. "
        f"{_CLAIMS}"
    )


def add_prompts(server: MCPServer) -> None:
    """Register them."""
    for prompt in (overview, runner, decoder, investigator, explanations, labeler):
        server.prompt()(prompt)
