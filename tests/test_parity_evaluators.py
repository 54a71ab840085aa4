"""The evaluators against recorded outputs of the released code, and their released sizes."""

import pytest
import torch
from parity import close, fixtures, load, weights
from torch import Tensor

from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.models.evaluator.interclip import (
    NUM_CONTACTS as INTERCLIP_CONTACTS,
)
from duomotion.models.evaluator.interclip import (
    PREFIX,
    SINUSOIDS,
    InterCLIP,
    InterCLIPConfig,
    contrastive_loss,
    from_official,
    to_official,
)
from duomotion.models.evaluator.interx import INTERX, InterXEvaluator
from duomotion.models.evaluator.t2m import HUMANML3D, KIT, NUM_CONTACTS, T2MEvaluator

INTERCLIP_NAMES = fixtures("interclip_evaluator*")
BIGRU_NAMES = fixtures("t2m_evaluator*") + fixtures("interx_evaluator*")


def interclip(name: str) -> InterCLIP:
    sizes, state = load(name)[0]["config"], weights(name)
    model = InterCLIP(
        InterCLIPConfig(
            num_features=sizes["INPUT_DIM"] + INTERCLIP_CONTACTS,
            text_length=len(state["positional_embedding"]),
            width=sizes["LATENT_DIM"],
            num_layers=sizes["NUM_LAYERS"],
            num_heads=sizes["NUM_HEADS"],
            feedforward=sizes["FF_SIZE"],
            vocabulary=sizes["vocab"],
            text_width=sizes["text_dim"],
            text_layers=sizes["text_layers"],
            text_heads=sizes["text_heads"],
            embedding_dim=sizes["emb_out"],
        )
    )
    model.load_state_dict(from_official(state))
    return model.eval()


def bigru(name: str) -> BiGRUEvaluator:
    sizes = load(name)[0]["config"]
    kind = InterXEvaluator if name.startswith("interx") else T2MEvaluator
    evaluator = kind(
        BiGRUConfig(
            motion_dim=sizes.get("dim_pose_in", sizes["dim_pose"]),
            movement_width=sizes["dim_movement_enc_hidden"],
            movement_dim=sizes["dim_movement_latent"],
            motion_width=sizes["dim_motion_hidden"],
            word_dim=sizes["dim_word"],
            tag_dim=sizes["dim_pos_ohot"],
            text_width=sizes["dim_text_hidden"],
            embedding_dim=sizes["dim_coemb_hidden"],
        )
    )
    evaluator.load_state_dict(evaluator.state_dict() | weights(name))
    return evaluator.eval()


def features(motions: Tensor) -> Tensor:
    """As our evaluators take them: people are an axis of their own."""
    if motions.ndim == 3:
        return motions[:, None]
    return motions.unflatten(-1, (2, -1)).permute(0, 3, 1, 2, 4).flatten(3)


@pytest.mark.parametrize("name", INTERCLIP_NAMES)
@torch.no_grad()
def test_interclip(name: str):
    _, tensors = load(name)
    model = interclip(name)
    motion = tensors["in/motions"].unflatten(-1, (2, -1)).transpose(1, 2)
    raw = model.motion_encoder(motion, tensors["in/lengths"])
    close(raw, tensors["out/motion_emb_before_norm"])
    motion_emb = model.embed_motion(motion, tensors["in/lengths"])
    text_emb = model.embed_text(tensors["in/token_ids"])
    close(motion_emb, tensors["out/motion_emb"])
    close(text_emb, tensors["out/text_emb"])
    close(contrastive_loss(motion_emb, text_emb), tensors["out/clip_loss"])


@pytest.mark.parametrize("name", INTERCLIP_NAMES)
def test_names_of_interclip_go_both_ways(name: str):
    official = weights(name)
    back = to_official(from_official({PREFIX + key: official[key] for key in official}))
    assert back.keys() == official.keys()
    close(back.pop(SINUSOIDS), official[SINUSOIDS])
    assert all(torch.equal(back[key], official[key]) for key in back)


def test_a_foreign_name_is_refused_by_name():
    with pytest.raises(ValueError, match="vq_model"):
        from_official({"vq_model.weight": torch.zeros(1)})


@torch.no_grad()
def test_what_lies_behind_the_end_and_contacts_are_not_read():
    model = InterCLIP(InterCLIPConfig(width=16, num_layers=1, text_layers=1, vocabulary=8)).eval()
    motion, lengths = torch.randn(2, 2, 10, 262), torch.tensor([10, 6])
    embedded = model.embed_motion(motion, lengths)
    motion[1, :, 6:] = torch.randn(2, 4, 262)
    motion[..., 258:] = 1
    torch.testing.assert_close(model.embed_motion(motion, lengths), embedded)


@pytest.mark.parametrize("name", BIGRU_NAMES)
@torch.no_grad()
def test_bigru(name: str):
    _, tensors = load(name)
    evaluator = bigru(name)
    motion, lengths = features(tensors["in/motions"]), tensors["in/m_lens"]
    order = tensors["out/align_idx"]
    assert order.sort().values.tolist() == list(range(len(lengths)))
    assert (lengths[order].diff() <= 0).all()

    motion_emb = evaluator.embed_motion(motion, lengths)
    words = (tensors["in/word_embs"], tensors["in/pos_onehot"], tensors["in/cap_lens"])
    text_emb = evaluator.embed_text(*words)
    prepared = evaluator.prepare(motion)
    ours = {
        "out/motion_embedding": motion_emb[order],
        "out/motion_embedding_2": motion_emb[order],
        "out/text_embedding": text_emb[order],
        "out/text_embedding_input_order": text_emb,
        "out/movements": evaluator.movement_encoder(prepared)[order],
        "out/prepared_motion": prepared[:, : tensors.get("out/prepared_motion", prepared).shape[1]],
    }
    for key in (key for key in tensors if key.startswith("out/") and key != "out/align_idx"):
        close(ours[key], tensors[key])


@torch.no_grad()
def test_bigru_takes_texts_in_any_order():
    evaluator = T2MEvaluator(BiGRUConfig(motion_dim=2, word_dim=8, text_width=8)).eval()
    words, tags, lengths = torch.randn(3, 5, 8), torch.randn(3, 5, 15), torch.tensor([2, 5, 3])
    together = evaluator.embed_text(words, tags, lengths)
    for one in range(3):
        part = slice(one, one + 1)
        alone = evaluator.embed_text(
            words[part, : lengths[one]], tags[part, : lengths[one]], lengths[part]
        )
        torch.testing.assert_close(together[part], alone)


def test_a_clip_shorter_than_a_movement_is_refused():
    evaluator = T2MEvaluator(BiGRUConfig(motion_dim=2))
    with pytest.raises(ValueError, match="one has 3"):
        evaluator.embed_motion(torch.zeros(2, 1, 8, 2 + NUM_CONTACTS), torch.tensor([8, 3]))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_size_of_interclip():
    with torch.device("meta"):
        model = InterCLIP(InterCLIPConfig())
    assert parameters(model) == 150_767_873
    official = to_official(model.state_dict())
    assert len(official) == 207
    assert official[SINUSOIDS].shape == (2000, 1024)


@pytest.mark.parametrize(
    ("kind", "config", "movement"),
    [
        (T2MEvaluator, HUMANML3D, 1_842_688),
        (T2MEvaluator, KIT, 1_818_112),
        (InterXEvaluator, INTERX, 2_688_512),
    ],
)
def test_size_of_bigru(kind: type[BiGRUEvaluator], config: BiGRUConfig, movement: int):
    with torch.device("meta"):
        evaluator = kind(config)
    parts = (evaluator.movement_encoder, evaluator.text_encoder, evaluator.motion_encoder)
    assert [parameters(part) for part in parts] == [movement, 4_100_288, 15_747_584]
    assert [len(part.state_dict()) for part in parts] == [6, 19, 17]
