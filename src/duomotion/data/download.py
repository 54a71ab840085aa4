"""Fetching recordings from the site of the CMU Graphics Lab Motion Capture Database.

One file at a time with a pause between them; what is there already is left alone, what was cut off
goes on where it stopped. SHA256SUMS in the target folder, in the format of sha256sum, holds the
checksums of all that was fetched; a file that it lists must have that checksum.
"""

import hashlib
import time
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from duomotion.data.interhuman import Problem
from duomotion.data.open_pairs import cmu_files
from duomotion.storage import atomic_file

CMU_SITE = "http://mocap.cs.cmu.edu/subjects"
SUMS = "SHA256SUMS"
AGENT = "duomotion (motion research; fetches single recordings slowly)"
ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without any answer
LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
LARGEST = 100 * 2**20  # bytes; recordings have up to a few million
CHUNK = 2**16
# Answers after which it makes sense to ask again.
BUSY = {408, 425, 429, 500, 502, 503, 504}


def cmu_pairs(target: str | Path, *, site: str = CMU_SITE, pause: float = 1.0) -> list[Problem]:
    """The recordings of two people among the open pairs, 92 files.

    Raises:
        ValueError: the site is no address.
        OSError: the site does not answer, or the target can't be written.
    """
    return download(cmu_files(), Path(target), site=site, pause=pause)


def download(names: Iterable[str], target: Path, *, site: str, pause: float) -> list[Problem]:
    """Fetch `site`/name to `target`/name; returns what the site does not have, or has otherwise.

    Args:
        names: paths below the site.
        pause: seconds between files.

    Raises:
        ValueError: the site is no address.
        OSError: the site does not answer, or the target can't be written.
    """
    if not site.startswith(("http://", "https://")):
        raise ValueError(f"{site} is no address; it must start with http:// or https://")
    target.mkdir(parents=True, exist_ok=True)
    sums = read_sums(target / SUMS)
    problems, fetched = [], False
    for name in tqdm(list(names), desc="files", unit="file"):
        path = target / name
        try:
            if path.exists():
                _check(path, sums.get(name))
                continue
            if fetched:
                time.sleep(pause)
            fetched = True
            _fetch(f"{site.rstrip('/')}/{name}", path, sums.get(name))
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, expected: str | None) -> None:
    if expected and _checksum(path) != expected:
        raise ValueError(f"{path} does not have the checksum that {SUMS} lists; delete one of them")


def _fetch(url: str, path: Path, expected: str | None) -> None:
    """Raises ValueError when the site does not have the file, OSError when it does not answer."""
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            _receive(url, part)
            break
        except HTTPError as error:
            if error.code == 416:  # what is there is no beginning of the file
                part.unlink(missing_ok=True)
            elif error.code not in BUSY:
                raise ValueError(f"{url}: the site answers {error.code} {error.reason}") from None
            problem, wait = f"{error.code} {error.reason}", error.headers.get("Retry-After", "")
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            problem, wait = str(getattr(error, "reason", error)), ""
        if attempt + 1 < ATTEMPTS:
            time.sleep(min(float(wait) if wait.isdigit() else 2.0**attempt, LONGEST_WAIT))
    else:
        raise OSError(None, f"the site does not answer: {problem}", url)
    if expected and _checksum(part) != expected:
        part.unlink()
        raise ValueError(f"{url} does not have the checksum that {SUMS} lists")
    with atomic_file(path) as temporary:
        part.replace(temporary)


def _receive(url: str, part: Path) -> None:
    """Append to `part` what is missing of it."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                if file.tell() > LARGEST:
                    raise ValueError(f"{url} is larger than {LARGEST >> 20} MiB")
        length = answer.headers.get("Content-Length")
    received = part.stat().st_size - (start if resumed else 0)
    if length is not None and received != int(length):
        raise ConnectionError(f"{received} bytes of {length} came")
