"""Who a unit of a catalogue asks, and what it embeds with: the keys of chat endpoints are read here, from the worker's
environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.chat.counted import Counted
from core.chat.endpoint import ChatClient
from core.chat.local import LocalChat
from core.chat.questions import Asked
from core.explain.embedder import Embedder, SentenceEmbedder
from core.store.workspace import Workspace
from core.study.catalogue import ChatProfile
from tasks.context import Work
from tasks.models import device_of


def key_of(profile: ChatProfile) -> str | None:
    """The key of a profile, out of the environment of this process; null where it names none or it is not set."""
    return None if profile.key_from is None else os.environ.get(profile.key_from) or None


def open_asked(work: Work) -> Counted | None:
    """The chat endpoint or local model that answers the unit's questions; null where it asks nobody.

    Raises:
        BadInput: the endpoint's address or key cannot be used, or there is no such model.
    """
    settings: Mapping[str, Any] = work.unit.knobs.get("asked", {})
    if "profile" in settings:
        return Counted(_client(work, settings))
    return Counted(_local(work, settings)) if "folder" in settings else None


def _client(work: Work, settings: Mapping[str, Any]) -> Asked:
    profile = ChatProfile.model_validate(settings["settings"])
    answers = Workspace(Path(work.context.workspace)).answers
    run = work.context.flow_run_id or work.unit.artifact.fingerprint
    return ChatClient(profile, key_of(profile), answers, run, settings["profile"])


def _local(work: Work, settings: Mapping[str, Any]) -> Asked:
    folder = work.input("model") if settings["folder"] is None else Path(settings["folder"])
    return LocalChat(folder, work.recipe["asked"]["name"], device=device_of(work))


def open_embedder(work: Work) -> Embedder:
    """The unit's sentence embedder.

    Raises:
        BadInput: it cannot be loaded.
    """
    settings = work.unit.knobs["embedder"]
    return SentenceEmbedder(work.recipe["embedder"]["name"], Path(settings["folder"]), settings["batch"])
