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


def png():
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Host"]))
        path, _, query = self.path.partition("?")
        with suppress(ConnectionError):
            getattr(self, f"answer_{path.strip('/').partition('.')[0]}", self.answer_none)(query)

    def send(self, body, kind="image/png", status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_picture(self, query):
        self.send(png(), Content_Length=len(png()))

    def answer_unsized(self, query):
        self.send(png())

    def answer_none(self, query):
        self.send(b"<html>gone</html>", "text/html", 404)

    def answer_redirect(self, query):
        self.send(b"", status=302, Location=query)

    def answer_loop(self, query):
        self.send(b"", status=301, Location="/loop")

    def answer_text(self, query):
        self.send(b"<html>moved</html>", "text/html")

    def answer_announced(self, query):
        self.send(png(), Content_Length=10**9)

    def answer_endless(self, query):
        self.send(b"")
        for _ in range(1000):
            self.wfile.write(bytes(1 << 16))

    def answer_short(self, query):
        self.send(png()[:40], Content_Length=len(png()))

    def answer_dripping(self, query):
        self.send(b"", Content_Length=1000)
        self.drip()

    def answer_silent(self, query):
        self.server.stop.wait(5)

    def answer_headers(self, query):
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        self.drip()

    def answer_nonsense(self, query):
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    def drip(self):
        for _ in range(100):
            self.wfile.write(b"x")
            if self.server.stop.wait(0.05):
                return

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.stop = threading.Event()
    server.requests = []
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


@pytest.mark.parametrize(
    "path", ["picture.png", "unsized", "redirect?/picture.png", "redirect?picture", "picture?a=b c"]
)
def test_picture(server, path):
    np.testing.assert_array_equal(fetch(f"{server.url}/{path}"), PICTURE)


def test_no_file_is_written_or_left_open(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fetch(f"{server.url}/picture.png")
    with pytest.raises(OSError, match="bytes are missing"):
        fetch(f"{server.url}/short")
    assert not list(tmp_path.iterdir())


def test_is_url():
    assert is_url("https://example.org/a.jpg") and not is_url("photos/a.jpg")


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("missing.png", OSError, "answered 404"),
        ("loop", OSError, "more than 5 redirects"),
        ("redirect?file:///etc/hostname", ValueError, "only http and https.*'file'"),
        ("redirect?ftp://127.0.0.1/a.png", ValueError, "only http and https.*'ftp'"),
        ("text", ValueError, "not an image.*host calls it text/html"),
        ("announced", ValueError, "larger than the limit of 100000 bytes"),
        ("endless", ValueError, "larger than the limit of 100000 bytes"),
        ("short", OSError, "bytes are missing at the end"),
        ("nonsense", OSError, "connection failed"),
    ],
)
def test_refusals(server, path, kind, message):
    url = f"{server.url}/{path}"
    with pytest.raises(kind, match=message) as error:
        fetch(url, max_bytes=100_000)
    assert url in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["dripping", "silent", "headers"])
def test_time_is_limited_as_a_whole(server, path):
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no whole answer within 0\.3 s"):
        fetch(f"{server.url}/{path}", timeout=0.3)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/hostname", "only http and https"),
        ("ftp://example.org/a.png", "only http and https"),
        ("http:///a.png", "names no host"),
        ("http://user:secret@127.0.0.1/a.png", "user name"),
        ("http://127.0.0.1:99999/a.png", "not a URL"),
        ("http://[::1/a.png", "not a URL"),
    ],
)
def test_urls_that_are_not_fetched(url, message):
    with pytest.raises(ValueError, match=message):
        fetch(url)


def test_nothing_listens():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/a.png"
        with pytest.raises(OSError, match="cannot connect"):
            fetch(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::1]"])
def test_private_hosts_are_refused(server, host):
    before = len(server.requests)
    url = f"{server.url}/picture.png".replace("127.0.0.1", host)
    with pytest.raises(ValueError, match="not a public address"):
        fetch(url, allow_private=False)
    assert len(server.requests) == before


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
    ],
)
def test_is_public(address, public):
    assert is_public(address) == public


def test_redirect_to_a_private_address_is_refused(server, monkeypatch):
    monkeypatch.setattr(download, "is_public", lambda address: address == "127.0.0.1")
    target = server.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(ValueError, match=r"redirected to .*127\.0\.0\.2.*not a public address"):
        fetch(f"{server.url}/redirect?{target}/picture.png", allow_private=False)


def test_one_private_address_among_several_is_refused(monkeypatch):
    def two_addresses(host, port, **_):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("8.8.8.8", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with pytest.raises(ValueError, match=r"example\.org is at 127\.0\.0\.1"):
        fetch("http://example.org/a.png", allow_private=False)


def test_the_checked_address_is_the_one_connected_to(server, monkeypatch):
    """A name that answers differently the second time is never asked a second time."""
    asked = []

    def rebinding(host, port, **_):
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.66"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(download, "is_public", lambda address: address == "127.0.0.1")
    url = f"http://pictures.example.org:{server.server_port}/picture.png"
    np.testing.assert_array_equal(fetch(url, allow_private=False), PICTURE)
    assert asked == ["pictures.example.org"]
    assert server.requests[-1] == (
        "/picture.png",
        f"pictures.example.org:{server.server_port}",
    )


def test_unknown_host(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match=r"the host 'no\.example' cannot be found"):
        fetch("http://no.example/a.png")
