"""What is made of a picture, and what a file that is none can do: attacks 69, 71 and 72."""

import time
from io import BytesIO

import pytest
from PIL import Image, ImageCms

from app.integrations.pictures import DecoderProcesses
from app.integrations.pictures.shrink import Refused, shrink
from app.ports import PictureFault, PictureRefused, PicturesBusy, PictureShape
from tests.pictures import BLUE, DAMAGED, NOT_PICTURES, RED, noise, opened, picture, png_bomb

PRODUCT = PictureShape((320, 640, 1280), square=False)
MAX_PIXELS = 20_000_000


def made(content: bytes, widths=(320, 640, 1280), *, square=False) -> dict[int, bytes]:
    return shrink(content, widths, square=square, max_pixels=MAX_PIXELS)


def sizes(content: bytes, widths=(320, 640, 1280), *, square=False) -> list[tuple[int, int]]:
    return [opened(small).size for small in made(content, widths, square=square).values()]


def two_halves(size: tuple[int, int], **options) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    file = BytesIO()
    image.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def is_near(found, wanted) -> bool:
    return all(abs(one - other) < 25 for one, other in zip(found, wanted, strict=True))


def test_each_width_is_made_and_none_is_larger_than_the_original():
    assert sizes(noise("JPEG", (1500, 1000))) == [(320, 213), (640, 427), (1280, 853)]
    assert sizes(picture(size=(500, 300))) == [(320, 192), (500, 300), (500, 300)]
    assert sizes(picture(size=(1, 1))) == [(1, 1)] * 3
    assert sizes(picture(size=(1, 9000))) == [(1, 640), (1, 1280), (1, 2560)]
    assert sizes(noise("JPEG", (900, 600)), (96, 320), square=True) == [(96, 96), (320, 320)]
    assert sizes(picture(size=(200, 900)), (96, 320), square=True) == [(96, 96), (200, 200)]


def test_every_kind_of_pixels_becomes_plain_colours():
    kinds = [
        ("PNG", "L", 255, "RGB"),
        ("PNG", "1", 1, "RGB"),
        ("PNG", "I;16", 65_535, "RGB"),
        ("PNG", "P", 0, "RGB"),
        ("JPEG", "CMYK", (0, 0, 0, 0), "RGB"),
        ("PNG", "RGBA", (255, 255, 255, 128), "RGBA"),
        ("PNG", "LA", (255, 128), "RGBA"),
        ("WEBP", "RGBA", (255, 255, 255, 128), "RGBA"),
        ("GIF", "RGB", (255, 255, 255), "RGB"),
    ]
    for kind, mode, color, wanted in kinds:
        small = opened(made(picture(kind, (50, 40), color, mode), (32,))[32])
        assert (small.mode, small.format, small.size) == (wanted, "WEBP", (32, 26)), (kind, mode)
        if mode != "P":
            assert is_near(small.convert("RGB").getpixel((5, 5)), (255, 255, 255)), (kind, mode)


def test_of_a_moving_picture_the_first_frame_is_taken():
    frames = [Image.new("RGB", (30, 30), color) for color in (RED, BLUE, BLUE)]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], loop=0)
    small = opened(made(file.getvalue(), (320,))[320])
    assert getattr(small, "n_frames", 1) == 1
    assert is_near(small.getpixel((9, 9)), RED)


def test_attack_71_a_picture_stands_upright_and_says_nothing_of_its_maker():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "S", 2: (1.0, 17.0, 0.0)})
    content = two_halves((400, 200), exif=exif, comment=b"SecretComment")
    assert b"SecretCamera" in content

    for square, size in ((False, (160, 320)), (True, (160, 160))):
        small = made(content, (160,), square=square)[160]
        image = opened(small)
        assert image.size == size
        assert is_near(image.getpixel((80, 5)), RED)
        assert is_near(image.getpixel((80, size[1] - 6)), BLUE)
        assert b"Secret" not in small
        assert (dict(image.getexif()), image.info.get("icc_profile")) == ({}, None)


def test_colours_of_another_profile_stay_what_they_looked_like():
    """What a profile says is carried out before it is dropped; an unreadable one says nothing."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (profile, b"not a profile"):
        small = opened(made(picture("JPEG", (40, 40), RED, icc_profile=icc), (32,))[32])
        assert is_near(small.getpixel((9, 9)), RED)


def test_attack_69_what_is_no_picture_is_told_from_a_damaged_one():
    for name, content in {**NOT_PICTURES, **DAMAGED}.items():
        with pytest.raises(Refused) as caught:
            made(content)
        assert caught.value.reason == ("unsupported" if name in NOT_PICTURES else "broken"), name


def test_what_hides_behind_a_picture_is_left_behind():
    for kind in ("JPEG", "PNG", "GIF", "WEBP"):
        for small in made(picture(kind) + b"PK\x03\x04<script>alert(1)</script>").values():
            assert b"script" not in small
            assert b"PK\x03" not in small


def test_attack_72_too_many_pixels_are_refused_before_one_is_decoded():
    bomb = png_bomb(13_000, 13_000)
    assert len(bomb) < 500_000
    before = time.process_time()
    with pytest.raises(Refused) as caught:
        made(bomb)
    assert caught.value.reason == "too_large"
    assert time.process_time() - before < 0.1


def test_a_process_of_its_own_makes_the_same():
    content = noise("JPEG", (700, 500))
    assert DecoderProcesses(1)(content, PRODUCT) == made(content)


def test_a_process_answers_for_the_files_faults():
    decoder = DecoderProcesses(1)
    for content, fault in (
        (NOT_PICTURES["eps"], PictureFault.UNSUPPORTED),
        (DAMAGED["png cut in half"], PictureFault.BROKEN),
        (png_bomb(13_000, 13_000), PictureFault.TOO_LARGE),
    ):
        with pytest.raises(PictureRefused) as caught:
            decoder(content, PRODUCT)
        assert caught.value.fault is fault


def test_attack_72_a_process_gets_so_much_memory_and_time():
    deep = png_bomb(4_000, 4_000)
    megabytes = 1024 * 1024
    with pytest.raises(PictureRefused) as caught:
        DecoderProcesses(1, memory_bytes=110 * megabytes)(deep, PRODUCT)
    assert caught.value.fault in {PictureFault.TOO_LARGE, PictureFault.BROKEN}
    assert DecoderProcesses(1)(deep, PRODUCT).keys() == {320, 640, 1280}
    with pytest.raises(PicturesBusy, match="took too long"):
        DecoderProcesses(1, timeout_seconds=0.01)(deep, PRODUCT)


def test_a_caller_without_a_place_is_sent_away():
    decoder = DecoderProcesses(1, waiting_seconds=0.01)
    content = picture()
    with decoder._place():
        with pytest.raises(PicturesBusy, match="before this one"):
            decoder(content, PRODUCT)
        decoder._places.acquire()  # one more waits
        with pytest.raises(PicturesBusy, match="Too many"):
            decoder(content, PRODUCT)
        decoder._places.release()
    assert decoder(content, PRODUCT).keys() == {320, 640, 1280}
