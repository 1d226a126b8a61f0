"""Three stores that keep pictures alike: a folder, memory, and a bucket on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from app.integrations.files import BucketFiles, FolderFiles, MemoryFiles, open_files
from app.ports import FileStoreError

KEY = "0123456789abcdef0123456789abcdef"


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as a picture needs, at /shop."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.files[self._name()] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, headers={"ETag": '"1"'})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._answer(200, self._list(query["prefix"][0]))
        elif self._name() in self.files:
            headers = {"ETag": '"1"', "Last-Modified": "Sun, 22 Nov 2026 09:00:00 GMT"}
            self._answer(200, self.files[self._name()], headers)
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - the server calls it so

    def do_DELETE(self) -> None:
        self.files.pop(self._name(), None)
        self._answer(204)

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/shop/")

    def _list(self, prefix: str) -> bytes:
        rows = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(content)}</Size><ETag>1</ETag>"
            "<LastModified>2026-11-22T09:00:00Z</LastModified></Contents>"
            for name, content in self.files.items()
            if name.startswith(prefix)
        )
        return f"<ListBucketResult>{rows}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes = b"", headers=()) -> None:
        self.seen.append((self.command, self.headers.get("Authorization", "")))
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing is printed."""


@pytest.fixture
def bucket():
    """A running server, its files and what it saw."""
    kind = type("OneBucket", (Bucket,), {"files": {}, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}"
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["folder", "memory", "bucket"])
def files(request, tmp_path):
    if request.param == "folder":
        return open_files(f"file://{tmp_path}/media")
    if request.param == "memory":
        return open_files("memory://")
    endpoint = request.getfixturevalue("bucket").url
    return open_files(f"s3://amina:se%2Fcret@shop/pictures?endpoint={endpoint}&region=af-south-1")


def test_a_store_keeps_finds_and_erases(files):
    files.check()
    assert files.read(f"{KEY}/320.webp") is None
    files.erase(KEY)
    files.write(f"{KEY}/320.webp", b"small")
    files.write(f"{KEY}/640.webp", b"large")
    files.write(f"{KEY[::-1]}/320.webp", b"another")
    files.write(f"{KEY}/320.webp", b"small again")

    assert files.read(f"{KEY}/320.webp") == b"small again"
    assert files.read(f"{KEY}/640.webp") == b"large"
    files.erase(KEY)
    assert files.read(f"{KEY}/320.webp") is None
    assert files.read(f"{KEY}/640.webp") is None
    assert files.read(f"{KEY[::-1]}/320.webp") == b"another"
    files.check()


def test_no_name_leads_out_of_a_store(files):
    for name in ("../secret", f"{KEY}/../../secret"):
        with pytest.raises(ValueError, match="illegal"):
            files.read(name)


def test_an_address_says_which_store_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = {
        "instance/media": FolderFiles,
        f"file://{tmp_path}/x": FolderFiles,
        "memory://": MemoryFiles,
        "s3://shop": BucketFiles,
    }
    assert {url: type(open_files(url)) for url in kinds} == kinds
    open_files("instance/media").write(f"{KEY}/320.webp", b"x")
    assert (tmp_path / "instance/media" / KEY / "320.webp").read_bytes() == b"x"


def test_a_bucket_is_asked_with_its_keys_and_under_its_prefix(bucket):
    files = open_files(f"s3://amina:se%2Fcret@shop/pictures?endpoint={bucket.url}")
    files.write(f"{KEY}/320.webp", b"x")

    assert list(bucket.files) == [f"pictures/{KEY}/320.webp"]
    ((method, authorization),) = bucket.seen
    assert method == "PUT"
    assert "Credential=amina/" in authorization
    assert "cret" not in authorization


def test_a_store_that_is_down_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"where a folder should be")
    for files in (
        open_files(str(blocked / "media")),
        open_files("s3://a:b@shop?endpoint=http://127.0.0.1:1"),
    ):
        for call in (
            lambda files=files: files.write(f"{KEY}/320.webp", b"x"),
            lambda files=files: files.read(f"{KEY}/320.webp"),
            files.check,
        ):
            with pytest.raises(FileStoreError) as caught:
                call()
            assert "\n" not in str(caught.value)


def test_a_folder_loses_what_a_dead_process_left_half_written(tmp_path):
    files = open_files(str(tmp_path))
    files.write(f"{KEY}/320.webp", b"x")
    (tmp_path / KEY / "640.webp#1").write_bytes(b"half")
    files.erase(KEY)
    assert list(tmp_path.iterdir()) == []
