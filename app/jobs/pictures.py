"""Pictures, stored and erased: the file is read before any transaction, the files are written
between two, and a row knows of each file before it is there and until it is gone.

Wherever the process dies, either the old or the new picture is shown, and whole; what is left
over is found by the sweep.
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager

import structlog

from app.errors import AppError, InvalidInput, TooLarge, Unavailable, UnsupportedMedia
from app.jobs.rules import picture_rules
from app.jobs.work import Work
from app.models import Picture, Product, User
from app.models.picture import WIDTHS_OF_A_PRODUCT, WIDTHS_OF_A_PROFILE, file_of
from app.policies import Actor
from app.ports import FileStoreError, PictureFault, PictureRefused, PicturesBusy, PictureShape
from app.services.picture_upkeep import (
    keep_what_is_shown,
    move_due_pictures,
    pictures_to_erase,
    record_erased,
)
from app.services.pictures import (
    begin_picture,
    check_picture,
    give_up_picture,
    show_on_product,
    show_on_profile,
)

PROFILE = PictureShape(WIDTHS_OF_A_PROFILE, square=True)
PRODUCT = PictureShape(WIDTHS_OF_A_PRODUCT, square=False)
BATCH = 100
_BUSY_SECONDS = 5

log = structlog.get_logger(__name__)


def put_profile_picture(work: Work, actor: Actor, content: bytes) -> User:
    """Show a new picture of the caller. Raises as ``put_product_image`` does."""
    sizes = _shrink(work, actor, None, content, PROFILE)
    with work.database.transaction() as session:
        picture = begin_picture(session, actor, None, picture_rules(work.config), work.now())
    with _given_up_if_refused(work, picture):
        _store(work, picture, sizes)
        with work.database.transaction() as session:
            user = show_on_profile(session, picture, work.now())
    log.info("profile_picture_changed", user_id=user.id, picture_id=picture.id)
    return user


def put_product_image(
    work: Work,
    actor: Actor,
    product_id: int,
    content: bytes,
    expected_versions: Container[int] | None,
) -> Product:
    """Show a new picture of a product.

    Raises NotFound, Forbidden, PreconditionFailed, TooManyRequests; UnsupportedMedia, InvalidInput
    and TooLarge for the file's own faults; Unavailable when it cannot be read or stored now.
    Nothing is changed then.
    """
    sizes = _shrink(work, actor, product_id, content, PRODUCT)
    rules = picture_rules(work.config)
    with work.database.transaction() as session:
        picture = begin_picture(
            session, actor, product_id, rules, work.now(), expected_versions=expected_versions
        )
    with _given_up_if_refused(work, picture):
        _store(work, picture, sizes)
        with work.database.transaction() as session:
            product = show_on_product(
                session,
                actor,
                picture,
                product_id,
                work.now(),
                expected_versions=expected_versions,
            )
    log.info("product_image_changed", product_id=product_id, picture_id=picture.id)
    return product


def erase_unwanted_pictures(work: Work) -> None:
    """Remove the files of every picture that was replaced, taken off or never finished."""
    now = work.now()
    with work.database.transaction() as session:
        move_due_pictures(session, now)
        due = pictures_to_erase(session, now, BATCH)
        unwanted = keep_what_is_shown(session, due, now) if due else []
    for picture in unwanted:
        try:
            work.ports.files.erase(picture.key)
        except FileStoreError as error:
            log.warning("pictures_not_erased", picture_id=picture.id, error=str(error))
            return  # the next sweep goes on here
        with work.database.transaction() as session:
            record_erased(session, picture, work.now())


def _shrink(
    work: Work, actor: Actor, product_id: int | None, content: bytes, shape: PictureShape
) -> dict[int, bytes]:
    with work.database.reading() as session:
        check_picture(session, actor, product_id, picture_rules(work.config), work.now())
    try:
        return work.ports.shrink_picture(content, shape)
    except PictureRefused as refusal:
        raise _refusal(refusal.fault) from None
    except PicturesBusy as error:
        log.warning("picture_not_read", reason=str(error))
        raise Unavailable(
            "Too many pictures are sent at the moment. Send yours again in a while.",
            code="pictures_busy",
            retry_after_seconds=_BUSY_SECONDS,
        ) from None


def _refusal(fault: PictureFault) -> AppError:
    if fault is PictureFault.UNSUPPORTED:
        return UnsupportedMedia("Send a JPEG, PNG, WebP or GIF.", code="not_a_picture")
    if fault is PictureFault.TOO_LARGE:
        return TooLarge(
            "The picture has too many pixels. Send one of at most 20 megapixels.",
            code="picture_too_large",
        )
    return InvalidInput.field(
        "picture", "The picture is damaged or incomplete.", code="picture_damaged"
    )


def _store(work: Work, picture: Picture, sizes: dict[int, bytes]) -> None:
    try:
        for width, content in sizes.items():
            work.ports.files.write(file_of(picture.key, width), content)
    except FileStoreError as error:
        raise Unavailable(
            "The picture cannot be stored right now. Nothing was changed; send it again later.",
            code="storage_unavailable",
            retry_after_seconds=_BUSY_SECONDS,
        ) from error


@contextmanager
def _given_up_if_refused(work: Work, picture: Picture) -> Iterator[None]:
    """After any other end, such as a database that is gone, the row's lease runs out."""
    try:
        yield
    except AppError:
        with work.database.transaction() as session:
            is_left_to_the_sweep = give_up_picture(session, picture, work.now())
        if not is_left_to_the_sweep:
            _erase_late_files(work, picture)
        raise


def _erase_late_files(work: Work, picture: Picture) -> None:
    """What was written after the lease had run out and the sweep had been there."""
    try:
        work.ports.files.erase(picture.key)
    except FileStoreError as error:
        log.warning("pictures_left_over", key=picture.key, error=str(error))
