"""Who a unit of a catalogue asks, and what it embeds with."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.chat.counted import Counted
from core.chat.endpoint import ChatClient
from core.chat.local import LocalChat
from core.errors import BadInput
from core.explain.embedder import Embedder, SentenceEmbedder
from core.explain.remembered import Remembering, VectorMemory
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.catalogue import ChatProfile
from tasks.keys import key_of
from tasks.models import LOADING

_mine = threading.local()
_MEMORIES: dict[tuple[str, str, int], VectorMemory] = {}
"""The vectors that embedders of this process made, by embedder."""


def open_asked(unit: Unit, workspace: Workspace, run: str, device: str) -> Counted | None:
    """The chat endpoint or local model that answers a unit's questions; null where it asks nobody.

    Args:
        unit: of a catalogue.
        workspace: where answers are kept.
        run: what a profile's budget is counted for.
        device: where a local model computes.

    Raises:
        BadInput: the endpoint's address or key cannot be used, or the model is not there.
    """
    settings: Mapping[str, Any] = unit.knobs.get("asked", {})
    if "profile" in settings:
        profile = ChatProfile.model_validate(settings["settings"])
        return Counted(ChatClient(profile, key_of(profile), workspace.answers, run, settings["profile"]))
    return Counted(_local(unit, workspace, device)) if "folder" in settings else None


def _local(unit: Unit, workspace: Workspace, device: str) -> LocalChat:
    """The unit's model on this machine, loaded once a thread."""
    name, folder = unit.recipe["asked"]["name"], unit.knobs["asked"]["folder"]
    if folder is None:
        (converted,) = unit.inputs["model"]
        folder = workspace.store.path(converted)
        if not folder.is_dir():
            raise BadInput(f"model {name}: is not converted yet; `saeflow catalogue make` does it")
    key = (str(folder), name, device)
    if getattr(_mine, "chat_key", None) != key:
        chat = LocalChat(Path(folder), name, device=device)
        with LOADING:
            chat.ask(())  # loads the weights
        _mine.chat, _mine.chat_key = chat, key
    opened: LocalChat = _mine.chat
    return opened


def open_embedder(unit: Unit) -> Embedder | None:
    """A unit's sentence embedder, loaded once a thread, with the vectors that this process made; null where it needs
    none.

    Raises:
        BadInput: it cannot be loaded.
    """
    settings = unit.knobs.get("embedder")
    if settings is None:
        return None
    key = (settings["folder"], unit.recipe["embedder"]["name"], settings["batch"])
    if getattr(_mine, "embedder_key", None) != key:
        with LOADING:
            embedder = SentenceEmbedder(key[1], Path(key[0]), key[2])
            _mine.embedder = Remembering(embedder, _MEMORIES.setdefault(key, VectorMemory()))
        _mine.embedder_key = key
    opened: Embedder = _mine.embedder
    return opened
