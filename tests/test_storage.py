import errno
import fcntl
import os
import signal
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from limits import largest_file
from safetensors.numpy import save_file

from duomotion.storage import atomic_file, atomic_folder, locked, recover


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(path, **files):
    with atomic_folder(path) as temporary:
        for name, text in files.items():
            (temporary / name).write_text(text)


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "clip.npz"
    with atomic_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npz"
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["clip.npz"]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "clip.npz"
    path.write_text("old")
    for error in (KeyError("bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)), atomic_file(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["clip.npz"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    (tmp_path / "clip.npz").write_text("old")
    write_folder(tmp_path / "run", a="old")
    with largest_file(1000):
        with pytest.raises(OSError), atomic_file(tmp_path / "clip.npz") as temporary:
            temporary.write_text("x" * 5000)
        with pytest.raises(OSError), atomic_folder(tmp_path / "run") as temporary:
            (temporary / "a").write_text("new")
            (temporary / "b").write_text("x" * 5000)
    assert (tmp_path / "clip.npz").read_text() == "old"
    assert (tmp_path / "run" / "a").read_text() == "old"
    assert names(tmp_path) == ["clip.npz", "run"] and names(tmp_path / "run") == ["a"]


def test_a_disk_that_is_full_only_when_it_is_flushed(tmp_path, monkeypatch):
    (tmp_path / "clip.npz").write_text("old")
    write_folder(tmp_path / "run", a="old")

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"), atomic_file(tmp_path / "clip.npz") as temporary:
        temporary.write_text("new")
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "run", a="new")
    assert (tmp_path / "clip.npz").read_text() == "old"
    assert (tmp_path / "run" / "a").read_text() == "old"
    assert names(tmp_path) == ["clip.npz", "run"]


def test_an_error_names_the_file_and_says_what_happened(tmp_path):
    """Numpy's own error for a full disk has a sentence but no number."""
    path = tmp_path / "a.npy"
    with (
        largest_file(1000),
        pytest.raises(OSError, match=r"requested and .* written.*/a\.npy'"),
        atomic_file(path) as temporary,
    ):
        np.save(temporary, np.zeros(5000))
    with pytest.raises(FileNotFoundError) as raised, atomic_file(path) as temporary:
        (tmp_path / "elsewhere").read_text()
    assert raised.value.filename == str(tmp_path / "elsewhere")
    assert names(tmp_path) == []


def test_a_library_with_errors_of_its_own_gives_an_os_error(tmp_path):
    tensors = {"a": np.zeros(5000)}
    with largest_file(1000):
        with (
            pytest.raises(OSError, match=r"too large.*a\.safetensors"),
            atomic_file(tmp_path / "a.safetensors") as temporary,
        ):
            save_file(tensors, temporary)
        with (
            pytest.raises(OSError, match=r"too large.*run'"),
            atomic_folder(tmp_path / "run") as temporary,
        ):
            save_file(tensors, temporary / "a.safetensors")
    assert names(tmp_path) == []


def test_contents_are_flushed_before_they_get_their_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor):
        events.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def note_replace(path, target):
        events.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert events == [str(temporary), "replace", str(tmp_path)]


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "runs" / "best"
    write_folder(folder, a="1", b="2")
    write_folder(folder, a="3", c="4")
    assert names(folder) == ["a", "c"]
    assert (folder / "a").read_text() == "3"
    assert names(folder.parent) == ["best"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    write_folder(tmp_path / "best", a="1")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "best") as temporary:
        (temporary / "b").write_text("half")
        raise KeyError("bug")
    assert names(tmp_path) == ["best"] and names(tmp_path / "best") == ["a"]


def test_a_folder_whose_last_rename_fails_comes_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "best", a="1")
    rename, calls = Path.rename, []

    def fail_second(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, "broken disk")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_second)
    with pytest.raises(OSError, match="broken disk"):
        write_folder(tmp_path / "best", b="2")
    assert names(tmp_path) == ["best"] and names(tmp_path / "best") == ["a"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("x")
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "a").touch(mode=0o600)  # as some libraries do
        assert os.umask(mask) == mask  # and the umask itself is as it was
    finally:
        os.umask(before)
    for file in ("file", "folder/a"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def test_a_target_that_can_not_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for writer in (atomic_file, atomic_folder):
        with pytest.raises(OSError), writer(tmp_path / "file" / "below"):
            raise AssertionError("never reached")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_file(tmp_path / "folder") as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("rename", [1, 2])
def test_a_writer_killed_between_its_renames_costs_nothing(tmp_path, rename):
    """The first rename moves the old folder aside, the second puts the new one in its place."""
    folder = tmp_path / "last"
    write_folder(folder, a="1")
    child = os.fork()
    if child == 0:
        calls = []
        original = Path.rename

        def die_at_nth(path, target):
            calls.append(path)
            if len(calls) == rename:
                os._exit(9)
            return original(path, target)

        Path.rename = die_at_nth
        write_folder(folder, a="2")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(names(tmp_path)) == 2
    assert folder.exists() == (rename == 1)

    recover(folder)
    assert names(tmp_path) == ["last"]
    assert (folder / "a").read_text() == "1"


def test_recovering_where_nothing_happened_changes_nothing(tmp_path):
    recover(tmp_path / "last")
    write_folder(tmp_path / "last", a="1")
    write_folder(tmp_path / "other", a="1")
    recover(tmp_path / "last")
    assert names(tmp_path) == ["last", "other"]


def test_only_one_works_in_a_locked_folder(tmp_path):
    folder = tmp_path / "runs" / "one"
    for _ in range(2):
        with locked(folder):
            holder = f"{folder} is in use by process {os.getpid()} on {socket.gethostname()}: "
            with pytest.raises(ValueError, match=holder), locked(folder):
                raise AssertionError("never reached")
            with locked(tmp_path / "runs" / "other"):
                pass


def test_a_lock_ends_with_its_process(tmp_path):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(writes, b"x")
            signal.pause()
    os.read(reads, 1)
    with pytest.raises(ValueError, match=f"process {child} on"), locked(tmp_path):
        raise AssertionError("never reached")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch):
    def refuse(_file, _operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match=f"{tmp_path} can't be locked"), locked(tmp_path):
        pass
