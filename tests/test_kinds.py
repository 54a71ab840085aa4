import pytest

from duomotion.data.kinds import read_kinds, write_kinds


def test_kinds_come_back(tmp_path):
    kinds = {"18_01-00": "handshake", "20_01-00": "chicken dance"}
    write_kinds(tmp_path, kinds)
    assert read_kinds(tmp_path) == kinds


def test_a_data_set_without_kinds_has_none(tmp_path):
    assert read_kinds(tmp_path) == {}


def test_a_line_without_a_kind_is_named(tmp_path):
    (tmp_path / "kinds.txt").write_text("18_01-00\thandshake\n18_03-00 pull\n")
    with pytest.raises(ValueError, match="line 2"):
        read_kinds(tmp_path)
