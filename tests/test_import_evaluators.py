"""Released-looking evaluator files, made from tiny random networks, into checkpoint folders."""

import pickle
import sys

import numpy as np
import pytest
import tiny
import torch
from tiny import (
    INTERCLIP,
    official_bigru,
    official_interclip,
    save_finest,
    save_lightning,
)

from duomotion.checkpoint import read_checkpoint
from duomotion.cli import main
from duomotion.config import from_dict
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.bigru import BiGRUConfig
from duomotion.models.evaluator.interclip import SINUSOIDS, InterCLIP, InterCLIPConfig, to_official
from duomotion.models.evaluator.interx import INTERX, InterXEvaluator
from duomotion.models.evaluator.official import bigru_config, import_evaluator, interclip_state
from duomotion.models.evaluator.t2m import HUMANML3D, KIT
from duomotion.models.layers.positional import sinusoid_sequence


@pytest.fixture
def words(tmp_path):
    return tiny.words(tmp_path)


def test_interclip_comes_back_exactly(tmp_path, words, monkeypatch, capsys):
    path, out = save_lightning(tmp_path / "interclip.ckpt", official_interclip()), tmp_path / "out"
    typed = ["import-official", "interclip", path, "--out", out, "--vocabulary", words]
    monkeypatch.setattr(sys, "argv", ["duomotion", *map(str, typed)])
    main()
    assert " parameters\n" in capsys.readouterr().out
    checkpoint = read_checkpoint(out)
    assert checkpoint.recipe["system"] == "evaluator/interclip"
    assert from_dict(InterCLIPConfig, checkpoint.recipe["model"], "") == INTERCLIP
    back, given = to_official(checkpoint.tensors), official_interclip()
    assert back.keys() == given.keys()
    assert all(torch.equal(back[name], given[name]) for name in given)
    assert (out / "words" / "tokenizer_config.json").is_file()
    assert len(checkpoint.provenance["sha256"]) == 64


@pytest.mark.parametrize(
    ("kind", "motion_dim", "dataset", "extra"),
    [
        ("interx-evaluator", INTERX.motion_dim, "interx", set()),
        ("t2m-evaluator", HUMANML3D.motion_dim, "humanml3d", {"mean", "std"}),
        ("t2m-evaluator", KIT.motion_dim, "kit-ml", {"mean", "std"}),
    ],
)
def test_the_others_come_back_exactly(tmp_path, kind, motion_dim, dataset, extra):
    given = official_bigru(motion_dim)
    path = save_finest(tmp_path / "finest.tar", given)
    count = import_evaluator(
        kind,
        path,
        tmp_path / "out",
        vocabulary=tiny.glove(tmp_path / "glove"),
        statistics=tiny.statistics(tmp_path / "meta", motion_dim),
    )
    assert count == sum(x.numel() for x in given.values())
    checkpoint = read_checkpoint(tmp_path / "out")
    assert checkpoint.recipe["system"] == f"evaluator/{kind.partition('-')[0]}"
    assert checkpoint.provenance["data"] == [dataset]
    assert from_dict(BiGRUConfig, checkpoint.recipe["model"], "").motion_dim == motion_dim
    assert checkpoint.tensors.keys() - given.keys() == extra
    assert all(torch.equal(checkpoint.tensors[name], given[name]) for name in given)
    for name in extra:
        stored = np.load(tmp_path / "meta" / f"{name}.npy").astype(np.float32)
        np.testing.assert_array_equal(checkpoint.tensors[name], stored)


@pytest.mark.parametrize("kind", ["interclip", "interx-evaluator"])
def test_packed_evaluators_keep_their_words(tmp_path, run, kind):
    source, target = tmp_path / "evaluator", tmp_path / "packed"
    if kind == "interclip":
        tiny.interclip(source)
    else:
        tiny.bigru(source, kind, INTERX.motion_dim)
    status, _, error = run("pack", source, target)
    assert status == 0, error
    names = {path.name for path in (source / "words").iterdir()}
    assert names and names == {path.name for path in (target / "words").iterdir()}
    embedder, packed = load_embedder(source), load_embedder(target)
    texts = ["two/NUM people/NOUN", "hi"]
    np.testing.assert_allclose(packed.texts(texts), embedder.texts(texts), atol=0.02)


def test_official_sizes_are_found():
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
    state = official_interclip()
    state["extra.weight"] = state.pop("text_ln.bias")
    path = save_lightning(tmp_path / "a.ckpt", state)
    with pytest.raises(ValueError, match=r"lacks text_ln\.bias; it has the unknown extra\.weight"):
        import_evaluator("interclip", path, out, vocabulary=words)
    state = official_interclip() | {"latent_scale": torch.ones(2)}
    path = save_lightning(tmp_path / "b.ckpt", state)
    with pytest.raises(ValueError, match=r"latent_scale \(2,\) instead of \(1,\)"):
        import_evaluator("interclip", path, out, vocabulary=words)
    state = official_interclip() | {SINUSOIDS: torch.zeros(2000, 16)}
    path = save_lightning(tmp_path / "c.ckpt", state)
    with pytest.raises(ValueError, match="other numbers than sinusoids"):
        import_evaluator("interclip", path, out, vocabulary=words)
    path = save_lightning(tmp_path / "d.ckpt", official_interclip())
    with pytest.raises(ValueError, match="--vocabulary is missing"):
        import_evaluator("interclip", path, out)
    with pytest.raises(ValueError, match="name the bpe_simple_vocab"):
        import_evaluator("interclip", path, out, vocabulary=tmp_path / "nothing.gz")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="not a whole PyTorch checkpoint"):
        import_evaluator("interclip", path, out, vocabulary=words)
    assert not out.exists()


def test_bad_files_of_the_others(tmp_path):
    out, glove = tmp_path / "out", tiny.glove(tmp_path / "glove")
    meta = tiny.statistics(tmp_path / "meta", HUMANML3D.motion_dim)

    def imported(kind, **given):
        import_evaluator(kind, path, out, **{"vocabulary": glove, "statistics": meta} | given)

    path = save_finest(tmp_path / "finest.tar", official_bigru(INTERX.motion_dim))
    with pytest.raises(
        ValueError, match=r"672 numbers a frame.*259 \(humanml3d\) or 247 \(kit-ml\)"
    ):
        imported("t2m-evaluator")
    with pytest.raises(ValueError, match=r"--vocabulary is missing: .* Inter-X's folder glove/"):
        imported("interx-evaluator", vocabulary=None)
    with pytest.raises(ValueError, match="--statistics is missing"):
        imported("t2m-evaluator", statistics=None)
    state = official_bigru(INTERX.motion_dim)
    del state["text_encoder.hidden"]
    path = save_finest(tmp_path / "finest.tar", state)
    with pytest.raises(ValueError, match=r"lacks text_encoder\.hidden"):
        imported("interx-evaluator")
    torch.save({"vq_model": {}}, path)
    with pytest.raises(ValueError, match="no state dict named movement_encoder; it has vq_model"):
        imported("interx-evaluator")
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="not a whole PyTorch checkpoint"):
        imported("interx-evaluator")
    path = save_finest(tmp_path / "finest.tar", official_bigru(KIT.motion_dim))
    with pytest.raises(ValueError, match=r"mean\.npy has shape \(263,\); 251 finite numbers are"):
        imported("t2m-evaluator")
    with pytest.raises(ValueError, match=r"mean\.npy is not there"):
        imported("t2m-evaluator", statistics=tmp_path)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(ValueError, match="holds something else"):
        import_evaluator("interx-evaluator", path, tmp_path / "mine", vocabulary=glove)
