"""Files as Blender itself sees them; skipped where its Python module is not installed."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from motions import standing, waving

from duomotion.formats import bvh, fbx, load
from duomotion.motion.canonical import Z_UP_TO_Y_UP
from duomotion.motion.skeleton import SMPL22

needs_blender = pytest.mark.skipif(
    importlib.util.find_spec("bpy") is None,
    reason="Blender's Python module is not installed: pip install 'duomotion[blender]'",
)
CLIP = replace(waving(2, 12), fps=24.0)


@pytest.fixture
def bpy():
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 24
    return bpy


def armatures(bpy):
    found = [each for each in bpy.context.scene.objects if each.type == "ARMATURE"]
    return sorted(found, key=lambda each: each.name)


def heads(bpy, armature, names, frame):
    """(J, 3) where bones begin at a frame, in our world."""
    bpy.context.scene.frame_set(frame)
    bones = armature.pose.bones
    found = [armature.matrix_world @ bones[name].head for name in names]
    return np.array(found) @ Z_UP_TO_Y_UP.T


def rest(armature, names):
    bones = armature.data.bones
    found = [armature.matrix_world @ bones[name].head_local for name in names]
    return np.array(found) @ Z_UP_TO_Y_UP.T


def check_rest(armature, names, person):
    skeleton = CLIP.skeletons[person]
    found = rest(armature, names)
    np.testing.assert_allclose(found - found[0], skeleton.rest_positions, atol=1e-4)
    assert found[:, 1].min() == pytest.approx(0, abs=1e-4)  # on the floor
    assert found[0, 0] == pytest.approx(2 * person, abs=1e-4)  # apart


@needs_blender
def test_glb(bpy, tmp_path):
    path = tmp_path / "clip.glb"
    CLIP.save(path)
    bpy.ops.import_scene.gltf(filepath=str(path))
    people = armatures(bpy)
    assert [each.name for each in people] == ["Person A", "Person B"]
    for person, armature in enumerate(people):
        check_rest(armature, SMPL22.names, person)
        first, last = armature.animation_data.action.frame_range
        assert last - first == CLIP.num_frames - 1
        for frame in (0, 5, CLIP.num_frames - 1):
            found = heads(bpy, armature, SMPL22.names, int(first) + frame)
            np.testing.assert_allclose(found, CLIP.positions[person, frame], atol=1e-4)
        (body,) = [
            each
            for each in bpy.context.scene.objects
            if each.type == "MESH" and each.find_armature() == armature
        ]
        assert {group.name for group in body.vertex_groups} == set(SMPL22.names)
        assert all(1 <= len(vertex.groups) <= 4 for vertex in body.data.vertices)
        shown = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        skin = np.array([body.matrix_world @ vertex.co for vertex in shown.vertices])
        skin = skin @ Z_UP_TO_Y_UP.T
        joints = CLIP.positions[person, -1]
        away = np.linalg.norm(skin[:, None] - joints[None], axis=-1)
        assert away.min(0).max() < 0.2 and away.min(1).max() < 0.4


@needs_blender
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_bvh_of_two_people(bpy, tmp_path, unit):
    path = tmp_path / "clip.bvh"
    bvh.write(CLIP, path, scale=unit)
    bpy.ops.import_anim.bvh(filepath=str(path), global_scale=unit, update_scene_fps=True)
    scene = bpy.context.scene
    assert scene.render.fps / scene.render.fps_base == pytest.approx(24)
    (armature,) = armatures(bpy)
    first, last = armature.animation_data.action.frame_range
    assert (first, last - first + 1) == (1, CLIP.num_frames)
    for person, letter in enumerate("AB"):
        names = [f"{letter}:{name}" for name in SMPL22.names]
        check_rest(armature, names, person)
        for frame in (0, 5, CLIP.num_frames - 1):
            found = heads(bpy, armature, names, 1 + frame)
            np.testing.assert_allclose(found, CLIP.positions[person, frame], atol=1e-3)


@needs_blender
def test_bvh_of_one_person_each(bpy, tmp_path):
    for path in bvh.write(CLIP, tmp_path / "clip.bvh", split=True):
        bpy.ops.import_anim.bvh(filepath=str(path))
    people = armatures(bpy)
    assert [each.name for each in people] == ["clip_A", "clip_B"]
    for person, armature in enumerate(people):
        assert rest(armature, SMPL22.names)[:, 1].min() == pytest.approx(0, abs=1e-4)
        found = heads(bpy, armature, SMPL22.names, 1)
        np.testing.assert_allclose(found, CLIP.positions[person, 0], atol=1e-3)


@needs_blender
def test_fbx_there_and_back(tmp_path):
    path = tmp_path / "clip.fbx"
    for motion in (CLIP, standing(1, 3)):
        motion.save(path)
        again = load(path)
        assert (again.fps, again.num_frames) == (motion.fps, motion.num_frames)
        assert again.skeletons[0].same_tree(SMPL22)
        np.testing.assert_allclose(again.positions, motion.positions, atol=1e-3)


@needs_blender
def test_what_is_no_fbx(tmp_path):
    path = tmp_path / "clip.fbx"
    path.write_bytes(b"Kaydara FBX Binary  \x00" + bytes(200))
    with pytest.raises(ValueError, match=r"clip\.fbx: Blender can't convert it: ") as raised:
        load(path)
    assert "\n" not in str(raised.value)


def test_without_blender_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "clip.fbx"
    with pytest.raises(ValueError, match=r"pip install 'duomotion\[blender\]'; \.glb and \.bvh"):
        fbx.write(CLIP, path)
    assert not path.exists()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"clip\.fbx: \.fbx needs Blender's Python module"):
        fbx.read(path)
    with pytest.raises(ValueError, match="is a folder, not a file"):
        fbx.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        fbx.read(tmp_path / "gone.fbx")
