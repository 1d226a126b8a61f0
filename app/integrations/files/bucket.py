from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import S3Store

from app.integrations.files.objects import ObjectFiles

if TYPE_CHECKING:  # these exist for the type checker alone
    from obstore.store import ClientConfig, RetryConfig, S3Config

_CONNECT_TIMEOUT = timedelta(seconds=3)
_TIMEOUT = timedelta(seconds=10)
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=12)}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of Amazon's or of whoever speaks the same protocol at ``endpoint``.

    Without keys those of the environment (AWS_ACCESS_KEY_ID, …) or of the machine are used.
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


class BucketFiles(ObjectFiles):
    def __init__(self, bucket: Bucket) -> None:
        super().__init__(lambda: _open(bucket))


def _open(bucket: Bucket) -> S3Store:
    settings: S3Config = {"region": bucket.region, "disable_bulk_delete": True}
    if bucket.access_key_id and bucket.secret_access_key:
        settings["access_key_id"] = bucket.access_key_id
        settings["secret_access_key"] = bucket.secret_access_key
    client: ClientConfig = {"connect_timeout": _CONNECT_TIMEOUT, "timeout": _TIMEOUT}
    if bucket.endpoint:
        settings["endpoint"] = bucket.endpoint
        settings["virtual_hosted_style_request"] = False
        client["allow_http"] = bucket.endpoint.startswith("http://")
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=settings,
        client_options=client,
        retry_config=_RETRIES,
    )
