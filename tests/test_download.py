"""Fetching recordings, against a server on this machine."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from duomotion import cli
from duomotion.data import download
from duomotion.data.open_pairs import cmu_files

FILES = {"18/18.asf": b"body", "18/18_01.amc": b"motion " * 1000}


class Site(ThreadingHTTPServer):
    """Serves FILES; `answers` are statuses to give first, `cut` bytes to send at most."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = dict(FILES), []
        self.answers, self.cut = [], None

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
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: site.cut])
        site.cut = None
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
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


def fetch(site, target, names=tuple(FILES), pause=1.5):
    return download.download(names, target, site=site.address, pause=pause)


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
    site.cut = 2500
    assert fetch(site, tmp_path, names=["18/18_01.amc"]) == []
    assert site.asked == [("18/18_01.amc", ""), ("18/18_01.amc", "bytes=2500-")]
    assert (tmp_path / "18/18_01.amc").read_bytes() == FILES["18/18_01.amc"]


def test_a_part_that_does_not_belong_to_the_file_is_thrown_away(site, tmp_path):
    (tmp_path / "18").mkdir()
    (tmp_path / "18/18.asf.part").write_bytes(b"something longer than the file")
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
    (tmp_path / "18/18.asf").unlink()
    site.files["18/18.asf"] = b"forged"
    (problem,) = fetch(site, tmp_path)
    assert "does not have the checksum" in problem.reason
    assert not (tmp_path / "18/18.asf").exists()
    (tmp_path / "18/18_01.amc").write_bytes(b"changed")
    assert len(fetch(site, tmp_path)) == 2


def test_broken_lists_of_checksums_and_addresses_are_refused(site, tmp_path):
    with pytest.raises(ValueError, match="no address"):
        download.download([], tmp_path, site="ftp://somewhere", pause=0)
    (tmp_path / download.SUMS).write_text("abc  18/18.asf\n")
    with pytest.raises(ValueError, match="line 1: should be a SHA-256"):
        fetch(site, tmp_path)


def test_the_command_fetches_all_takes_of_the_open_pairs(site, tmp_path, monkeypatch, capsys):
    names = cmu_files()
    assert {"18/18.asf", "19/19.asf", "18/18_01.amc", "19/19_01.amc"} <= set(names)
    site.files = dict.fromkeys(names, b"content")
    command = ["duomotion", "data", "download", "cmu-pairs", "--site", site.address]
    monkeypatch.setattr("sys.argv", [*command, "--out", str(tmp_path)])
    cli.main()
    assert all((tmp_path / name).read_bytes() == b"content" for name in names)
    assert "data prepare open-pairs" in capsys.readouterr().out


def test_a_site_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    command = ["duomotion", "data", "download", "cmu-pairs", "--site", "http://127.0.0.1:9"]
    monkeypatch.setattr("sys.argv", [*command, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as status:
        cli.main()
    assert status.value.code == 2
    assert "does not answer" in capsys.readouterr().err
