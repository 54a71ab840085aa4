import pytest

from duomotion.data.sources import read_sources, read_weights, write_sources, write_weights


def test_sources_and_weights_come_back(tmp_path):
    write_sources(tmp_path, "a", ["babel", "kit"])
    write_weights(tmp_path, {"kit": 2, "babel": 0.5})
    assert read_sources(tmp_path, "a", 2) == ("babel", "kit")
    assert read_weights(tmp_path) == {"kit": 2, "babel": 0.5}


def test_a_data_set_that_does_not_tell_has_none(tmp_path):
    assert read_sources(tmp_path, "a", 2) == ("", "") and read_weights(tmp_path) == {}


def test_sources_that_belong_to_other_captions_are_refused(tmp_path):
    write_sources(tmp_path, "a", ["babel", "kit"])
    with pytest.raises(ValueError, match=r"sources/a\.txt has 2 lines for 3 captions"):
        read_sources(tmp_path, "a", 3)


@pytest.mark.parametrize("line", ["babel 0.5", "babel\tx", "babel\t0", "babel\tinf", "\t1"])
def test_a_line_without_a_weight_is_named(tmp_path, line):
    (tmp_path / "weights.txt").write_text(f"kit\t1\n{line}\n")
    with pytest.raises(ValueError, match=r"weights\.txt, line 2: should be a source"):
        read_weights(tmp_path)
