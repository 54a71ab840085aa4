"""Released-looking evaluator files, made from tiny random networks, into checkpoint folders."""

import pickle
import sys

import pytest
import tiny
import torch
from tiny import INTERCLIP, released_interclip, save_lightning

from duomotion.checkpoint import read_checkpoint
from duomotion.cli import main
from duomotion.config import from_dict
from duomotion.models.evaluators.bigru import BiGRUConfig
from duomotion.models.evaluators.interclip import SINUSOIDS, InterCLIP, InterCLIPConfig, to_official
from duomotion.models.evaluators.interx import INTERX, InterXEvaluator
from duomotion.models.evaluators.official import (
    PARTS,
    bigru_config,
    import_evaluator,
    interclip_state,
)
from duomotion.models.evaluators.t2m import HUMANML3D, KIT, T2MEvaluator
from duomotion.models.layers.positional import sinusoid_sequence

SIZES = {
    "movement_width": 6,
    "movement_dim": 5,
    "motion_width": 4,
    "word_dim": 7,
    "tag_dim": 3,
    "text_width": 9,
    "embedding_dim": 8,
}


@pytest.fixture
def words(tmp_path):
    return tiny.words(tmp_path)


def released_bigru(motion_dim):
    torch.manual_seed(0)
    return T2MEvaluator(BiGRUConfig(motion_dim=motion_dim, **SIZES)).state_dict()


def save_finest(path, state):
    content = {
        part: {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in state.items()
            if name.startswith(f"{part}.")
        }
        for part in PARTS
    }
    torch.save({**content, "epoch": 40}, path)
    return path


def test_interclip_comes_back_exactly(tmp_path, words, monkeypatch, capsys):
    path, out = save_lightning(tmp_path / "interclip.ckpt", released_interclip()), tmp_path / "out"
    typed = ["import-official", "interclip", path, "--out", out, "--vocabulary", words]
    monkeypatch.setattr(sys, "argv", ["duomotion", *map(str, typed)])
    main()
    assert "parameters in" in capsys.readouterr().out
    checkpoint = read_checkpoint(out)
    assert checkpoint.recipe["system"] == "evaluator/interclip"
    assert from_dict(InterCLIPConfig, checkpoint.recipe["model"], "") == INTERCLIP
    back, given = to_official(checkpoint.tensors), released_interclip()
    assert back.keys() == given.keys()
    assert all(torch.equal(back[name], given[name]) for name in given)
    assert (out / "words" / "tokenizer_config.json").is_file()
    assert len(checkpoint.provenance["sha256"]) == 64


@pytest.mark.parametrize(
    ("kind", "motion_dim", "dataset"),
    [
        ("interx-evaluator", INTERX.motion_dim, "interx"),
        ("t2m-evaluator", HUMANML3D.motion_dim, "humanml3d"),
        ("t2m-evaluator", KIT.motion_dim, "kit"),
    ],
)
def test_the_others_come_back_exactly(tmp_path, kind, motion_dim, dataset):
    given = released_bigru(motion_dim)
    path = save_finest(tmp_path / "finest.tar", given)
    assert import_evaluator(kind, path, tmp_path / "out") == sum(x.numel() for x in given.values())
    checkpoint = read_checkpoint(tmp_path / "out")
    assert checkpoint.recipe["system"] == f"evaluator/{kind.partition('-')[0]}"
    assert checkpoint.provenance["data"] == [dataset]
    assert from_dict(BiGRUConfig, checkpoint.recipe["model"], "").motion_dim == motion_dim
    assert checkpoint.tensors.keys() == given.keys()
    assert all(torch.equal(checkpoint.tensors[name], given[name]) for name in given)


def test_released_sizes_are_found():
    with torch.device("meta"):
        interclip = to_official(InterCLIP(InterCLIPConfig()).state_dict())
        interx = InterXEvaluator(INTERX).state_dict()
    assert sum(tensor.numel() for name, tensor in interclip.items() if name != SINUSOIDS) == (
        150_767_873
    )
    interclip[SINUSOIDS] = sinusoid_sequence(2000, 1024)
    assert interclip_state(interclip, "interclip.ckpt")[0] == InterCLIPConfig()
    assert bigru_config(interx, InterXEvaluator, "finest.tar") == INTERX


def test_bad_interclip_files(tmp_path, words):
    out = tmp_path / "out"
    state = released_interclip()
    state["extra.weight"] = state.pop("text_ln.bias")
    path = save_lightning(tmp_path / "a.ckpt", state)
    with pytest.raises(ValueError, match=r"lacks text_ln\.bias; it has the unknown extra\.weight"):
        import_evaluator("interclip", path, out, vocabulary=words)
    state = released_interclip() | {"latent_scale": torch.ones(2)}
    path = save_lightning(tmp_path / "b.ckpt", state)
    with pytest.raises(ValueError, match=r"latent_scale \(2,\) instead of \(1,\)"):
        import_evaluator("interclip", path, out, vocabulary=words)
    state = released_interclip() | {SINUSOIDS: torch.zeros(2000, 16)}
    path = save_lightning(tmp_path / "c.ckpt", state)
    with pytest.raises(ValueError, match="other numbers than sinusoids"):
        import_evaluator("interclip", path, out, vocabulary=words)
    path = save_lightning(tmp_path / "d.ckpt", released_interclip())
    with pytest.raises(ValueError, match="--vocabulary is missing"):
        import_evaluator("interclip", path, out)
    with pytest.raises(ValueError, match="name the bpe_simple_vocab"):
        import_evaluator("interclip", path, out, vocabulary=tmp_path / "nothing.gz")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="not a whole PyTorch checkpoint"):
        import_evaluator("interclip", path, out, vocabulary=words)
    assert not out.exists()


def test_bad_files_of_the_others(tmp_path):
    out = tmp_path / "out"
    path = save_finest(tmp_path / "finest.tar", released_bigru(INTERX.motion_dim))
    with pytest.raises(ValueError, match=r"672 numbers a frame.*259 \(humanml3d\) or 247 \(kit\)"):
        import_evaluator("t2m-evaluator", path, out)
    state = released_bigru(INTERX.motion_dim)
    del state["text_encoder.hidden"]
    path = save_finest(tmp_path / "finest.tar", state)
    with pytest.raises(ValueError, match=r"lacks text_encoder\.hidden"):
        import_evaluator("interx-evaluator", path, out)
    torch.save({"vq_model": {}}, path)
    with pytest.raises(ValueError, match="no state dict named movement_encoder; it has vq_model"):
        import_evaluator("interx-evaluator", path, out)
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="not a whole PyTorch checkpoint"):
        import_evaluator("interx-evaluator", path, out)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="is no checkpoint folder"):
        import_evaluator("interx-evaluator", path, tmp_path / "mine")
    assert not out.exists()
