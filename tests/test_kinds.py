from types import SimpleNamespace

import pytest

from duomotion.data.kinds import describe, read_kinds, write_kinds
from duomotion.text.learned import Described


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


def test_what_clips_without_a_kind_show_is_their_verb(tmp_path):
    write_kinds(tmp_path, {"a": "high five"})
    captions = {
        "a": ("They clap hands up high.", "high five!"),
        "b": ("A man is slowly walking.", "A man performs two jumps."),
    }
    clips = [SimpleNamespace(name=name) for name in captions]
    assert describe(tmp_path, clips, lambda clip: captions[clip.name]) == [
        Described("They clap hands up high.", "high five", "a"),
        Described("high five!", "high five", "a"),
        Described("A man is slowly walking.", "walk", "b"),
        Described("A man performs two jumps.", "jump", "b"),
    ]
