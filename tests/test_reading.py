"""Files that are no files, that state wrong sizes, and that unpack to far more than they are."""

import io
import os
import socket
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from duomotion import reading

READERS = {
    "text": reading.read_text,
    "names": reading.array_names,
    "arrays": lambda path: reading.read_arrays(path, ["poses"]),
    "array": reading.read_array,
    "shape": reading.array_shape,
    "archive": lambda path: list(reading.unpacked(path)),
}


def take_memory(read, *arguments, **options):
    """The refusal of a file, and the most memory in bytes that it took."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as raised:
            read(*arguments, **options)
        return str(raised.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_only_files_are_opened(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        others = {
            "folder": "a folder",
            "pipe": "a named pipe",
            "socket": "a socket",
            "/dev/zero": "a device",
        }
        for path, kind in others.items():
            with pytest.raises(ValueError, match=rf"^{path} is {kind}, not a file$"):
                read(path)
    with pytest.raises(FileNotFoundError):
        read("nothing")


def test_texts_have_a_limit(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one\r\ntwo\xff")
    assert reading.read_text(path, errors="replace") == "one\ntwo\ufffd"
    assert reading.read_text(path, limit=9, errors="replace")
    with pytest.raises(ValueError, match="text is not a text file in UTF-8"):
        reading.read_text(path)
    with path.open("r+b") as file:
        file.truncate(reading.LARGEST_TEXT + 1)
    message, memory = take_memory(reading.read_text, path)
    assert "text takes 100,000,001 bytes; 0 to 100,000,000 are read" in message
    assert memory < 1e6


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path):
    path = tmp_path / "arrays.npz"
    given = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.array([None])}
    for save in (np.savez, np.savez_compressed):
        save(path, **given)
        arrays = reading.read_arrays(path, ["a", "b", "d"])
        assert sorted(arrays) == ["a", "b"] and str(arrays["b"]) == "text"
        np.testing.assert_array_equal(arrays["a"], given["a"])
        assert reading.array_names(path) == {"a", "b", "c"}
        with pytest.raises(ValueError, match="c holds Python objects"):
            reading.read_arrays(path, ["c"])


def test_single_arrays_are_read(tmp_path):
    path = tmp_path / "array.npy"
    for array in (np.float32(3), np.asfortranarray(np.eye(3)[:, :2]), np.zeros((0, 4))):
        np.save(path, array)
        np.testing.assert_array_equal(reading.read_array(path), array)
        assert reading.array_shape(path) == array.shape
    with pytest.raises(ValueError, match="takes 128 bytes; 0 to 100 are read"):
        reading.read_array(path, limit=100)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_that_unpack_to_more_than_the_limit_are_not_unpacked(tmp_path, save):
    path = tmp_path / "bomb.npz"
    save(path, a=np.zeros(2_000_000), b=np.zeros(2_000_000))
    assert len(reading.read_arrays(path, ["a"], limit=17_000_000)["a"]) == 2_000_000
    message, memory = take_memory(reading.read_arrays, path, ["a", "b"], limit=17_000_000)
    assert "what it holds takes 32,000,256 bytes" in message and memory < 1e6


def header(shape, dtype="<f8"):
    content = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, fields)
    return content.getvalue()


HEADERS = {
    "more than is there": header((10**9,)),
    "more than there can be": header((10**18, 10**18)),
    "less than is there": header((2,)),
    "less than nothing": header((-3, -1)),
    "nothing many times": header((10**12,), "|S0"),
    "large items": header((), "|V2147483647"),
    "no dictionary": b"\x93NUMPY\x01\x00\x04\x00{[(\n",
    "deep": b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000,
    "long": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
    "unknown version": b"\x93NUMPY\x03\x00\x04\x00{}  ",
    "text": b"no array",
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_headers_that_are_not_true_are_refused(tmp_path, content):
    content += bytes(24)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    for read, name, *names in (
        (reading.read_array, "a.npy"),
        (reading.array_shape, "a.npy"),
        (reading.read_arrays, "a.npz", ["a"]),
    ):
        message, memory = take_memory(read, tmp_path / name, *names)
        assert f"{name} can't be read as an .np" in message and "\n" not in message
        assert memory < 1e7


def test_a_directory_that_is_not_true_is_no_help(tmp_path):
    """What is unpacked ends where the zip's directory says, however much there is."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header((5_000_000,)) + bytes(40_000_000))
    large, small = (size.to_bytes(4, "little") for size in (40_000_128, 4_000_128))
    path.write_bytes(path.read_bytes().replace(large, small))
    message, memory = take_memory(reading.read_arrays, path, ["a"])
    assert "and 4000000 bytes follow, not 40000000" in message and memory < 1e6


def test_a_wrong_check_sum_is_noticed(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.zeros(4))
    content = bytearray(path.read_bytes())
    content[content.index(bytes(32)) + 5] = 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        reading.read_arrays(path, ["a"])


def packings(path, method):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", header((3,)) + bytes(24))


def test_packings_that_have_no_bounds_are_refused(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packings(tmp_path / "a.npz", method)
        with pytest.raises(ValueError, match="a is packed in a way that NumPy does not use"):
            reading.read_arrays(tmp_path / "a.npz", ["a"])


def pack(path, *entries):
    """A .tar.xz of (name, content), or (name, fields of its header)."""
    with tarfile.open(path, "w:xz", format=tarfile.GNU_FORMAT) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                for field, value in content.items():
                    setattr(entry, field, value)
                archive.addfile(entry)
    return path


def test_archives_are_read_in_order(tmp_path):
    files = [("./b", b"2"), ("a", b""), ("c/d", bytes(2000))]
    path = pack(tmp_path / "a.tar.xz", ("c", {"type": tarfile.DIRTYPE}), *files)
    assert list(reading.unpacked(path)) == [("b", b"2"), *files[1:]]


ENTRIES = {
    "link": ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "'x' in it is a link"),
    "hard link": ({"type": tarfile.LNKTYPE, "linkname": "a"}, "'x' in it is a link"),
    "device": ({"type": tarfile.CHRTYPE}, "'x' in it is a link, a device"),
    "pipe": ({"type": tarfile.FIFOTYPE}, "'x' in it is a link, a device or a pipe"),
    "large": ({"size": 10**12}, "'x' takes 1,000,000,000,000 bytes"),
    "negative": ({"size": -1024}, "'x' takes -1,024 bytes"),
    "large header": ({"type": tarfile.XHDTYPE, "size": 10**12}, "a piece of it takes"),
    "negative header": ({"type": tarfile.XHDTYPE, "size": -1024}, "a piece of it takes -1,024"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_archives_hold_files_alone(tmp_path, entry):
    fields, message = ENTRIES[entry]
    path = pack(tmp_path / "a.tar.xz", ("a", b"1"), ("x", fields))
    with pytest.raises(ValueError, match=message) as raised:
        list(reading.unpacked(path))
    assert f"{path} can't be read as a .tar.xz archive: " in str(raised.value)


def test_archives_have_limits(tmp_path):
    path = pack(tmp_path / "a.tar.xz", *((name, bytes(2_000_000)) for name in "abcde"))
    assert len(list(reading.unpacked(path, largest=2_000_000))) == 5
    with pytest.raises(ValueError, match="'a' takes 2,000,000 bytes; 0 to 1,999,999 are read"):
        list(reading.unpacked(path, largest=1_999_999))
    found = reading.unpacked(path, limit=5_000_000)
    assert [name for name, _ in (next(found), next(found))] == ["a", "b"]
    with pytest.raises(ValueError, match="what it holds takes"):
        next(found)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a.tar.xz can't be read as a .tar.xz archive"):
        list(reading.unpacked(path))
