"""Pictures of an interaction with Pillow alone: shaded bodies on a ground grid."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from duomotion.body import PERSON_COLOURS, person_names
from duomotion.body.limbs import distance_to_body, foot_joints, hand_points, is_body
from duomotion.body.mesh import BodyMesh, posed_bodies
from duomotion.motion.contacts import ANKLE_CONTACT, CONTACT_SPEED, FOOT_CONTACT
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import normalise

BACKGROUND = (246, 247, 249)
GRID = (205, 210, 218)
INK = (38, 43, 52)
FAINT_INK = (122, 130, 142)
TOUCH_COLOUR = (255, 196, 46)
SHADOW = (88, 98, 116)
# Directions towards the lamps, the camera's right, up and back.
KEY_LIGHT = normalise(np.array([-0.45, 0.80, 0.55]))
RIM_LIGHT = normalise(np.array([0.75, 0.15, -0.40]))
# How far in metres along x and z a shadow falls aside for each metre of height.
SHADOW_DRIFT = np.array([0.16, 0.0, 0.06])
# Metres a pixel where shadows are blurred.
SHADOW_GRAIN = 0.045
SHADES = 96
# Metres between the vertices of the bodies that are drawn: about five pixels of a frame.
CELL = 0.030
# Lines on the ground are half a metre apart up to so many metres from the middle, else farther.
NEAR = 16
# Drawn this many times larger, then averaged down.
OVERSAMPLE = 2
# A hand touches when its middle is this close to the other body. By this measure recorded hands
# that hold each other are 0.06 to 0.09 m apart, since a hand is drawn stretched and they grip.
TOUCH_DISTANCE = 0.10


@dataclass(frozen=True, eq=False)
class Camera:
    """A perspective camera.

    Attributes:
        eye: position, metres.
        axes: rows are the unit directions right, up and back (away from what it looks at).
        focal: pixels.
        size: (width, height), pixels.
    """

    eye: np.ndarray
    axes: np.ndarray
    focal: float
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2), y down, and depth (...) in metres of points (..., 3)."""
        local = (points - self.eye) @ self.axes.T
        depth = np.maximum(-local[..., 2], 0.05)
        pixels = local[..., :2] * (self.focal / depth)[..., None] * np.array([1.0, -1.0])
        return pixels + np.array(self.size) / 2, depth

    def moved(self, by: np.ndarray) -> "Camera":
        """The camera moved by `by` metres (3)."""
        return replace(self, eye=self.eye + by)

    def scaled(self, factor: float) -> "Camera":
        """The same view with `factor` times the pixels on each side."""
        width, height = self.size
        size = (round(width * factor), round(height * factor))
        return replace(self, focal=self.focal * factor, size=size)


def camera_towards(
    points: np.ndarray,
    back: np.ndarray,
    size: tuple[int, int],
    *,
    field_of_view: float = 28.0,
    margin: float = 0.86,
) -> Camera:
    """A camera that sees all points (..., 3).

    Args:
        back: direction from the points towards the camera, not exactly up or down.
        size: (width, height), pixels.
        field_of_view: vertical, degrees.
        margin: share of the picture that the points may fill.
    """
    back = normalise(np.asarray(back, dtype=np.float64))
    right = normalise(np.cross([0.0, 1.0, 0.0], back))
    axes = np.stack([right, np.cross(back, right), back])
    focal = size[1] / 2 / np.tan(np.radians(field_of_view) / 2)
    local = points.reshape(-1, 3) @ axes.T
    middle = (local.min(0) + local.max(0)) / 2
    local = local - middle
    half = np.array(size) / 2 * margin / focal
    distance = (np.abs(local[:, :2]) / half + local[:, 2:]).max()
    return Camera((middle + np.array([0, 0, distance])) @ axes, axes, float(focal), size)


def side_direction(interaction: Interaction) -> np.ndarray:
    """Unit horizontal direction from which people are side by side; for one, from ahead."""
    roots = interaction.root_positions.astype(np.float64)
    if interaction.num_people == 1:
        ahead = interaction.rotations[0, :, 0, :, 2].astype(np.float64).sum(0)
        return normalise(ahead * [1, 0, 1] + [0.35, 0, 1e-6])
    between = (roots - roots.mean(0))[..., [0, 2]].reshape(-1, 2)
    _, axes = np.linalg.eigh(between.T @ between)
    x, z = axes[:, 0] * (1 if axes[1, 0] >= 0 else -1)
    return np.array([x, 0.0, z])


def body_points(interaction: Interaction, headroom: float = 0.18) -> np.ndarray:
    """Points (N, 3) that a camera must see: joints, what is over them, and the ground below."""
    joints = interaction.positions.reshape(-1, 3).astype(np.float64)
    above = joints + np.array([0.0, headroom, 0.0])
    return np.concatenate([joints, above, joints * [1, 0, 1]])


class Stage:
    """Draws single frames of an interaction.

    Args:
        size: (width, height) of every picture, pixels.

    Raises:
        ValueError: there are more than eight people.
    """

    def __init__(self, interaction: Interaction, size: tuple[int, int]) -> None:
        self.interaction = interaction
        self.size = size
        self.names = person_names(interaction.num_people)
        self.grounded = [_feet_on_ground(interaction, p) for p in range(interaction.num_people)]
        self.touching = [_touching_hands(interaction, p) for p in range(interaction.num_people)]
        self.shades = [_shades(colour) for colour in PERSON_COLOURS]

    def bodies(self) -> Iterator[list[tuple[BodyMesh, np.ndarray]]]:
        """Frame by frame, every person's mesh and its vertices (V, 3) in the world."""
        people = [posed_bodies(self.interaction, p, CELL) for p in range(len(self.grounded))]
        for vertices in zip(*(frames for _, frames in people), strict=True):
            yield [(mesh, v) for (mesh, _), v in zip(people, vertices, strict=True)]

    def bodies_at(self, frame: int) -> list[tuple[BodyMesh, np.ndarray]]:
        """Every person's mesh and its vertices (V, 3) in the world at one frame."""
        moment = self.interaction.frames(frame, frame + 1)
        people = [posed_bodies(moment, p, CELL) for p in range(moment.num_people)]
        return [(mesh, next(iter(vertices))) for mesh, vertices in people]

    def ground(self, camera: Camera) -> Image.Image:
        """The empty place at the oversampled size."""
        camera = camera.scaled(OVERSAMPLE)
        picture = Image.new("RGB", camera.size, BACKGROUND)
        draw = ImageDraw.Draw(picture)
        roots = self.interaction.root_positions.reshape(-1, 3)[:, [0, 2]]
        middle = np.round((roots.min(0) + roots.max(0)) / 2)
        reach = np.ceil(np.ptp(roots, axis=0).max() / 2) + 4
        spacing = 0.5 * 2 ** np.ceil(np.log2(max(reach / NEAR, 1)))
        ticks = np.arange(-reach, reach + spacing / 2, spacing)
        spans = np.stack([ticks[:-1], ticks[1:]], axis=-1)
        along = np.stack(np.broadcast_arrays(ticks[:, None, None], spans), axis=-1)
        ends_N22 = np.stack([along, along[..., ::-1]], axis=2).reshape(-1, 2, 2)
        is_metre_N = np.repeat(ticks % 1 == 0, 2 * len(spans))
        fade_N = 1 - np.linalg.norm(ends_N22.mean(1), axis=-1) / reach
        pixels_N22, depth_N2 = camera.project(np.insert(ends_N22 + middle, 1, 0.0, axis=-1))
        strength_N = np.minimum(1, 1.6 * fade_N * np.where(is_metre_N, 1.0, 0.45))
        for k in np.flatnonzero((fade_N > 0) & (depth_N2.min(1) > 0.1)):
            colour = _mix(BACKGROUND, GRID, strength_N[k])
            draw.line(pixels_N22[k].ravel().tolist(), fill=colour, width=OVERSAMPLE)
        return picture

    def paint(
        self,
        frame: int,
        bodies: list[tuple[BodyMesh, np.ndarray]],
        camera: Camera,
        ground: Image.Image,
    ) -> Image.Image:
        """One picture: shadows, foot marks, bodies from far to near, and touching hands."""
        large = camera.scaled(OVERSAMPLE)
        picture = ground.copy()
        self._shadows(picture, bodies, large)
        draw = ImageDraw.Draw(picture)
        for person, feet in enumerate(self.grounded):
            for foot, place in feet:
                if foot[frame]:
                    self._foot_mark(draw, large, place[frame], PERSON_COLOURS[person])
        self._bodies(draw, bodies, large)
        for hands in self.touching:
            for touching, place in hands:
                if touching[frame]:
                    self._touch_mark(draw, large, place[frame])
        return picture.reduce(OVERSAMPLE)

    def _bodies(
        self, draw: ImageDraw.ImageDraw, bodies: list[tuple[BodyMesh, np.ndarray]], camera: Camera
    ) -> None:
        corners, colours, depths = [], [], []
        for person, (mesh, vertices) in enumerate(bodies):
            pixels, depth = camera.project(vertices)
            quads = mesh.quads
            p = pixels[quads]
            one, other = p[:, 2] - p[:, 0], p[:, 3] - p[:, 1]
            seen = one[:, 0] * other[:, 1] < one[:, 1] * other[:, 0]
            normals = mesh.normals_of(vertices) @ camera.axes.T
            shade = _shading(normals[quads[seen]].mean(1))
            corners.append(p[seen].reshape(-1, 8))
            depths.append(depth[quads[seen]].mean(-1))
            palette = self.shades[person]
            colours += [palette[s] for s in shade.tolist()]
        order = np.argsort(-np.concatenate(depths))
        polygons = np.concatenate(corners)[order].tolist()
        for index, polygon in zip(order.tolist(), polygons, strict=True):
            draw.polygon(polygon, fill=colours[index])

    def _shadows(
        self, picture: Image.Image, bodies: list[tuple[BodyMesh, np.ndarray]], camera: Camera
    ) -> None:
        """Soft shadows: vertices dropped to the ground, counted in coarse pixels, and blurred."""
        fallen = [v * [1, 0, 1] + v[:, 1:2] * SHADOW_DRIFT for _, v in bodies]
        pixels, depth = camera.project(np.concatenate(fallen))
        shrink = max(1, round(SHADOW_GRAIN * camera.focal / float(depth.mean())))
        columns, rows = (-(-edge // shrink) for edge in camera.size)
        x, y = (pixels // shrink).astype(int).T
        seen = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        height = np.concatenate([v[:, 1] for _, v in bodies])
        counts = np.zeros((rows, columns))
        np.add.at(counts, (y[seen], x[seen]), 1 / (1 + 1.5 * np.maximum(height[seen], 0)))
        density = gaussian_filter(counts, 1.3)
        mask = Image.fromarray((150 * (1 - np.exp(-density / 4))).astype(np.uint8))
        area = mask.getbbox()
        if area:
            left, top, right, bottom = (edge * shrink for edge in area)
            soft = mask.crop(area).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
            picture.paste(SHADOW, (left, top), soft)

    @staticmethod
    def _foot_mark(
        draw: ImageDraw.ImageDraw, camera: Camera, place: np.ndarray, colour: str
    ) -> None:
        angle = np.linspace(0, 2 * np.pi, 33)
        ring = place * [1, 0, 1] + 0.15 * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], -1)
        pixels, _ = camera.project(ring)
        draw.line(pixels.ravel().tolist(), fill=colour, width=2 * OVERSAMPLE, joint="curve")

    @staticmethod
    def _touch_mark(draw: ImageDraw.ImageDraw, camera: Camera, place: np.ndarray) -> None:
        (pixel,), (depth,) = camera.project(place[None])
        radius = 0.075 * camera.focal / depth
        box = [*(pixel - radius), *(pixel + radius)]
        draw.ellipse(box, outline=(255, 255, 255), width=4 * OVERSAMPLE)
        draw.ellipse(box, outline=TOUCH_COLOUR, width=3 * OVERSAMPLE)


def draw_frames(
    interaction: Interaction, size: tuple[int, int] = (960, 540)
) -> Iterator[Image.Image]:
    """Every frame as an RGB picture, from a fixed camera that sees the whole clip.

    People stand side by side in their colours; a ring marks a foot on the ground, a bright circle a
    hand that touches the other person. The caption, the people's letters and the time are written
    on it.
    """
    stage = Stage(interaction, size)
    side = side_direction(interaction)
    lift = np.array([0.0, 0.30, 0.0])
    camera = camera_towards(body_points(interaction, headroom=0.34), side + lift, size)
    ground = stage.ground(camera)
    labels = _labels(interaction, stage.names, size)
    for frame, bodies in enumerate(stage.bodies()):
        picture = stage.paint(frame, bodies, camera, ground)
        labels(picture, frame)
        yield picture


def _labels(interaction: Interaction, names: tuple[str, ...], size: tuple[int, int]):
    width, height = size
    title, small = font(height // 22), font(height // 32)
    edge = height // 22
    lines = wrap(interaction.caption, title, width - 2 * edge, 2)

    def write(picture: Image.Image, frame: int) -> None:
        draw = ImageDraw.Draw(picture)
        for row, line in enumerate(lines):
            draw.text((edge, edge * (0.8 + 1.3 * row)), line, fill=INK, font=title)
        x, y = edge, height - 1.5 * edge
        for name, colour in zip(names, PERSON_COLOURS, strict=False):
            dot = edge * 0.34
            draw.ellipse([x, y - dot, x + 2 * dot, y + dot], fill=colour)
            draw.text((x + 2.8 * dot, y), name, fill=INK, font=small, anchor="lm")
            x += 2.4 * edge
        time = f"{frame / interaction.fps:.2f} s"
        draw.text((width - edge, y), time, fill=FAINT_INK, font=small, anchor="rm")

    return write


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with many scripts where the system has one, else Pillow's own."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float, rows: int):
    """The text in at most `rows` lines of `width` pixels, cut with an ellipsis."""
    words, lines = " ".join(text.split()).split(" "), [""]
    for number, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) < rows and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = _cut(" ".join([lines[-1], *words[number:]]).strip(), font, width)
            break
    return lines


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    room = bisect_right(
        range(1, len(text) + 1), width, key=lambda end: font.getlength(text[:end] + "…")
    )
    return text[:room].rstrip() + "…"


def _shading(normals: np.ndarray) -> np.ndarray:
    """Indices into the shades (...) of surfaces with these normals (..., 3) in camera axes."""
    key = np.clip(normals @ KEY_LIGHT, 0, 1)
    sky = 0.5 + 0.5 * normals[..., 1]
    rim = np.clip(normals @ RIM_LIGHT, 0, 1) ** 2
    light = 0.22 + 0.22 * sky + 0.56 * key + 0.20 * rim
    return np.clip(light * (SHADES - 1), 0, SHADES - 1).astype(int)


def _shades(colour: str) -> list[tuple[int, int, int]]:
    """The colour from its shadow to its highlight."""
    base = np.array(ImageColor.getrgb(colour), dtype=float)
    dark, bright = base * [0.34, 0.36, 0.46], base + (255 - base) * 0.42
    at = np.linspace(0, 1, SHADES)
    mixed = [
        np.interp(at, [0, 0.62, 1], [d, b, h]) for d, b, h in zip(dark, base, bright, strict=True)
    ]
    return [(int(r), int(g), int(b)) for r, g, b in np.stack(mixed, -1)]


def _mix(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _feet_on_ground(interaction: Interaction, person: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each foot: whether it is low and slow (T,) bool, and its place (T, 3)."""
    if not is_body(interaction.skeletons[person]):
        return []
    positions = interaction.positions[person].astype(np.float64)
    speed = CONTACT_SPEED**0.5 * 30 / interaction.fps
    found = []
    for ankle, toe in foot_joints(interaction.skeletons[person]):
        rests = np.zeros(len(positions), dtype=bool)
        for joint, height in ((ankle, ANKLE_CONTACT), (toe, FOOT_CONTACT)):
            path = positions[:, joint]
            step = np.linalg.norm(np.gradient(path, axis=0), axis=-1) if len(path) > 1 else 0
            rests |= (step < speed) & (path[:, 1] < height)
        found.append((rests, (positions[:, ankle] + 2 * positions[:, toe]) / 3))
    return found


def _touching_hands(interaction: Interaction, person: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each hand: whether it touches another person (T,) bool, and its place (T, 3)."""
    bodies = [p for p, skeleton in enumerate(interaction.skeletons) if is_body(skeleton)]
    hands = hand_points(interaction, person) if person in bodies else []
    others = [p for p in bodies if p != person]
    return [
        (
            np.any([distance_to_body(h, interaction, p) < TOUCH_DISTANCE for p in others], axis=0),
            h,
        )
        for h in hands
        if others
    ]
