"""The rules for URLs, against a server on this machine."""

import io
import socket
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from jaxcap.vision import download
from jaxcap.vision.download import fetch_image, is_public, is_url

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
PNG = io.BytesIO()
Image.fromarray(PICTURE).save(PNG, "PNG")
PNG = PNG.getvalue()
# Path: body, type, status, headers.
ANSWERS = {
    "/picture.png": (PNG, "image/png", 200, {"Content-Length": len(PNG)}),
    "/picture": (PNG, "image/png", 200, {}),
    "/loop": (b"", "text/html", 301, {"Location": "/loop"}),
    "/denied": (b"", "text/html", 403, {}),
    "/busy": (b"", "text/html", 503, {}),
    "/text": (b"<html>moved</html>", "text/html", 200, {}),
    "/announced": (PNG, "image/png", 200, {"Content-Length": 10**9}),
    "/endless": (bytes(1 << 26), "image/png", 200, {}),
    "/short": (PNG[:40], "image/png", 200, {"Content-Length": len(PNG)}),
    "/dripping": (None, "image/png", 200, {"Content-Length": 1000}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Host"]))
        path, _, query = self.path.partition("?")
        missing = (b"<html>gone</html>", "text/html", 404, {})
        with suppress(ConnectionError):
            if path == "/silent":
                self.server.stop.wait(5)
            elif path == "/headers":
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                self.drip()
            elif path == "/nonsense":
                self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
            elif path == "/redirect":
                self.send(b"", "text/html", 302, {"Location": query})
            else:
                self.send(*ANSWERS.get(path, missing))

    def send(self, body, kind, status, headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.drip() if body is None else self.wfile.write(body)

    def drip(self):
        while not self.server.stop.wait(0.05):
            self.wfile.write(b"x")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.stop, server.requests = threading.Event(), []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(url, **options):
    return fetch_image(url, **{"allow_private": True, "timeout": 5.0, **options})


def test_pictures_are_fetched_and_no_file_is_written_or_left_open(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    paths = ("picture.png", "picture", "redirect?/picture.png", "redirect?picture", "picture?a=b c")
    for path in paths:
        np.testing.assert_array_equal(fetch(f"{server.url}/{path}"), PICTURE)
    with pytest.raises(OSError, match="bytes are missing"):
        fetch(f"{server.url}/short")
    assert not list(tmp_path.iterdir())
    assert is_url("https://example.org/a.jpg") and not is_url("photos/a.jpg")


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("missing.png", OSError, "answered 404 Not Found; check the URL$"),
        (
            "denied",
            OSError,
            "answered 403 .*; it may refuse programs: save the picture with a browser$",
        ),
        ("busy", OSError, "answered 503 .*; try again later$"),
        ("loop", OSError, "more than 5 redirects"),
        ("redirect?file:///etc/hostname", ValueError, "only http and https.*'file'"),
        ("redirect?ftp://127.0.0.1/a.png", ValueError, "only http and https.*'ftp'"),
        ("text", ValueError, "not an image.*host calls it text/html"),
        ("announced", ValueError, "larger than the limit of 100000 bytes"),
        ("endless", ValueError, "larger than the limit of 100000 bytes"),
        ("short", OSError, "bytes are missing at the end"),
        ("nonsense", OSError, "connection failed"),
        *((slow, TimeoutError, r"within 0\.3 s") for slow in ("dripping", "silent", "headers")),
    ],
)
def test_refusals(server, path, kind, message):
    url, start = f"{server.url}/{path}", time.monotonic()
    with pytest.raises(kind, match=message) as error:
        fetch(url, max_bytes=100_000, timeout=0.3 if kind is TimeoutError else 5.0)
    assert url in str(error.value) and "\n" not in str(error.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("file:///etc/hostname", ValueError, "only http and https"),
        ("http:///a.png", ValueError, "has no host"),
        ("http://user:secret@127.0.0.1/a.png", ValueError, "user name"),
        ("http://127.0.0.1:99999/a.png", ValueError, "not a valid URL"),
        ("http://[::1/a.png", ValueError, "not a valid URL"),
        ("http://127.0.0.1:1/a.png", OSError, "cannot connect"),
        ("http://no.example/a.png", OSError, r"the host 'no\.example' cannot be found"),
    ],
)
def test_urls_that_are_not_fetched(monkeypatch, url, kind, message):
    def known(host, port, find=socket.getaddrinfo, **options):
        if host == "no.example":
            raise socket.gaierror(-2, "Name or service not known")
        return find(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    with pytest.raises(kind, match=message):
        fetch(url)


PUBLIC = "8.8.8.8 2001:4860:4860::8888 ::ffff:8.8.8.8 64:ff9b::8.8.8.8"
PRIVATE = (
    "10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 127.8.8.8 0.0.0.0 224.0.0.1 "
    "240.0.0.1 255.255.255.255 :: ::1 fe80::1%1 fc00::1 fec0::1 ff02::1 ::ffff:127.0.0.1 "
    "64:ff9b::10.0.0.1 2002:7f00:1:: ::127.0.0.1"
)


def test_only_public_addresses_are_reached(server, monkeypatch):
    assert all(map(is_public, PUBLIC.split())) and not any(map(is_public, PRIVATE.split()))
    before = len(server.requests)
    for host in ("127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::1]"):
        with pytest.raises(ValueError, match="not a public address"):
            fetch(f"{server.url}/picture.png".replace("127.0.0.1", host), allow_private=False)
    assert len(server.requests) == before
    monkeypatch.setattr(download, "is_public", lambda address: address in ("127.0.0.1", "8.8.8.8"))
    target = server.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(ValueError, match=r"redirected to .*127\.0\.0\.2.*not a public address"):
        fetch(f"{server.url}/redirect?{target}/picture.png", allow_private=False)

    asked = []

    def rebinding(host, port, **_):
        """A name that answers differently the second time, or with one private address."""
        asked.append(host)
        found = ["127.0.0.1"] if len(asked) == 1 else ["8.8.8.8", "127.0.0.66"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    host = f"pictures.example.org:{server.server_port}"
    found = fetch(f"http://{host}/picture.png", allow_private=False)
    np.testing.assert_array_equal(found, PICTURE)
    assert asked == ["pictures.example.org"] and server.requests[-1] == ("/picture.png", host)
    with pytest.raises(ValueError, match=r"example\.org is at 127\.0\.0\.66"):
        fetch(f"http://{host}/picture.png", allow_private=False)
