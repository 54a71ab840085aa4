"""Tagged captions, and the vectors of their words as evaluators read them."""

import pickle

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from duomotion.data.captions import Caption, read_caption, untagged
from duomotion.models.evaluator.words import KINDS, SPECIAL, Words, load_words, official_words
from duomotion.official.reading import read_plain_pickle

SIZE = tiny.BIGRU["word_dim"]


@pytest.fixture
def words(tmp_path):
    return official_words(tiny.glove(tmp_path / "glove"), SIZE)


def test_released_vectors_are_those_of_their_words_and_come_back(words, tmp_path):
    raw = np.load(tmp_path / "glove" / "our_vab_data.npy")
    index = pickle.loads((tmp_path / "glove" / "our_vab_idx.pkl").read_bytes())
    for word in tiny.WORDS:
        row = words.rows[word]
        np.testing.assert_array_equal(words.vectors_VC[row], raw[index[word]].astype(np.float32))
    words.save(tmp_path / "saved")
    back = load_words(tmp_path / "saved")
    assert back.words == words.words
    np.testing.assert_array_equal(back.vectors_VC, words.vectors_VC)


def test_texts_are_read_as_the_released_code_reads_them(words):
    texts = ["two/NUM people/NOUN walk/VERB", "Two/NUM dog/NOUN hi/INTJ", ""]
    vectors, kinds, lengths = words.read(texts, 20)
    assert lengths.tolist() == [5, 5, 2] and vectors.shape == (3, 5, SIZE)

    def of(row, place):
        found = vectors[row, place].numpy()
        word = next(w for w in words.words if (words.vectors_VC[words.rows[w]] == found).all())
        return word, KINDS[int(kinds[row, place].argmax())]

    first = [("sos", "OTHER"), ("two", "NUM"), ("people", "NOUN"), ("walk", "act")]
    assert [of(0, place) for place in range(5)] == [*first, ("eos", "OTHER")]
    # capital letters are another word, and a word without a vector has no tag either
    second = [("sos", "OTHER"), ("unk", "OTHER"), ("unk", "OTHER"), ("hi", "OTHER")]
    assert [of(1, place) for place in range(5)] == [*second, ("eos", "OTHER")]
    assert [of(2, place) for place in range(2)] == [("sos", "OTHER"), ("eos", "OTHER")]
    assert (kinds.sum(-1) == 1).all() and kinds.shape[-1] == len(KINDS) == 15


def test_long_texts_are_cut_before_their_end(words):
    vectors, _, lengths = words.read(["two/NUM " * 50], 20)
    assert lengths.tolist() == [22]
    assert (vectors[0, -1].numpy() == words.vectors_VC[words.rows["eos"]]).all()


def test_no_word_has_two_kinds():
    every = [word for kind in SPECIAL.values() for word in kind]
    assert len(set(every)) == len(every)


@given(st.text(max_size=60).filter(str.strip))
def test_lines_are_captions_or_refused_in_one_sentence(line):
    try:
        caption = read_caption(line)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert caption.text == caption.text.strip()


def test_lines_of_captions():
    assert read_caption("two people wave") == Caption("two people wave")
    line = "A man, waves.#a/DET man/NOUN wave/VERB#0.0#nan"
    whole = read_caption(line)
    assert whole == Caption("A man, waves.", ("a/DET", "man/NOUN", "wave/VERB"))
    assert whole.words == "a/DET man/NOUN wave/VERB"
    for bad in ("a#b", "a#b#c#d", "a#b/X#1#2#3", "a#b/X#-1#2", "a#b/X#0#inf", "a#b/X#1#2"):
        with pytest.raises(ValueError):
            read_caption(bad)


def test_untagged_captions():
    assert untagged("Two high-fives, 2 people!") == "two/OTHER highfives/OTHER people/OTHER"
    assert untagged("42!") == ""


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path, capsys):
    path = tmp_path / "words.pkl"
    for content in (Evil(), [Evil()], {"a": torch.ones(1)}, np.ones(2), object(), {1, 2}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            path.write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(ValueError, match=r"words\.pkl") as caught:
                read_plain_pickle(path)
            assert len(str(caught.value).splitlines()) == 1
    assert capsys.readouterr().out == ""
    # by hand: names from the stack, the extension registry, outside objects, and nested lists
    by_hand = [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
        b"cos\nsystem\n(S'ls'\ntR.",
        b"(S'ls'\nios\nsystem\n.",
        b"\x82\x01.",
        b"Pname\n.",
        pickle.dumps([["nested"]]),
        b"",
        b"]q",
    ]
    for content in by_hand:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"words\.pkl"):
            read_plain_pickle(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_words_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickle") / "words.pkl"
    path.write_bytes(content)
    try:
        found = read_plain_pickle(path)
    except ValueError:
        return
    assert isinstance(found, list | dict)


def test_plain_pickles(tmp_path):
    path = tmp_path / "words.pkl"
    for content in (["a", "b"], {"a": 1}, [], [1, 2]):
        path.write_bytes(pickle.dumps(content))
        assert read_plain_pickle(path) == content


def test_bad_folders_of_vectors(tmp_path):
    glove = tiny.glove(tmp_path / "glove")
    with pytest.raises(ValueError, match=r"has vectors \(11, 7\); the evaluator reads 300"):
        official_words(glove, 300)
    with pytest.raises(ValueError, match="holds 0 files"):
        official_words(tmp_path, SIZE)
    (glove / "our_vab_words.pkl").write_bytes(pickle.dumps([*tiny.WORDS, "more"]))
    with pytest.raises(ValueError, match="don't say which word has which vector"):
        official_words(glove, SIZE)
    (glove / "our_vab_words.pkl").write_bytes(pickle.dumps(list(tiny.WORDS[1:])))
    with pytest.raises(ValueError, match="there is no vector for sos"):
        official_words(glove, SIZE)
    (glove / "our_vab_words.pkl").write_bytes(pickle.dumps([*tiny.WORDS, "hi"]))
    with pytest.raises(ValueError, match="a word is there twice"):
        official_words(glove, SIZE)
    (glove / "our_vab_words.pkl").unlink()
    with pytest.raises(ValueError, match=r"has no our_vab_words\.pkl"):
        official_words(glove, SIZE)
    tiny.glove(glove)
    np.save(glove / "our_vab_data.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"our_vab_data\.npy can't be read"):
        official_words(glove, SIZE)
    np.save(glove / "our_vab_data.npy", np.full((11, SIZE), np.nan))
    with pytest.raises(ValueError, match="holds NaN"):
        official_words(glove, SIZE)


def test_bad_saved_vectors(tmp_path, words):
    with pytest.raises(ValueError, match=r"vectors\.safetensors is not there"):
        load_words(tmp_path)
    words.save(tmp_path / "saved")
    (tmp_path / "saved" / "words.json").write_text("[")
    with pytest.raises(ValueError, match="holds no vectors of words"):
        load_words(tmp_path / "saved")
    (tmp_path / "saved" / "words.json").write_text('["sos"]')
    with pytest.raises(ValueError, match="1 words can't have vectors"):
        load_words(tmp_path / "saved")
    with pytest.raises(ValueError, match="there is no vector for eos"):
        Words(np.zeros((2, 3), np.float32), ("sos", "unk"))
