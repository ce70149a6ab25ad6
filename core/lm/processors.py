"""Tokenizers and image processors of checkpoints, as they lie in a folder."""

from pathlib import Path
from typing import Any

from core.errors import BadInput, first_line

_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError)


def read_processor(folder: Path, config: Any) -> Any:
    """The processor of images and text of the model that `config` describes; videos are left out.

    Raises:
        BadInput: it cannot be loaded.
    """
    from transformers import PROCESSOR_MAPPING, AutoProcessor

    kind: Any = PROCESSOR_MAPPING.get(type(config), None)
    try:
        videos = kind is not None and "video_processor" in kind.get_attributes()
        kind = without_videos(kind) if videos else AutoProcessor
        # The torchvision backend resizes slightly differently, and is not installed everywhere.
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, backend="pil")
    except _FAULTS as error:
        raise BadInput(f"model {folder}: its processor cannot be loaded ({fault(error)})") from error


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model of text only.

    Raises:
        BadInput: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except _FAULTS as error:
        raise BadInput(f"model {folder}: its tokenizer cannot be loaded ({fault(error)})") from error


def without_videos(kind: Any) -> Any:
    """A processor's class without its part for videos, which exists only where torchvision is installed (Qwen2-VL)."""

    def begin(self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        kind.__init__(self, image_processor, tokenizer, None, chat_template=chat_template)

    return type(kind.__name__, (kind,), {"__init__": begin, "__doc__": kind.__doc__})


def fault(error: BaseException) -> str:
    """What an error of transformers says, on one line; what it says of code to trust, in our words."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    said = str(error)
    if "custom code" in said and "trust_remote_code" in said:
        return (
            "auto_map asks for code of the model's repository, which is never run here; take a checkpoint of a kind "
            "that transformers knows, or name a model.factory of your own"
        )
    return first_line(error)
