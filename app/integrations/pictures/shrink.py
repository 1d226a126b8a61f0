"""Makes small WebP pictures of what a stranger sent. It runs as a program of its own.

``python -I shrink.py`` reads one line of JSON (what is wanted) and then the file from its input,
and writes one line of JSON (what was made, or why not) and then the pictures. It imports nothing
of the shop: whoever takes it over through a fault in a decoder finds no settings, no database, no
network library and a few hundred megabytes.
"""

import json
import math
import struct
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""Named at each opening: by itself Pillow would also run Ghostscript on an EPS."""

_GIF = (b"GIF87a", b"GIF89a")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", *_GIF)
_QUALITY = 82
_ORIENTATION = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})
_TALLEST = 2
"""A picture is at most so many times as high as it may be wide."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    ZeroDivisionError,
    OverflowError,
    struct.error,
)
"""What Pillow's decoders raise for files that are not what they claim."""


class Refused(Exception):  # the base of it lies in the shop, which is not here
    """``reason`` is one of unsupported, broken, too_large."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def shrink(
    content: bytes, widths: Sequence[int], *, square: bool, max_pixels: int
) -> dict[int, bytes]:
    """A WebP picture for each width, upright, without metadata, never larger than the original.

    ``square`` cuts out the middle. Of moving pictures the first frame is taken. Raises Refused.
    """
    image = _open(content, max_pixels)
    try:
        largest = _upright(image, max(widths), square=square)
        return {width: _webp(_fitted(largest, width, square=square)) for width in widths}
    except MemoryError:
        raise Refused("too_large") from None
    except _BROKEN:
        raise Refused("broken") from None


def _open(content: bytes, max_pixels: int) -> Image.Image:
    """The opened file; of its pixels nothing is decoded yet."""
    Image.MAX_IMAGE_PIXELS = None  # Pillow would merely warn; our own bound is looked at below
    if content.startswith(_GIF) and _is_text(content[6:10]):
        raise Refused("unsupported")
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
    except _BROKEN:
        raise Refused("broken" if _looks_like_a_picture(content) else "unsupported") from None
    width, height = image.size
    if width * height > max_pixels:
        raise Refused("too_large")
    return image


def _looks_like_a_picture(content: bytes) -> bool:
    """One of our formats by its first bytes, though what follows is not all there."""
    if content.startswith(b"RIFF"):
        return content[8:12] in {b"WEBP", b""}
    return content.startswith(_SIGNATURES)


def _is_text(size: bytes) -> bool:
    """Where a GIF has its width and height, a script or a page in disguise goes on with text. No
    picture within our bound is that wide and high.
    """
    return bool(size) and all(0x20 <= byte < 0x7F for byte in size)  # noqa: PLR2004 - printable ASCII


def _upright(image: Image.Image, width: int, *, square: bool) -> Image.Image:
    """The picture in plain colours, the right way up, about as large as it will be needed."""
    sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    size = (image.height, image.width) if sideways else image.size
    wanted = _covering(size, width) if square else _inside(size, width)
    if sideways:
        wanted = wanted[::-1]
    profile = image.info.get("icc_profile")
    image.draft("RGB", wanted)  # a JPEG is decoded at half or a quarter, where that is enough
    image.load()
    plain = _plain(image)
    plain.thumbnail(wanted, Image.Resampling.LANCZOS)
    return ImageOps.exif_transpose(_in_common_colours(plain, profile))


def _inside(size: tuple[int, int], width: int) -> tuple[int, int]:
    return _scaled(size, min(1.0, width / size[0], width * _TALLEST / size[1]))


def _covering(size: tuple[int, int], side: int) -> tuple[int, int]:
    return _scaled(size, min(1.0, side / min(size)))


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, math.ceil(size[0] * factor)), max(1, math.ceil(size[1] * factor))


def _plain(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something shows through; sixteen bits become eight."""
    if image.mode.startswith(("I", "F")):
        deep = image.convert("F")
        return deep.point(lambda value: value / 257.0).convert("L").convert("RGB")
    has_alpha = image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info
    wanted = "RGBA" if has_alpha else "RGB"
    if image.mode == wanted:
        return image
    plain = image.convert(wanted)
    plain.info = {}  # what names a palette's transparent colour makes no sense now
    if _ORIENTATION in image.getexif():
        plain.info["exif"] = image.getexif().tobytes()
    return plain


def _in_common_colours(image: Image.Image, profile: Any) -> Image.Image:
    """In sRGB, since the profile that says otherwise is dropped with all other metadata."""
    if not profile:
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode=image.mode,
        )
    except (ImageCms.PyCMSError, OSError):
        return image  # an unreadable profile, or one of other colours: they stay as they are
    return image if converted is None else converted


def _fitted(image: Image.Image, width: int, *, square: bool) -> Image.Image:
    if square:
        side = min(width, *image.size)
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    fitted = image.copy()
    fitted.thumbnail(_inside(image.size, width), Image.Resampling.LANCZOS)
    return fitted


def _webp(image: Image.Image) -> bytes:
    file = BytesIO()
    image.info = {}
    image.save(file, "WEBP", quality=_QUALITY, method=4, exif=b"", xmp=b"", icc_profile=b"")
    return file.getvalue()


def limit_resources(memory_bytes: int, cpu_seconds: int) -> None:
    """Take away from this process what a decoder has no use for."""
    import resource
    import signal

    signal.alarm(cpu_seconds * 4)  # should whoever started us be gone
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    if sys.platform == "linux":  # elsewhere the kernel refuses it, or does not keep it
        limits[resource.RLIMIT_AS] = memory_bytes
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.readline())
    limit_resources(wanted["memory_bytes"], wanted["cpu_seconds"])
    made: dict[int, bytes] = {}
    answer: dict[str, Any]
    try:
        made = shrink(
            sys.stdin.buffer.read(),
            wanted["widths"],
            square=wanted["square"],
            max_pixels=wanted["max_pixels"],
        )
        answer = {"lengths": {str(width): len(picture) for width, picture in made.items()}}
    except Refused as refusal:
        answer = {"refused": refusal.reason}
    except MemoryError:
        answer = {"refused": "too_large"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    for picture in made.values():
        sys.stdout.buffer.write(picture)


if __name__ == "__main__":
    main()
