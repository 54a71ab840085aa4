"""What Blender does in a process of its own: blender_script.py SOURCE TARGET [FPS FRAMES]."""

import os
import sys

import bpy  # type: ignore[import-not-found]


def to_glb(source: str, target: str) -> None:
    """FBX to .glb with a key a frame."""
    bpy.ops.import_scene.fbx(filepath=source)
    bpy.ops.export_scene.gltf(
        filepath=target,
        export_format="GLB",
        export_animation_mode="ACTIVE_ACTIONS",
        export_optimize_animation_size=False,
        export_materials="NONE",
    )


def to_fbx(source: str, target: str, fps: float, frames: int) -> None:
    """.glb to FBX with a key a frame."""
    scene = bpy.context.scene
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    bpy.ops.import_scene.gltf(filepath=source, bone_heuristic="TEMPERANCE")
    scene.frame_start, scene.frame_end = 0, frames - 1
    bpy.ops.export_scene.fbx(
        filepath=target,
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        bake_anim_simplify_factor=0,
    )


if __name__ == "__main__":
    bpy.ops.wm.read_factory_settings(use_empty=True)
    source, target, *words = sys.argv[1:]
    if target.endswith(".glb"):
        to_glb(source, target)
    else:
        to_fbx(source, target, float(words[0]), int(words[1]))
    os._exit(0)  # Blender 4.2 crashes where Python tidies up
