"""The keys of chat endpoints, read from the environment of the process that asks."""

import os

from core.study.catalogue import ChatProfile


def key_of(profile: ChatProfile) -> str | None:
    """The key of a profile; null where it names no variable, or that is not set."""
    return None if profile.key_from is None else os.environ.get(profile.key_from) or None
