"""Picture files for tests, good and bad."""

import os
import struct
import zlib
from functools import cache
from io import BytesIO

from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(
    kind: str = "PNG", size: tuple[int, int] = (40, 30), color=RED, mode: str = "RGB", **options
) -> bytes:
    """A file of one colour."""
    file = BytesIO()
    Image.new(mode, size, color).save(file, kind, **options)
    return file.getvalue()


def noise(kind: str, size: tuple[int, int], **options) -> bytes:
    """A file that does not compress."""
    file = BytesIO()
    Image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3)).save(file, kind, **options)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content), formats=["WEBP"])
    image.load()
    return image


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A small PNG of many black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


NOT_PICTURES = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "gif that is a script": b"GIF89a/*  */=1;alert(document.domain)//" + b" " * 900,
    "gif that is a page": b"GIF89a<script>alert(1)</script>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "zip": b"PK\x03\x04" + bytes(60),
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "text": b"hello",
}
DAMAGED = {
    "jpeg cut in half": noise("JPEG", (90, 90))[:2000],
    "jpeg that only begins": b"\xff\xd8\xff\xe0",
    "png cut in half": noise("PNG", (90, 90))[:9000],
    "png without pixels": picture("PNG")[:30],
    "gif cut in half": noise("GIF", (90, 90))[:3000],
    "webp cut in half": noise("WEBP", (90, 90))[:900],
}
