"""Reading .glb files: ours, those of other programs, and damaged ones."""

import copy
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, standing, waving
from properties import examples
from scipy.spatial.transform import Rotation

from duomotion.formats import gltf, gltf_reading, load
from duomotion.motion.canonical import Z_UP_TO_Y_UP
from duomotion.motion.skeleton import SMPL22


def parts(motion):
    """JSON document and binary of a file that we write."""
    data = gltf.encode(motion)
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def glb(document, binary):
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    size = 28 + len(text) + len(binary)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON"),
        text,
        struct.pack("<I4s", len(binary), b"BIN\0"),
    )
    return b"".join([struct.pack("<4sII", b"glTF", 2, size), *chunks, binary])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clip.glb"


def read(path, document, binary, **options):
    path.write_bytes(glb(document, binary))
    return load(path, **options)


def placed(document, **local):
    """The document with everything on a new node."""
    document = copy.deepcopy(document)
    document["nodes"].append(
        {"name": "Armature", "children": document["scenes"][0]["nodes"], **local}
    )
    document["scenes"][0]["nodes"] = [len(document["nodes"]) - 1]
    return document


@pytest.mark.parametrize(
    "motion",
    [waving(), waving(3, 7), waving(2, 5, TAIL), standing(1, 1)],
    ids=lambda m: m.num_people,
)
def test_what_we_write_is_read_back(path, motion):
    motion.save(path)
    again = load(path)
    assert again.skeletons[0].same_tree(motion.skeletons[0])
    assert (again.fps, again.caption) == (motion.fps, motion.caption)
    np.testing.assert_allclose(again.positions, motion.positions, atol=1e-4)
    np.testing.assert_allclose(again.rotations, motion.rotations, atol=1e-4)
    for own, original in zip(again.skeletons, motion.skeletons, strict=True):
        np.testing.assert_allclose(own.offsets, original.offsets, atol=1e-5)


def test_an_armature_in_centimetres_with_z_up_as_blender_has_it(path):
    """Node transforms count, and the space that the skin was bound in does not."""
    motion = waving(1)
    document, binary = parts(motion)
    for size in (0.01, 1.0, 100.0):
        turn = Rotation.from_matrix(Z_UP_TO_Y_UP).as_quat().tolist()
        turned = placed(document, rotation=turn, scale=[size] * 3, translation=[0, 3, 0])
        again = read(path, turned, binary, scale=1.0, up="y")
        expected = size * motion.positions @ Z_UP_TO_Y_UP.T + [0, 3, 0]
        np.testing.assert_allclose(again.positions, expected, atol=1e-4 * max(size, 1))
        assert again.skeletons[0].rest_positions[15, 1] == pytest.approx(0.62 * size, rel=0.1)


def test_a_file_in_centimetres_or_with_z_up_is_noticed(path):
    motion = standing(2, 5)
    document, binary = parts(motion)
    large = placed(document, scale=[100] * 3)
    np.testing.assert_allclose(read(path, large, binary).positions, motion.positions, atol=1e-4)
    lying = placed(document, rotation=Rotation.from_matrix(Z_UP_TO_Y_UP.T).as_quat().tolist())
    lying = {**lying, "skins": [{"joints": s["joints"]} for s in lying["skins"]]}
    np.testing.assert_allclose(read(path, lying, binary).positions, motion.positions, atol=1e-4)


def test_bones_without_a_skin(path):
    motion = waving(2, 6)
    document, binary = parts(motion)
    del document["skins"], document["meshes"]
    document["nodes"] = [
        {key: held for key, held in node.items() if key not in ("mesh", "skin")}
        for node in document["nodes"]
    ]
    np.testing.assert_allclose(read(path, document, binary).positions, motion.positions, atol=1e-4)


def test_several_skins_of_one_person_and_joints_that_no_skin_has(path):
    """Eyes and clothes have skins of their own; some programs leave out bones that move nothing."""
    motion = waving(1)
    document, binary = parts(motion)
    joints = document["skins"][0]["joints"]
    head, foot = (joints[SMPL22.index(name)] for name in ("head", "left_foot"))
    whole, eyes = document["skins"][0], {"joints": [head]}
    document["skins"] = [eyes, whole]
    again = read(path, document, binary)
    np.testing.assert_allclose(again.positions, motion.positions, atol=1e-4)
    fewer = {"joints": [joint for joint in joints if joint != foot]}
    document["skins"] = [fewer]
    again = read(path, document, binary)
    assert "left_foot" not in again.skeletons[0].names
    wrist = again.skeletons[0].index("left_wrist")
    np.testing.assert_allclose(again.positions[:, :, wrist], motion.positions[:, :, 20], atol=1e-4)


def test_what_engines_hang_above_and_beside_the_pelvis_is_left_out(path):
    """Unreal's skeletons have a root on the floor, and targets of inverse kinematics that move."""
    motion = waving(1)
    document, binary = parts(motion)
    document = placed(document)
    root, joints = len(document["nodes"]) - 1, document["skins"][0]["joints"]
    document["nodes"].append({"name": "ik_foot", "translation": [0, 0, 0]})
    document["nodes"][root]["children"] = [*document["nodes"][root]["children"], root + 1]
    document["skins"] = [{"joints": [root, *joints, root + 1]}]
    animation = document["animations"][0]
    moving = next(c for c in animation["channels"] if c["target"]["path"] == "translation")
    animation["channels"].append(
        {"sampler": moving["sampler"], "target": {"node": root + 1, "path": "translation"}}
    )
    again = read(path, document, binary)
    assert again.skeletons[0].names == SMPL22.names
    np.testing.assert_allclose(again.positions, motion.positions, atol=1e-4)


def with_array(document, binary, values, kind, **extras):
    """The index of a new accessor, and the longer binary."""
    data = np.asarray(values).tobytes()
    document["bufferViews"].append(
        {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)}
    )
    document["accessors"].append(
        {
            "bufferView": len(document["bufferViews"]) - 1,
            "componentType": {"float32": 5126, "int16": 5122}[values.dtype.name],
            "count": len(values),
            "type": kind,
            **extras,
        }
    )
    return len(document["accessors"]) - 1, binary + data + b"\0" * (-len(data) % 4)


@pytest.mark.parametrize("way", ["STEP", "LINEAR", "CUBICSPLINE", "short"])
def test_ways_to_interpolate(path, way):
    """A quarter turn of the root in a second, with keys at its ends and at half."""
    document, binary = parts(standing(1, 31))
    document["asset"] = {"version": "2.0"}
    turns = (
        Rotation.from_rotvec(np.radians([[0, 0, 0], [0, 45, 0], [0, 90, 0]]))
        .as_quat()
        .astype(np.float32)
    )
    extras = {}
    if way == "CUBICSPLINE":
        flat = np.zeros_like(turns)
        turns = np.stack([flat, turns, flat], 1).reshape(-1, 4)
    if way == "short":
        turns, extras = np.round(turns * 32767).astype(np.int16), {"normalized": True}
    keys, binary = with_array(document, binary, np.float32([0, 0.5, 1]), "SCALAR")
    values, binary = with_array(document, binary, turns, "VEC4", **extras)
    animation = document["animations"][0]
    channel = next(c for c in animation["channels"] if c["target"]["path"] == "rotation")
    animation["samplers"][channel["sampler"]] = {
        "input": keys,
        "output": values,
        "interpolation": "LINEAR" if way == "short" else way,
    }
    again = read(path, document, binary)
    assert (again.fps, again.num_frames) == (30, 31)
    angles = np.degrees(Rotation.from_matrix(again.rotations[0, :, 0]).as_rotvec()[:, 1])
    time = np.arange(31) / 30
    expected = 90 * time
    if way == "STEP":
        expected = 45.0 * (time >= 0.5) + 45.0 * (time >= 1)
    if way == "CUBICSPLINE":
        part = 2 * time % 1 + (time == 1)
        expected = (
            45 * (3 * part**2 - 2 * part**3)
            + 45.0 * ((time >= 0.5) & (time < 1))
            + 45.0 * (time == 1)
        )
    np.testing.assert_allclose(angles, expected, atol=1.0)


def test_a_rig_that_does_not_move_is_one_frame(path):
    document, binary = parts(standing(1, 5))
    document["animations"] = []
    assert read(path, document, binary).num_frames == 1


def test_people_of_two_files(tmp_path):
    motion = waving()
    for person, name in enumerate("ab"):
        motion.person(person).save(tmp_path / f"{name}.glb")
    both = load(tmp_path / "a.glb", tmp_path / "b.glb")
    np.testing.assert_allclose(both.positions, motion.positions, atol=1e-4)


# Damage


def changed(document, *keys, value):
    document = copy.deepcopy(document)
    holder = document
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    return document


BROKEN = {
    "a node that is its own child": (("nodes", 1, "children"), [1], "node 1 hangs on two nodes"),
    "no such joint": (("skins", 0, "joints"), [999], "joints is 999, not an index below"),
    "joints in words": (("skins", 0, "joints"), "all", "joints is no list of indices"),
    "a rotation of zeros": (("nodes", 0, "rotation"), [0, 0, 0, 0], "a rotation that is none"),
    "three numbers": (("nodes", 0, "rotation"), [0, 0, 1], "rotation has to hold 4 finite numbers"),
    "an infinite place": (("nodes", 0, "translation"), [1e400, 0, 0], "3 finite numbers"),
    "far away": (("nodes", 0, "translation"), [1e12, 0, 0], "too far away"),
    "without size": (("nodes", 0, "scale"), [0, 0, 0], "can't be inverted|not finite"),
    "another buffer": (("buffers", 0, "uri"), "http://x/y.bin", "in the file itself"),
    "a view outside": (("bufferViews", 0, "byteLength"), 10**9, "outside of the file"),
    "a view before": (("bufferViews", 0, "byteOffset"), -4, "outside of the file"),
    "too many keys": (("accessors", 0, "count"), 10**9, "count is 1000000000"),
    "a count in words": (("accessors", 0, "count"), "many", "count is 'many'"),
    "another type": (("accessors", 0, "type"), "MAT2", "plain SCALAR"),
    "another number": (("accessors", 0, "componentType"), 5130, "plain SCALAR"),
    "no skin, no motion": (("skins",), [], "moves|no skin|bone"),
    "a way nobody knows": (
        ("animations", 0, "samplers", 0, "interpolation"),
        "MAGIC",
        "interpolation 'MAGIC' is not known",
    ),
    "no such frame rate": (("asset", "extras", "fps"), -3, "fps is -3, not a frame rate"),
    "nodes in words": (("nodes",), "some", "nodes is no list of objects"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_in_one_sentence(path, case):
    keys, value, sentence = BROKEN[case]
    document, binary = parts(waving(1, 3))
    document = changed(document, *keys, value=value)
    if case == "no skin, no motion":
        document["animations"] = []
    with pytest.raises(ValueError, match=sentence) as raised:
        read(path, document, binary)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_bones_that_move_in_their_parents_are_refused(path):
    document, binary = parts(waving(1, 6))
    animation = document["animations"][0]
    moving = next(c for c in animation["channels"] if c["target"]["path"] == "translation")
    elbow = document["skins"][0]["joints"][SMPL22.index("left_elbow")]
    channel = {"sampler": moving["sampler"], "target": {"node": elbow, "path": "translation"}}
    animation["channels"].append(channel)
    with pytest.raises(ValueError, match="joint 'left_elbow' moves in its parent's frame; bake"):
        read(path, document, binary)


def test_what_is_no_glb(path):
    motion = waving(1, 3)
    whole = gltf.encode(motion)
    for content in (b"", b"glTF", b"hello " * 20, b'{"asset": {}}' * 3, whole[:40], whole[:-4]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"clip\.glb"):
            load(path)
    path.write_bytes(glb(None, b""))
    with pytest.raises(ValueError, match="no glTF document"):
        load(path)
    with pytest.raises(ValueError, match="is a folder, not a file"):
        load(path.parent.joinpath("x.glb").mkdir() or path.parent / "x.glb")


def test_many_nodes_are_refused_soon(path):
    chain = [{"children": [n + 1]} for n in range(4000)] + [{}]
    document = {"nodes": chain, "skins": [{"joints": list(range(0, 4000, 10))}]}
    assert read(path, document, b"").num_frames == 1
    with pytest.raises(ValueError, match="nodes; at most 20000 are read"):
        read(path, {**document, "nodes": chain + [{}] * 17_000}, b"")
    with pytest.raises(ValueError, match="4000 joints; at most 500"):
        read(path, {**document, "skins": [{"joints": list(range(4000))}]}, b"")


def values_in(document, path=()):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, held in items:
        yield (*path, key)
        if isinstance(held, dict | list):
            yield from values_in(held, (*path, key))


SMALL = parts(replace(waving(1, 3, TAIL), caption="x"))
ODD = [
    None,
    True,
    -1,
    0,
    1,
    3,
    7,
    10**12,
    0.5,
    1e300,
    -1e300,
    "x",
    [],
    [0],
    [1, 1],
    {},
    [{}],
    [1e30] * 3,
]


@examples(300)
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(sorted(values_in(SMALL[0]), key=str)), st.sampled_from(ODD)),
        min_size=1,
        max_size=3,
    )
)
def test_odd_documents_never_surprise(tmp_path_factory, edits):
    path = tmp_path_factory.getbasetemp() / "odd.glb"
    document = SMALL[0]
    for keys, value in edits:
        try:
            document = changed(document, *keys, value=value)
        except (KeyError, IndexError, TypeError):
            continue
    path.write_bytes(glb(document, SMALL[1]))
    try:
        motion = gltf_reading.read(path)
    except ValueError as problem:
        assert str(path) in str(problem) and "\n" not in str(problem)
        return
    assert np.isfinite(motion.positions).all()
