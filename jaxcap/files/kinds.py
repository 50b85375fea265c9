"""What a file is, by its first bytes: kinds that people give where another kind is expected.

The advice on a file depends on its kind: one that is packed has to be unpacked, a web page in place
of a file has to be downloaded anew, a picture of another kind has to be saved as one that is read.
"""

from pathlib import Path
from typing import NamedTuple

from jaxcap.files import AnyPath


class Kind(NamedTuple):
    """A kind of file that is not read where it was given.

    Attributes:
        name: what the file is, as it stands after "is".
        remedy: what to do about it.
        starts: bytes by which the kind is known, each with its offset.
        brands: brands of the ISO container (`ftyp`) by which it is known.
        suffixes: suffixes of a picture's kind, in lower case, with the dot; none for other files.
    """

    name: str
    remedy: str
    starts: tuple[tuple[int, bytes], ...] = ()
    brands: frozenset[bytes] = frozenset()
    suffixes: frozenset[str] = frozenset()


_DRAWN = "save as PNG or JPEG"

HEIC = Kind(
    "HEIC",
    "pip install 'jaxcap[heif]', or save as JPEG",
    brands=frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split()),
    suffixes=frozenset({".heic", ".heif", ".hif", ".heics", ".heifs"}),
)

PICTURES = (
    # Before HEIC, with which AVIF shares the brand mif1.
    Kind(
        "AVIF",
        "install a Pillow with AVIF, or save as JPEG",
        brands=frozenset({b"avif", b"avis"}),
        suffixes=frozenset({".avif", ".avifs"}),
    ),
    HEIC,
    Kind(
        "camera raw",
        "export as JPEG",
        # Others begin as TIFF does, and are known by their suffix.
        (
            (8, b"CR\2\0"),
            (0, b"FUJIFILMCCD-RAW"),
            (0, b"IIRO\x08\0"),
            (0, b"IIRS\x08\0"),
            (0, b"IIU\0"),
        ),
        frozenset({b"crx "}),
        frozenset(
            ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mrw .nef .nrw .orf .pef .raf .rw2 .rwl "
            ".sr2 .srf .srw .x3f".split()
        ),
    ),
    Kind(
        "JPEG XL",
        "save as JPEG",
        ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")),
        suffixes=frozenset({".jxl"}),
    ),
    Kind("SVG", _DRAWN, ((0, b"<svg"),), suffixes=frozenset({".svg", ".svgz"})),
    Kind("EPS", _DRAWN, ((0, b"%!PS"), (0, b"\xc5\xd0\xd3\xc6")), suffixes=frozenset({".eps"})),
    Kind("WMF", _DRAWN, ((0, b"\xd7\xcd\xc6\x9a"),), suffixes=frozenset({".wmf", ".emf"})),
    Kind("GIMP's XCF", _DRAWN, ((0, b"gimp xcf"),), suffixes=frozenset({".xcf"})),
    Kind("OpenEXR", _DRAWN, ((0, b"v/1\x01"),), suffixes=frozenset({".exr"})),
)
"""Kinds of pictures that Pillow lacks, or that jaxcap does not take from it."""

_ANOTHER = "give the file that is expected here"
_TABLE = "write it as a text file, such as CSV or JSON"
_WEB_PAGE = Kind("a web page", "download the file itself, not the page about it")
_UTF_16 = Kind("text in UTF-16", "save it as UTF-8", ((0, b"\xff\xfe"), (0, b"\xfe\xff")))
_VIDEO = Kind(
    "a video",
    "save a picture of it as JPEG",
    ((8, b"AVI LIST"), (0, b"\x1aE\xdf\xa3")),
)
_QUICKTIME = (b"moov", b"mdat", b"wide")
_OTHERS = (
    Kind("packed by gzip", "unpack it with gunzip", ((0, b"\x1f\x8b"),)),
    Kind("packed by bzip2", "unpack it with bunzip2", ((4, b"1AY&SY"),)),
    Kind("packed by xz", "unpack it with unxz", ((0, b"\xfd7zXZ\0"),)),
    Kind("packed by zstd", "unpack it with unzstd", ((0, b"\x28\xb5\x2f\xfd"),)),
    Kind(
        "a zip archive, as .xlsx and .npz files are",
        "unpack it with unzip, or save a table as CSV",
        ((0, b"PK\3\4"), (0, b"PK\5\6")),
    ),
    Kind("a 7z archive", "unpack it with 7z x", ((0, b"7z\xbc\xaf\x27\x1c"),)),
    Kind("a RAR archive", "unpack it with unrar x", ((0, b"Rar!\x1a\7"),)),
    Kind("a tar archive", "unpack it with tar -xf", ((257, b"ustar\0"), (257, b"ustar  \0"))),
    Kind("a Parquet file", _TABLE, ((0, b"PAR1\x15"),)),
    Kind("an Arrow file", _TABLE, ((0, b"ARROW1\0"), (0, b"\xff\xff\xff\xff"))),
    Kind(
        "an Office file of the old kind (.xls, .doc)",
        "save it as CSV or text",
        ((0, b"\xd0\xcf\x11\xe0"),),
    ),
    Kind("an SQLite database", _TABLE, ((0, b"SQLite format 3\0"),)),
    Kind("an HDF5 file", _ANOTHER, ((0, b"\x89HDF\r\n\x1a\n"),)),
    Kind("a NumPy array", _ANOTHER, ((0, b"\x93NUMPY"),)),
    Kind(
        "a Python pickle, which is not read since it may run code",
        "write it as JSON",
        tuple((0, bytes([0x80, version])) for version in (2, 3, 4, 5)),
    ),
    Kind(
        "a pointer of Git LFS, not the file",
        "fetch the file with git lfs pull",
        ((0, b"version https://git-lfs.github.com/spec"),),
    ),
    Kind("a PDF", "save its pages as PNG, its text as a text file", ((0, b"%PDF-"),)),
    Kind("a JPEG picture", _ANOTHER, ((0, b"\xff\xd8\xff"),)),
    Kind("a PNG picture", _ANOTHER, ((0, b"\x89PNG\r\n\x1a\n"),)),
    Kind(
        "a picture that was copied as text, which changed its bytes",
        "copy or download it again, as binary",
        (
            *((0, b"\x89PNG" + end) for end in (b"\n", b"\r\r\n")),
            # What is not UTF-8 was replaced, here the first bytes of a PNG and of a JPEG.
            *((0, "\ufffd".encode() + start) for start in (b"PNG", "\ufffd\ufffd\ufffd".encode())),
        ),
    ),
    _UTF_16,
    _VIDEO,
)
_ZEROS = Kind("filled with zeros, as if it was never written", "copy or download it again")
_HEAD = 512


def kind_of(data: bytes) -> Kind | None:
    """Return the kind of a file from its bytes; None if it is not one of those listed here.

    Args:
        data: the bytes of the file; the first 512 are looked at.
    """
    head = data[:_HEAD]
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4]), len(head))
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end, 4))}
        return next((kind for kind in PICTURES if brands & kind.brands), _VIDEO)
    # The size before it is seldom so large that it begins with a letter, as "The wide street" does.
    if head[4:8] in _QUICKTIME and head[0] < ord(" "):
        return _VIDEO
    for kind in (*PICTURES, *_OTHERS):
        if any(head.startswith(start, offset) for offset, start in kind.starts):
            return kind
    if head and not any(head):
        return _ZEROS
    markup = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if markup.startswith((b"<!doctype html", b"<html")):
        return _WEB_PAGE
    if markup.startswith((b"<?xml", b"<!--", b"<svg", b"<!doctype svg")) and b"<svg" in markup:
        return next(kind for kind in PICTURES if kind.name == "SVG")
    # Every other byte is zero in UTF-16 without a mark, if the letters are Latin.
    if len(head) >= 8 and not any(head[1::2]) and all(head[0::2]):
        return _UTF_16
    return None


def picture_kind(path: AnyPath) -> Kind | None:
    """Return the kind in `PICTURES` that a file's suffix names."""
    suffix = Path(path).suffix.lower()
    return next((kind for kind in PICTURES if suffix in kind.suffixes), None)
