"""Pictures for questions."""

import io

from PIL import Image


def png(width: int, height: int) -> bytes:
    """A grey picture of this size."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "grey").save(file, "PNG")
    return file.getvalue()
