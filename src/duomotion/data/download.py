"""Fetching recordings from the site of the CMU Graphics Lab Motion Capture Database.

One file at a time with a pause between them; what is there already is left alone, what was cut off
is resumed. What comes is kept only where it is a recording: networks with a login
page answer every question with that. SHA256SUMS in the target folder, in the format of sha256sum,
holds the checksums of all that was fetched; a file that it lists must have that checksum.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from duomotion.data.interhuman import Problem
from duomotion.data.open_pairs import cmu_files
from duomotion.formats import asf
from duomotion.progress import track
from duomotion.reading import open_file, read_text
from duomotion.storage import atomic_file

CMU_SITE = "http://mocap.cs.cmu.edu/subjects"
SUMS = "SHA256SUMS"
AGENT = "duomotion (motion research; fetches single recordings slowly)"
ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without any answer
LONGEST = 600.0  # seconds for one file
LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
LARGEST = 100 * 2**20  # bytes; recordings have up to a few million
LARGEST_SUMS = 2**20  # bytes
CHUNK = 2**16
# Answers after which it makes sense to ask again.
BUSY = {408, 425, 429, 500, 502, 503, 504}


def cmu_pairs(target: str | Path, *, site: str = CMU_SITE, pause: float = 1.0) -> list[Problem]:
    """The recordings of two people among the open pairs, 92 files.

    Raises:
        ValueError: the site is no address.
        OSError: the site does not answer, or the target can't be written.
    """
    return download(cmu_files(), Path(target), check_recording, site=site, pause=pause)


def check_recording(content: Path, path: Path) -> None:
    """Make sure that what was fetched for `path` is an .asf file, or an .amc file of one beside it.

    Args:
        content: the file in which it is now.

    Raises:
        ValueError: it is not; the sentence says why.
        OSError: it can't be read.
    """
    if path.suffix == ".asf":
        asf.read_body(content)
        return
    body = path.with_name(f"{path.stem.partition('_')[0]}.asf")
    if not body.is_file():
        raise ValueError(f"{path.name} can't be checked without its skeleton {body.name}")
    asf.read(content, body=body)


def download(
    names: Iterable[str],
    target: Path,
    check: Callable[[Path, Path], None],
    *,
    site: str,
    pause: float,
) -> list[Problem]:
    """Fetch `site`/name to `target`/name; returns what the site does not have, or has otherwise.

    Args:
        names: paths below the site.
        check: (file with the content, where it is to be) raises ValueError for wrong content.
        pause: seconds between files.

    Raises:
        ValueError: the site is no address.
        OSError: the site does not answer or is too slow, or the target can't be written.
    """
    if not site.startswith(("http://", "https://")):
        raise ValueError(f"{site} is no address; it must start with http:// or https://")
    target.mkdir(parents=True, exist_ok=True)
    sums = read_sums(target / SUMS)
    problems, fetched = [], False
    for name in track(list(names), "files", unit="file"):
        path = target / name
        try:
            if path.exists():
                _check_kept(path, sums.get(name), check)
                continue
            if fetched:
                time.sleep(pause)
            fetched = True
            _fetch(f"{site.rstrip('/')}/{name}", path, sums.get(name), check)
        except ValueError as problem:
            problems.append(Problem(name, str(problem)))
            continue
        if name not in sums:
            sums[name] = _checksum(path)
            _write_sums(target / SUMS, sums)
    return problems


def read_sums(path: Path) -> dict[str, str]:
    """Checksums by file name; none where the file is missing.

    Raises:
        ValueError: a line is not as sha256sum writes it.
    """
    if not path.exists():
        return {}
    sums = {}
    for number, line in enumerate(read_text(path, limit=LARGEST_SUMS).splitlines(), start=1):
        checksum, _, name = line.partition("  ")
        if len(checksum) != 64 or not name:
            raise ValueError(f"{path}, line {number}: should be a SHA-256 and a file name")
        sums[name] = checksum
    return sums


def _write_sums(path: Path, sums: dict[str, str]) -> None:
    with atomic_file(path) as temporary:
        lines = (f"{checksum}  {name}\n" for name, checksum in sorted(sums.items()))
        temporary.write_text("".join(lines), encoding="utf-8")


def _checksum(path: Path) -> str:
    with open_file(path, limit=LARGEST) as file:
        return hashlib.sha256(file.read()).hexdigest()


def _check_kept(path: Path, expected: str | None, check: Callable[[Path, Path], None]) -> None:
    checksum = _checksum(path)
    if expected and checksum != expected:
        raise ValueError(f"{path} does not have the checksum that {SUMS} lists; delete one of them")
    try:
        check(path, path)
    except ValueError as problem:
        raise ValueError(f"{problem}; once it is deleted, it is fetched again") from None


def _fetch(url: str, path: Path, expected: str | None, check: Callable[[Path, Path], None]) -> None:
    """Raises ValueError when the site does not have the file, OSError when it does not answer."""
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _receive_whole(url, part)
        if expected and _checksum(part) != expected:
            raise ValueError(f"{url} does not have the checksum that {SUMS} lists")
        check(part, path)
    except ValueError as problem:
        part.unlink(missing_ok=True)
        raise ValueError(str(problem).replace(str(part), url)) from None
    with atomic_file(path) as temporary:
        part.replace(temporary)


def _receive_whole(url: str, part: Path) -> None:
    """Fill `part`, however often that is interrupted; what came stays there when it gives up."""
    until = time.monotonic() + LONGEST
    for attempt in range(ATTEMPTS):
        try:
            return _receive(url, part, until)
        except HTTPError as error:
            if error.code == 416:  # what is there is no beginning of the file
                part.unlink(missing_ok=True)
            elif error.code not in BUSY:
                raise ValueError(f"{url}: the site answers {error.code} {error.reason}") from None
            problem, wait = f"{error.code} {error.reason}", error.headers.get("Retry-After", "")
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            problem, wait = str(getattr(error, "reason", error)), ""
        if attempt + 1 < ATTEMPTS:
            time.sleep(min(float(wait) if wait.isdecimal() else 2.0**attempt, LONGEST_WAIT))
    raise OSError(None, f"the site does not answer: {problem}", url)


def _receive(url: str, part: Path, until: float) -> None:
    """Append to `part` what is missing of it, until a time of `time.monotonic`."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as answer:
        size = _size(answer, start, url)
        with part.open("ab" if answer.status == 206 else "wb") as file:
            while chunk := answer.read1(CHUNK):
                file.write(chunk)
                if file.tell() > LARGEST:
                    raise ValueError(f"{url} is larger than {LARGEST >> 20} MiB")
                if time.monotonic() > until:
                    reason = f"the site is too slow: {file.tell():,} bytes in {LONGEST:g} s"
                    raise OSError(None, f"{reason}; run again to go on", url)
    if size is not None and part.stat().st_size != size:
        raise ConnectionError(f"{part.stat().st_size:,} bytes of {size:,} came")


def _size(answer: HTTPResponse, start: int, url: str) -> int | None:
    """Bytes of the whole file; None where it comes in chunks, the last of which says so.

    Raises:
        ValueError: the answer is none to the question for the file from `start` on.
    """
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise ValueError(f"{url}: the site packs the file ({encoding[:80]}), unasked")
    if answer.status == 206:
        stated = answer.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", stated)
        if found is None or int(found[1]) != start:
            raise ValueError(
                f"{url}: the site was asked for what follows byte {start:,} and sends "
                f"{stated[:80] or 'an unnamed part'!r}"
            )
        return int(found[2])
    length = answer.headers.get("Content-Length", "")
    if answer.status != 200 or not (length.isdecimal() or answer.chunked):
        raise ValueError(f"{url}: the site does not say how long the file is")
    return int(length) if length.isdecimal() else None
