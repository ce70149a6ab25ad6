"""A process that asks and prints the replies: python -m tests.core.chat.asker URL CACHE COUNT [PROFILE AS JSON]."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from core.chat.endpoint import ChatClient
from core.study.catalogue import ChatProfile
from tests.core.chat.conftest import questions


def main(url: str, cache: str, count: str, settings: str = "{}") -> None:
    profile = ChatProfile.model_validate({"url": url, "model": "a/parrot", "concurrency": 3, **json.loads(settings)})
    replies = ChatClient(profile, None, Path(cache), "run", "parrot").ask(questions(int(count)))
    print(json.dumps([asdict(reply) for reply in replies]))


if __name__ == "__main__":
    main(*sys.argv[1:])
