"""What a file is that is no image of a kind that is read here, by its first bytes, for messages."""

_TEXT = 512

# First bytes, and what they stand for; the offset is where they begin.
_MAGIC = (
    (4, b"ftypavif", "an AVIF image, which the installed OpenCV does not decode"),
    (4, b"ftypavis", "an AVIF animation, which is not read here"),
    *(
        (4, b"ftyp" + brand, "an HEIC image: pip install pillow-heif, or convert it")
        for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
    ),
    (4, b"ftyp", "a film, not an image: take its frames out first"),
    (0, b"\xff\x0a", "a JPEG XL image, which is not read here: convert it to PNG"),
    (4, b"JXL ", "a JPEG XL image, which is not read here: convert it to PNG"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR file, which is not read here as an image"),
    (0, b"8BPS", "a Photoshop file: save it as PNG or JPEG"),
    (0, b"%PDF", "a PDF, not an image"),
    (0, b"PK\x03\x04", "a ZIP archive (or .npz), not an image: unpack it first"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (0, b"\x93NUMPY", "a NumPy array, not an image"),
    (0, b"\x89HDF", "an HDF5 file, not an image"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the image itself: run `git lfs pull`",
    ),
)
_MARKUP = ((b"<svg", "an SVG drawing"), (b"<html", "a web page"), (b"<?xml", "XML"))


def file_kind(data: bytes) -> str | None:
    """A phrase that says what the bytes of a file are and what to do; None where that is not known.

    >>> file_kind(b"%PDF-1.7")
    'a PDF, not an image'
    """
    for offset, magic, phrase in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return phrase
    start = data[:_TEXT].lower()
    for tag, name in _MARKUP:
        if tag in start:
            return f"{name}, not an image made of pixels"
    if not any(data):
        return "nothing but zeros: copying it was cut short, perhaps"
    return None
