"""What a file is by its first bytes, where a picture or a table was expected, and what to do about it."""

HEAD_BYTES = 1024
"""How much of a file `signature` looks at."""

_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer; `git lfs pull` fetches the file itself"),
    (b"%PDF", "a PDF; save its picture as PNG, or its table as CSV"),
    (b"PK\x03\x04", "a zip archive (an Excel file is one); unpack it, or save its sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file; save its sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "packed with gzip; unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd; unpack it with unzstd"),
    (b"BZh", "packed with bzip2; unpack it with bunzip2"),
    (b"\xfd7zXZ", "packed with xz; unpack it with unxz"),
    (b"PAR1", "a Parquet file; let its name end in .parquet"),
    (b"ARROW1", "an Arrow file; write it as Parquet"),
    (b"SQLite format 3", "an SQLite database; write its table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array; save it as PNG"),
    (b"v/1\x01", "an OpenEXR picture; save it as PNG with 8 bits per channel"),
    (b"\xff\x0a", "a JPEG XL picture; save it as JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture; save it as JPEG or PNG"),
    (b"II*\0", "a TIFF of a pixel type that cannot be read; save it as PNG"),
    (b"MM\0*", "a TIFF of a pixel type that cannot be read; save it as PNG"),
    (b"\x1aE\xdf\xa3", "a video; save one of its pictures as JPEG or PNG"),
)
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def signature(head: bytes) -> str | None:
    """What a file that begins like this is, and the fix; null where that is not known."""
    if not head:
        return "an empty file"
    for start, reason in _STARTS:
        if head.startswith(start):
            return reason
    if head[4:8] == b"ftyp":
        if head[8:12] in _HEIC:
            return "a HEIC picture, as telephones take them; save it as JPEG or PNG"
        return "a video; save one of its pictures as JPEG or PNG"
    if head[128:132] == b"DICM":
        return "a DICOM picture; save it as PNG with 8 bits per channel"
    return _markup(head.removeprefix(b"\xef\xbb\xbf").lstrip().lower())


def _markup(head: bytes) -> str | None:
    if head.startswith((b"<?xml", b"<svg", b"<!--")) and b"<svg" in head:
        return "an SVG drawing; save it as PNG"
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return "a web page, as a failed download leaves it; download the file again"
    return None
