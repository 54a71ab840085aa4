"""The notebook in examples/ runs from its first cell to its last."""

import json
from pathlib import Path

import pygltflib

from duomotion.motion.interaction import Interaction

NOTEBOOK = Path(__file__).parents[1] / "examples" / "prompt_to_blender.ipynb"


def test_the_notebook_runs_from_prompt_to_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and len({cell["id"] for cell in notebook["cells"]}) == 11
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert capsys.readouterr().out.count("foot sliding") == 3
    flaws = [clip.quality.flaw for clip in names["takes"]]
    assert names["best"].quality.flaw == min(flaws)
    assert Interaction.load("handshake.bvh").num_people == 2
    scene = pygltflib.GLTF2().load("handshake.glb")
    assert len(scene.skins) == 2 and len(scene.animations) == 1
