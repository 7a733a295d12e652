"""A small scene for Blender: paper lanterns over still water at dusk, rendered with Cycles.

Runs inside Blender (3.x or 4.x) and renders the frames that Dayan gave this task:

    blender --background --factory-startup --python-exit-code 1 --python scene.py

Frames come from DAYAN_ARRAY_FIRST, DAYAN_ARRAY_LAST and DAYAN_ARRAY_STEP (default: frame 1) and
go to out/frame_0001.png. A frame depends on its number only, so any division of the range among
tasks gives the same film. WIDTH, HEIGHT and SAMPLES can be set in the environment.
"""

import math
import os
import random
import sys

import bpy

SHOT_FRAMES = 24


def number(name, default):
    """A whole number from the environment."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        sys.exit(f"{name}: {text!r} is not a whole number")


def material(name, colour, roughness=0.6, metallic=0.0, emission=0.0):
    """A material; `emission` in watts per square metre makes it shine instead."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.clear()
    output = nodes.new("ShaderNodeOutputMaterial")
    if emission > 0.0:
        shader = nodes.new("ShaderNodeEmission")
        shader.inputs["Color"].default_value = (*colour, 1.0)
        shader.inputs["Strength"].default_value = emission
    else:
        shader = nodes.new("ShaderNodeBsdfPrincipled")
        shader.inputs["Base Color"].default_value = (*colour, 1.0)
        shader.inputs["Roughness"].default_value = roughness
        shader.inputs["Metallic"].default_value = metallic
    links.new(shader.outputs[0], output.inputs["Surface"])
    return made


def place(made):
    """Gives the object that was just added its material and returns it."""
    thing = bpy.context.object
    thing.data.materials.append(made)
    return thing


def build():
    """The scene, with its movement as key frames."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    chance = random.Random(7)

    world = bpy.data.worlds.new("dusk")
    scene.world = world
    world.use_nodes = True
    # A sky that goes from afterglow at the horizon to night blue overhead.
    nodes, links = world.node_tree.nodes, world.node_tree.links
    where = nodes.new("ShaderNodeTexCoord")
    split = nodes.new("ShaderNodeSeparateXYZ")
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].color = (1.0, 0.42, 0.20, 1.0)
    ramp.color_ramp.elements[1].color = (0.035, 0.06, 0.17, 1.0)
    ramp.color_ramp.elements[1].position = 0.42
    ramp.color_ramp.elements.new(0.13).color = (0.36, 0.22, 0.34, 1.0)
    links.new(where.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Background"].inputs["Color"])
    nodes["Background"].inputs["Strength"].default_value = 0.8

    water = material("water", (0.01, 0.02, 0.03), roughness=0.06)
    hill = material("hill", (0.07, 0.085, 0.09), roughness=1.0)
    wood = material("wood", (0.12, 0.07, 0.04), roughness=0.7)
    brass = material("brass", (0.8, 0.55, 0.25), roughness=0.25, metallic=1.0)
    lamp = material("lamp", (1.0, 0.30, 0.07), emission=4.0)

    bpy.ops.mesh.primitive_plane_add(size=700, location=(0, 250, 0))
    place(water)
    for _ in range(22):
        away = chance.uniform(120, 290)
        wide, tall = chance.uniform(11, 20), chance.uniform(12, 30)
        bpy.ops.mesh.primitive_uv_sphere_add(
            segments=48, ring_count=24, location=(chance.uniform(-0.5, 0.5) * away, away, 0)
        )
        cone = place(hill)
        cone.scale = (wide, wide, tall)
    bpy.ops.mesh.primitive_cube_add(size=1, location=(-2.6, 9, 0.35))
    place(wood).scale = (1.6, 18, 0.12)
    for i in range(4):
        y = 4.5 + 3.4 * i
        bpy.ops.mesh.primitive_cylinder_add(radius=0.06, depth=2.6, location=(-1.8, y, 1.2))
        place(wood)
        bpy.ops.mesh.primitive_cube_add(size=1, location=(-1.55, y, 2.45))
        place(wood).scale = (0.6, 0.05, 0.05)
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.24, location=(-1.32, y, 2.05))
        lantern = place(lamp)
        bpy.ops.object.shade_smooth()
        for frame in range(1, SHOT_FRAMES + 1, 4):
            lantern.location.x = -1.32 + 0.02 * math.sin(0.5 * frame + i)
            lantern.keyframe_insert("location", frame=frame)
        bpy.ops.mesh.primitive_cylinder_add(radius=0.1, depth=0.05, location=(-1.32, y, 2.29))
        place(brass)

    sun = bpy.data.objects.new("afterglow", bpy.data.lights.new("afterglow", "SUN"))
    sun.data.energy = 0.9
    sun.data.angle = math.radians(20)
    sun.data.color = (1.0, 0.55, 0.35)
    sun.rotation_euler = (math.radians(-83), 0, math.radians(8))
    scene.collection.objects.link(sun)

    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.lens = 38
    camera.data.dof.use_dof = True
    camera.data.dof.focus_distance = 9.0
    camera.data.dof.aperture_fstop = 1.8
    camera.rotation_euler = (math.radians(92.5), 0, math.radians(-3))
    for frame, y in ((1, -1.2), (SHOT_FRAMES, 0.8)):
        camera.location = (0.1, y, 1.55)
        camera.keyframe_insert("location", frame=frame)
    return scene


def main():
    """Renders this task's frames."""
    first = number("DAYAN_ARRAY_FIRST", 1)
    last = number("DAYAN_ARRAY_LAST", first)
    step = max(1, number("DAYAN_ARRAY_STEP", 1))
    scene = build()
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = number("SAMPLES", 48)
    scene.cycles.seed = 1
    # Debian's build has no denoiser of Intel's; the picture is small enough to do without.
    scene.cycles.use_denoising = False
    scene.render.resolution_x = number("WIDTH", 480)
    scene.render.resolution_y = number("HEIGHT", 200)
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.view_settings.view_transform = "Filmic"
    for frame in range(first, last + 1, step):
        scene.frame_set(frame)
        scene.render.filepath = os.path.abspath(os.path.join("out", f"frame_{frame:04}.png"))
        bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
