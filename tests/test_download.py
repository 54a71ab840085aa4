"""Fetching recordings, against a server on this machine."""

import gzip
import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from duomotion.data import download
from duomotion.data.open_pairs import cmu_files

BODY = b""":units
:root
:bonedata
  begin
    name leg
    direction 0 -1 0
    length 1
    dof rx
  end
:hierarchy
  begin
    root leg
  end
"""
MOTION = b"".join(b"%d\nroot 0 0 0 0 0 0\nleg 0\n" % frame for frame in range(300))
FILES = {"18/18.asf": BODY, "18/18_01.amc": MOTION}
LOGIN = b"<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n"


class Site(ThreadingHTTPServer):
    """Serves FILES; `answers` are statuses to give first, `cut` bytes to send at most.

    `headers` take the place of those that an answer has; None leaves one out. `drip` seconds pass
    before every thousand bytes.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = dict(FILES), []
        self.answers, self.cut, self.headers, self.drip = [], None, {}, 0

    def handle_error(self, *_):
        """Clients that have had enough hang up."""

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, name = self.server, self.path.removeprefix("/")
        asked_from = self.headers.get("Range", "")
        site.asked.append((name, asked_from))
        assert "duomotion" in self.headers["User-Agent"]
        if site.answers:
            return self.refuse(site.answers.pop(0))
        if name not in site.files:
            return self.refuse(404)
        content = site.files[name]
        start = int(asked_from.removeprefix("bytes=").removesuffix("-") or 0)
        if asked_from and start >= len(content):
            return self.refuse(416)
        self.send_response(206 if asked_from else 200)
        headers = {"Content-Length": str(len(content) - start)}
        if asked_from:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        for header, value in (headers | site.headers).items():
            if value is not None:
                self.send_header(header, value)
        self.end_headers()
        sent, site.cut = content[start:][: site.cut], None
        for piece in range(0, len(sent), 1000):
            threading.Event().wait(site.drip)
            self.wfile.write(sent[piece : piece + 1000])
        return None

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: site.waits.append(seconds))
    with Site() as site:
        site.waits = []
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        site.shutdown()


def fetch(site, target, names=tuple(FILES), pause=1.5):
    check = download.check_recording
    return download.download(names, target, check, site=site.address, pause=pause)


def is_complete(target):
    return all((target / name).read_bytes() == content for name, content in FILES.items())


def test_files_come_one_by_one_with_checksums(site, tmp_path):
    assert fetch(site, tmp_path) == []
    assert is_complete(tmp_path)
    assert site.waits == [1.5]
    sums = download.read_sums(tmp_path / download.SUMS)
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"18.asf", "18_01.amc", download.SUMS}


def test_what_is_there_is_not_asked_for_again(site, tmp_path):
    fetch(site, tmp_path)
    site.asked.clear()
    assert fetch(site, tmp_path) == [] and site.asked == []


def test_a_file_that_was_cut_off_goes_on(site, tmp_path):
    fetch(site, tmp_path, names=["18/18.asf"])
    site.cut = 2500
    assert fetch(site, tmp_path) == []
    assert site.asked[1:] == [("18/18_01.amc", ""), ("18/18_01.amc", "bytes=2500-")]
    assert (tmp_path / "18/18_01.amc").read_bytes() == FILES["18/18_01.amc"]


def test_a_part_that_does_not_belong_to_the_file_is_thrown_away(site, tmp_path):
    (tmp_path / "18").mkdir()
    (tmp_path / "18/18.asf.part").write_bytes(BODY + b"and more")
    assert fetch(site, tmp_path) == [] and is_complete(tmp_path)


def test_a_busy_site_is_asked_again_after_the_time_it_names(site, tmp_path):
    site.answers = [503, 429]
    assert fetch(site, tmp_path, names=["18/18.asf"]) == []
    assert site.waits == [0.0, 0.0]


def test_a_site_that_stays_busy_is_an_error(site, tmp_path):
    site.answers = [503] * download.ATTEMPTS
    with pytest.raises(OSError, match="does not answer: 503"):
        fetch(site, tmp_path)


def test_a_missing_file_is_named_and_the_others_come(site, tmp_path):
    (problem,) = fetch(site, tmp_path, names=["18/18_99.amc", *FILES])
    assert problem.name == "18/18_99.amc" and "404" in problem.reason
    assert is_complete(tmp_path)


def test_a_file_with_another_checksum_is_refused(site, tmp_path):
    fetch(site, tmp_path)
    (tmp_path / "18/18_01.amc").unlink()
    site.files["18/18_01.amc"] = MOTION.replace(b"leg 0", b"leg 1")
    (problem,) = fetch(site, tmp_path)
    assert "does not have the checksum" in problem.reason
    assert not list(tmp_path.rglob("*.amc*"))
    (tmp_path / "18/18.asf").write_bytes(BODY.replace(b"length 1", b"length 2"))
    assert len(fetch(site, tmp_path)) == 2


def no_check(content, path):
    pass


def test_broken_lists_of_checksums_and_addresses_are_refused(site, tmp_path):
    with pytest.raises(ValueError, match="no address"):
        download.download([], tmp_path, no_check, site="ftp://somewhere", pause=0)
    (tmp_path / download.SUMS).write_text("abc  18/18.asf\n")
    with pytest.raises(ValueError, match="line 1: should be a SHA-256"):
        fetch(site, tmp_path)


@pytest.mark.parametrize(
    "harm",
    [
        {"18/18.asf": LOGIN, "18/18_01.amc": LOGIN},
        {"18/18.asf": BODY[:-20], "18/18_01.amc": MOTION},
        {"18/18.asf": BODY, "18/18_01.amc": MOTION[:-4]},
        {"18/18.asf": b"", "18/18_01.amc": b""},
        {"18/18.asf": gzip.compress(BODY), "18/18_01.amc": gzip.compress(MOTION)},
    ],
)
def test_what_is_no_recording_is_refused_and_leaves_nothing(site, tmp_path, harm):
    site.files |= harm
    found = {problem.name: problem.reason for problem in fetch(site, tmp_path)}
    assert "18/18_01.amc" in found and site.address in found["18/18_01.amc"] + found.get(
        "18/18.asf", ""
    )
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    whole = {name.partition("/")[2] for name in FILES if name not in found}
    assert left == whole | ({download.SUMS} if whole else set())
    site.files |= FILES
    assert fetch(site, tmp_path) == [] and is_complete(tmp_path)


def test_pages_that_an_earlier_run_took_for_recordings_are_named(site, tmp_path):
    (tmp_path / "18").mkdir()
    for name in FILES:
        (tmp_path / name).write_bytes(LOGIN)
    problems = fetch(site, tmp_path)
    assert [problem.name for problem in problems] == list(FILES) and not site.asked
    assert all("fetched again" in problem.reason for problem in problems)


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"Content-Encoding": "gzip"}, r"packs the file \(gzip\)"),
        ({"Content-Range": "bytes 0-10/7000"}, "follows byte 2,500 and sends 'bytes 0-10"),
        ({"Content-Range": None}, "follows byte 2,500 and sends 'an unnamed part'"),
        ({"Content-Range": "bytes 2500-"}, "follows byte 2,500"),
    ],
)
def test_answers_to_another_question_are_refused(site, tmp_path, headers, sentence):
    fetch(site, tmp_path, names=["18/18.asf"])
    part = tmp_path / "18/18_01.amc.part"
    part.write_bytes(MOTION[:2500])
    site.headers = headers
    (problem,) = fetch(site, tmp_path)
    assert problem.name == "18/18_01.amc" and re.search(sentence, problem.reason)
    assert not part.exists() and not part.with_suffix("").exists()


def test_a_file_of_unknown_length_may_be_cut_and_is_refused(site, tmp_path):
    site.headers = {"Content-Length": None}
    (problem,) = fetch(site, tmp_path, names=["18/18.asf"])
    assert "how long the file is" in problem.reason


def test_a_slow_site_has_a_deadline_and_what_came_is_kept(site, tmp_path, monkeypatch):
    fetch(site, tmp_path, names=["18/18.asf"])
    monkeypatch.setattr(download, "LONGEST", 0.2)
    site.drip = 0.15
    with pytest.raises(OSError, match=r"too slow: .*run again to go on"):
        fetch(site, tmp_path)
    came = (tmp_path / "18/18_01.amc.part").stat().st_size
    assert 0 < came < len(MOTION)
    site.drip = 0
    assert fetch(site, tmp_path) == [] and is_complete(tmp_path)
    assert site.asked[-1] == ("18/18_01.amc", f"bytes={came}-")


def test_a_pipe_where_a_recording_should_be_is_refused(site, tmp_path):
    (tmp_path / "18").mkdir()
    os.mkfifo(tmp_path / "18/18.asf")
    assert len(fetch(site, tmp_path)) == 2


@pytest.fixture
def takes(site):
    """All files of the command's, each with the content of its kind."""
    names = cmu_files()
    site.files = {name: MOTION if name.endswith(".amc") else BODY for name in names}
    return site.files


def test_the_command_fetches_all_takes_of_the_open_pairs(site, tmp_path, run, takes):
    assert {"18/18.asf", "19/19.asf", "18/18_01.amc", "19/19_01.amc"} <= set(takes)
    command = ("data", "download", "cmu-pairs", "--site", site.address, "--out", tmp_path)
    del takes["18/18_01.amc"]
    status, out, error = run(*command)
    assert status == 2 and "18/18_01.amc: " in out and "1 files are missing or broken" in error
    takes["18/18_01.amc"] = MOTION
    status, out, _ = run(*command)
    assert status == 0 and "data prepare open-pairs" in out
    assert all((tmp_path / name).read_bytes() == content for name, content in takes.items())


def test_login_pages_are_no_recordings_for_the_command(site, tmp_path, run, takes):
    takes |= dict.fromkeys(takes, LOGIN)
    status, out, error = run(
        "data", "download", "cmu-pairs", "--site", site.address, "--out", tmp_path
    )
    assert status == 2 and f"{len(takes)} files are missing or broken" in error
    assert "18/18.asf: " in out and "prepare" not in out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_site_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, run):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    command = ("data", "download", "cmu-pairs", "--site", "http://127.0.0.1:9")
    status, _, error = run(*command, "--out", tmp_path)
    assert status == 2 and "does not answer" in error
