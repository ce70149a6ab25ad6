"""Where a chat model is asked: its address and key, checked, and what messages call them."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from core.errors import BadInput
from core.study.catalogue import ChatProfile


@dataclass(frozen=True)
class Words:
    """What messages call an endpoint and the settings that correct it; `key` says what to do about the key."""

    who: str
    url: str
    model: str
    key: str


@dataclass(frozen=True)
class Line:
    """A model at an endpoint, and how to reach it; the key is sent as a bearer token and never shown."""

    url: str
    model: str
    words: Words
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the address and the key; nothing is sent yet.

        Raises:
            BadInput: one of them cannot be used.
        """
        host_of(self.url, self.words.url)
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise BadInput(f"{self.words.who}: the key holds characters that no header can; {self.words.key}")

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return host_of(self.url, self.words.url)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def completions(self) -> str:
        """The address that questions are sent to."""
        return self.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"

    @property
    def identity(self) -> str:
        """Host, port and path: what tells this endpoint from others."""
        return self.host + urlsplit(self.completions).path

    def without_key(self, text: str) -> str:
        """A text of the endpoint's, the key taken out of it."""
        return text.replace(self.key, "…") if self.key else text


def host_of(url: str, setting: str) -> str:
    """The host and port that an address names, without user, password and path.

    Raises:
        BadInput: it is no address of an endpoint.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"{setting}: write http://host:port/v1 or https://host/v1")
    return f"{host}:{port}" if port else host


def profile_line(called: str, profile: ChatProfile, key: str | None) -> Line:
    """The line of a profile.

    Raises:
        BadInput: its address or key cannot be used, the key is missing, or the address holds one.
    """
    setting = f"profiles.{called}.url"
    host = host_of(profile.url, setting)
    parts = urlsplit(profile.url)
    if parts.username or parts.password or parts.query:
        raise BadInput(
            f"{setting}: holds a user, password or query, which would be written down; put the key in an environment "
            f"variable and name that in profiles.{called}.key_from"
        )
    if profile.key_from is not None and not key:
        raise BadInput(f"profile {called}: no key: the environment variable {profile.key_from} is not set; set it")
    fix = f"set {profile.key_from}" if profile.key_from else f"name the key's variable in profiles.{called}.key_from"
    words = Words(f"profile {called} ({host})", setting, f"profiles.{called}.model", fix)
    return Line(profile.url, profile.model, words, key or None)
