"""Images from the web, fetched defensively and decoded in memory.

A URL may come from an untrusted file. Only http and https are followed. Every redirect is checked
like the first URL. The connection goes to the checked address, so a host name that resolves
differently between check and connection (DNS rebinding) gains nothing. Addresses that are not
public (private, loopback, link-local, reserved) are refused unless the caller allows them, even
inside an IPv6 address. Proxies are not used, since addresses behind a proxy cannot be checked.

It uses the standard library, because the usual clients resolve the name again when they connect.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from jaxcap.files.text import plain
from jaxcap.vision.images import RGB, decode_image

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_REMEDIES = {
    **dict.fromkeys(
        (401, 402, 403, 451), "it may refuse programs: save the picture with a browser"
    ),
    **dict.fromkeys((408, 429, 500, 502, 503, 504), "try again later"),
}
_CHUNK_BYTES = 1 << 16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HEADERS = {
    "User-Agent": "jaxcap",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def is_url(text: str) -> bool:
    """Say whether a text is a URL rather than a path."""
    return "://" in text


def fetch_image(
    url: str,
    *,
    timeout: float = 10.0,
    max_bytes: int = 32 << 20,
    max_redirects: int = 5,
    allow_private: bool = False,
) -> RGB:
    """Fetch an image from the web as upright RGB bytes.

    Args:
        url: an http or https address.
        timeout: seconds for everything except resolving names, redirects included.
        max_bytes: most bytes of the image file.
        max_redirects: most redirects to follow.
        allow_private: also connect to addresses that are not public.

    Returns:
        (H, W, 3) uint8, as from `open_image`.

    Raises:
        ValueError: the URL, an address behind it or the size is refused, or the answer is not an
            image.
        TimeoutError: the answer took too long.
        OSError: the host cannot be found or reached, answers with an error, or sends a broken
            image.
    """
    deadline = time.monotonic() + timeout
    location = url
    for _ in range(max_redirects + 1):
        where = url if location == url else f"{url} (redirected to {plain(location, 200)})"
        try:
            answer = _get(location, where, deadline, max_bytes, allow_private)
        except TimeoutError as error:
            raise TimeoutError(
                f"{where}: no complete answer within {timeout:g} s; try again or raise `timeout`"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise OSError(
                f"{where}: the certificate is not valid: {error.verify_message}; check the URL"
            ) from error
        except (http.client.HTTPException, ssl.SSLError, ConnectionError) as error:
            detail = plain(str(error), 200) or type(error).__name__
            raise OSError(f"{where}: the connection failed: {detail}; try again") from error
        if answer.redirect is None:
            return _decode(answer, where)
        location = urljoin(location, answer.redirect)
    raise OSError(f"{url}: more than {max_redirects} redirects; save it with a browser")


@dataclass(frozen=True)
class _Answer:
    """Answer of a host: the bytes of a file, or the target of a redirect."""

    body: bytes = b""
    kind: str = ""
    redirect: str | None = None


def _decode(answer: _Answer, where: str) -> RGB:
    try:
        return decode_image(answer.body, where)
    except ValueError as error:
        if answer.kind.startswith("image/"):
            raise
        raise ValueError(f"{error} (the host calls it {answer.kind or 'nothing'})") from error


def _get(url: str, where: str, deadline: float, max_bytes: int, allow_private: bool) -> _Answer:
    """Make one request, without following redirects."""
    parts, host, port = _split(url, where)
    addresses = _resolve(host, port, where, allow_private)
    sock = _connect(addresses, where, deadline)
    try:
        if parts.scheme == "https":
            sock.settimeout(_remaining(deadline))
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = _DeadlineSocket(sock, deadline)
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        if parts.query:
            target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
        standard = port == _PORTS[parts.scheme]
        name = f"[{host}]" if ":" in host else host
        headers = {"Host": name if standard else f"{name}:{port}", **_HEADERS}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        redirect = response.headers.get("Location")
        if response.status in _REDIRECTS and redirect:
            return _Answer(redirect=redirect)
        if response.status != 200:
            remedy = _REMEDIES.get(response.status, "check the URL")
            said = f"{response.status} {plain(response.reason, 200)}"
            raise OSError(f"{where}: the host answered {said}; {remedy}")
        kind = plain(response.headers.get_content_type(), 200)
        return _Answer(_read(response, where, max_bytes), kind)
    finally:
        sock.close()


def _split(url: str, where: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise ValueError(f"{where}: not a valid URL: {error}; check it") from error
    if parts.scheme not in _PORTS:
        raise ValueError(f"{where}: only http and https are fetched, not {parts.scheme!r}")
    if not host:
        raise ValueError(f"{where}: the URL has no host; check it")
    if "@" in parts.netloc:
        raise ValueError(f"{where}: URLs with a user name are not fetched; remove it")
    return parts, host, port


def _resolve(host: str, port: int, where: str, allow_private: bool) -> list[tuple]:
    """Resolve a name, and refuse it if any of its addresses is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"{where}: the host {host!r} cannot be found; check the URL") from error
    if not allow_private:
        for *_, address in found:
            if not is_public(str(address[0])):
                raise ValueError(
                    f"{where}: {host} is at {address[0]}, which is not a public address; "
                    "set `allow_private=True` to fetch from your network"
                )
    return found


def is_public(address: str) -> bool:
    """Say whether an IP address belongs to the public internet.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) is checked instead.

    Args:
        address: an IPv4 or IPv6 address as text.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _connect(addresses: list[tuple], where: str, deadline: float) -> socket.socket:
    """Connect to the first of the checked addresses that answers."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_remaining(deadline))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
            if isinstance(error, TimeoutError):
                break
    if isinstance(failure, TimeoutError):
        raise failure
    raise OSError(f"{where}: cannot connect: {failure}; check the URL and the network")


def _read(response: http.client.HTTPResponse, where: str, max_bytes: int) -> bytes:
    refusal = f"{where}: larger than the limit of {max_bytes} bytes; fetch a smaller version"
    if (response.length or 0) > max_bytes:
        raise ValueError(refusal)
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise ValueError(refusal)
    if response.length:
        raise OSError(f"{where}: {response.length} bytes are missing at the end; try again")
    return bytes(body)


def _remaining(deadline: float) -> float:
    """Return the seconds left until a time of `time.monotonic`.

    Raises:
        TimeoutError: the deadline has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time ran out")
    return left


class _DeadlineSocket:
    """Connected socket for `http.client`, with one deadline for all operations.

    The timeout of a socket restarts with each byte received, so a host that sends one byte a second
    could hold the caller for ever.
    """

    def __init__(self, sock: socket.socket, deadline: float):
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_remaining(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))

    def close(self) -> None:
        """Leave the socket open: the response is still being read, and `_get` closes the socket."""


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float):
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self._sock.settimeout(_remaining(self._deadline))
        return self._sock.recv_into(buffer)
