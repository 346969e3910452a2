"""What is in a room and where: a scene as a function of (seed, split, index) alone."""

from math import atan2, cos, pi, sin

from uvim_fsq.data.scenes.room import furniture as furniture
from uvim_fsq.data.scenes.room import objects as objects
from uvim_fsq.data.scenes.room.draws import Draws
from uvim_fsq.data.scenes.room.parts import Colour, Scene, Vector
from uvim_fsq.data.scenes.room.plan import FAR, Plan
from uvim_fsq.data.scenes.room.room import light_room, room_materials

SPLITS = {"train": 0, "validation": 1, "test": 2}
"""The streams of scenes; no scene is in two of them."""

_DOMAIN = 0x5CE9E5
_MAKERS = {
    "sofa": furniture.sofa,
    "bed": furniture.bed,
    "cabinet": furniture.cabinet,
    "bookcase": furniture.bookcase,
    "chair": furniture.chair,
    "lamp": objects.lamp,
    "plant": objects.plant,
    "box": objects.box,
    "ball": objects.ball,
}
_ROOMS = (
    ("sofa", "bookcase", "lamp", "plant", "cabinet"),
    ("bed", "cabinet", "lamp", "plant", "chair"),
    ("cabinet", "plant", "bookcase", "lamp"),
    ("bookcase", "sofa", "lamp", "cabinet", "plant", "chair"),
)
_ROOM_PARTS = 3
"""Wall, floor and ceiling come before the other instances."""

_BACKED = ("sofa", "bed", "cabinet", "bookcase")
"""What stands with its back to a wall."""


def sample_scene(seed: int, split: str, index: int) -> Scene:
    """The scene number `index` of a split: a room, its furniture, its light, its camera.

    Raises `KeyError` for a split other than train, validation and test.
    """
    draws = Draws(_DOMAIN, seed, SPLITS[split], index)
    plan = Plan(draws)
    window, lamp = _furnish(plan)
    lights = light_room(plan, window, lamp)
    floor, ceiling, wall, far_wall = room_materials(draws)
    level = draws.uniform(0.28, 0.40)
    ambient: Colour = tuple(level * c for c in (1.0, 0.98, 0.96))
    return Scene(
        plan.width,
        plan.length,
        plan.height,
        plan.camera,
        lights,
        ambient,
        floor,
        ceiling,
        wall,
        far_wall,
        plan.parts,
        plan.instances,
    )


def _furnish(plan: Plan) -> tuple[Vector | None, tuple[float, float] | None]:
    """Fills the room: what hangs first, then the main group, furniture at walls, small things.

    Returns a place before a window and the place of a lamp, where there are such.
    """
    draws = plan.draws
    window = _hang(plan)
    group = draws.integer(0, 3)
    if group == 2 or draws.chance(0.35):
        _dining(plan, low=group == 0)
    elif draws.chance(0.5):
        _loose_rug(plan)
    lamp = None
    for name in _ROOMS[group]:
        if not draws.chance(0.75):
            continue
        place = _at_wall(plan, name) if name in _BACKED else _on_floor(plan, name)
        if name == "lamp" and place is not None:
            lamp = place
    for name, chance in (("box", 0.45), ("ball", 0.5), ("box", 0.2), ("ball", 0.2)):
        if draws.chance(chance):
            _on_floor(plan, name)
    for name in ("plant", "box", "ball", "lamp", "box", "ball"):
        if len(plan.instances) < _ROOM_PARTS + 3:
            _on_floor(plan, name)
    return window, lamp


def _hang(plan: Plan) -> Vector | None:
    """Hangs windows, a door and pictures; returns a place before a window."""
    draws = plan.draws
    light = None
    for maker, chance, low, high in (
        (objects.window, 0.65, 0.85, 1.0),
        (objects.door, 0.4, 0.0, 0.0),
        (objects.picture, 0.6, 1.25, 1.5),
        (objects.picture, 0.35, 1.25, 1.5),
    ):
        if not draws.chance(chance):
            continue
        thing = maker(draws)
        wall, along, depth = plan.wall_at(plan.slope())
        y = draws.uniform(low, high)
        if depth > 1.6 and plan.hang(thing, wall, along, y) and maker is objects.window:
            x, z, _ = plan.beside(wall, along, 0.5)
            light = (x, y + thing.height / 2, z)
    return light


def _at_wall(plan: Plan, name: str) -> tuple[float, float] | None:
    """Stands a thing with its back to a wall that is in view; a few attempts."""
    thing = _MAKERS[name](plan.draws)
    for _ in range(5):
        wall, along, depth = plan.wall_at(plan.slope())
        room = plan.width / 2 if wall == FAR else plan.length
        along = min(along, room - thing.half_width - 0.03)
        if wall == FAR:
            along = max(along, -room + thing.half_width + 0.03)
        x, z, turn = plan.beside(wall, along, thing.half_length + 0.03)
        behind_door = any(
            w == wall
            and start < along + thing.half_width
            and along - thing.half_width < stop
            for w, start, stop, low, _ in plan.hung
            if low < min(thing.height, 0.8)
        )
        if depth > 2.0 and not behind_door and plan.stand(thing, x, z, turn):
            return x, z
    return None


def _on_floor(plan: Plan, name: str) -> tuple[float, float] | None:
    """Stands a thing anywhere on the floor in view; lamps and plants near a wall."""
    draws = plan.draws
    thing = _MAKERS[name](draws)
    for _ in range(5):
        slope = plan.slope()
        _, _, wall_depth = plan.wall_at(slope)
        if name in ("lamp", "plant"):
            depth = wall_depth - draws.uniform(0.3, 0.7)
        else:
            depth = draws.uniform(1.8, max(1.9, wall_depth - 0.3))
        dx, dz = plan.look(slope)
        cx, _, cz = plan.camera.place
        x, z = cx + depth * dx, cz + depth * dz
        turn = draws.uniform(-pi, pi) if name != "box" else draws.uniform(-0.7, 0.7)
        if plan.stand(thing, x, z, turn):
            return x, z
    return None


def _loose_rug(plan: Plan) -> None:
    """Lays a rug in the middle of what the camera sees."""
    draws = plan.draws
    dx, dz = plan.look(0.0)
    cx, _, cz = plan.camera.place
    depth = draws.uniform(0.5, 0.65) * plan.wall_at(0.0)[2]
    half_x = min(draws.uniform(0.6, 1.2), plan.width / 2 - 0.4)
    x, z = cx + depth * dx, cz + depth * dz
    plan.add(
        objects.rug(draws, half_x, draws.uniform(0.5, 0.9)),
        x,
        z,
        draws.uniform(-0.2, 0.2),
    )


def _dining(plan: Plan, low: bool) -> None:
    """A table in the room, on a rug at times, with chairs at it unless it is low."""
    draws = plan.draws
    table = furniture.table(draws, low)
    for _ in range(6):
        slope = plan.slope(0.5)
        dx, dz = plan.look(slope)
        cx, _, cz = plan.camera.place
        depth = draws.uniform(0.45, 0.75) * plan.wall_at(slope)[2]
        x, z = cx + depth * dx, cz + depth * dz
        turn = draws.choice((0.0, pi / 2)) + draws.uniform(-0.12, 0.12)
        if plan.stand(table, x, z, turn, core=0.55):
            break
    else:
        return
    if draws.chance(0.45):
        rug = objects.rug(draws, table.half_width + 0.45, table.half_length + 0.5)
        plan.add(rug, x, z, turn)
    if draws.chance(0.4):
        small = objects.ball(draws) if draws.chance(0.4) else objects.box(draws, True)
        plan.add(small, x, z, draws.uniform(-1, 1), table.height)
    if low:
        return
    c, s = cos(turn), sin(turn)
    for px, pz in ((0, 1), (1, 0), (-1, 0), (0, -1)):
        if not draws.chance(0.6):
            continue
        reach = abs(px) * table.half_width + abs(pz) * table.half_length
        reach += draws.uniform(0.0, 0.3)
        wx, wz = c * px + s * pz, c * pz - s * px
        facing = atan2(wx, wz) + draws.uniform(-0.25, 0.25)
        plan.stand(furniture.chair(draws), x + reach * wx, z + reach * wz, facing)
