"""The floor plan of a scene while it is filled: what stands where, and what the camera sees."""

from math import atan2, cos, pi, radians, sin, tan

from uvim_fsq.data.scenes.room.draws import Draws
from uvim_fsq.data.scenes.room.parts import Camera, Part, Thing

LEFT, FAR, RIGHT = -1, 0, 1
"""The walls that can be seen."""


class Plan:
    """A room, its camera, and the things put into it so far, without overlaps."""

    def __init__(self, draws: Draws):
        self.draws = draws
        self.length = draws.uniform(3.2, 8.4)
        self.width = draws.uniform(max(3.0, 0.5 * self.length), 6.2)
        self.height = draws.uniform(2.4, 2.8)
        self.instances = ["wall", "floor", "ceiling"]
        self.parts: list[tuple[int, Part]] = []
        self.taken: list[tuple[float, float, float, float]] = []
        self.shown: list[tuple[float, float]] = []
        self.hung: list[tuple[int, float, float, float, float]] = []
        x = draws.uniform(-0.5, 0.5) * (self.width - 2.0)
        z = draws.uniform(0.25, 0.7)
        aim_x = draws.uniform(-0.33, 0.33) * self.width
        aim_z = draws.uniform(0.65, 1.0) * self.length
        turn = max(-0.6, min(0.6, atan2(aim_x - x, aim_z - z)))
        self.camera = Camera(
            (x, draws.uniform(1.25, 1.65), z),
            turn,
            radians(draws.uniform(5, 17)),
            radians(draws.uniform(52, 62)),
        )

    def look(self, slope: float) -> tuple[float, float]:
        """Direction in the floor plan of the column `slope` (0 is the picture's middle)."""
        c, s = cos(self.camera.turn), sin(self.camera.turn)
        return c * slope + s, c - s * slope

    def slope(self, reach: float = 0.85) -> float:
        """A random column of a square picture, within `reach` of its half width."""
        return self.draws.uniform(-reach, reach) * tan(self.camera.view / 2)

    def seen(self, x: float, z: float) -> tuple[float, float]:
        """Column and depth at which the camera sees a place."""
        cx, _, cz = self.camera.place
        c, s = cos(self.camera.turn), sin(self.camera.turn)
        depth = s * (x - cx) + c * (z - cz)
        return (c * (x - cx) - s * (z - cz)) / max(depth, 0.1), depth

    def wall_at(self, slope: float) -> tuple[int, float, float]:
        """The wall in column `slope`, the place along it, and its depth."""
        cx, _, cz = self.camera.place
        dx, dz = self.look(slope)
        far = (self.length - cz) / dz if dz > 1e-6 else 1e9
        side = ((self.width / 2 if dx > 0 else -self.width / 2) - cx) / (dx or 1e-9)
        if far < side:
            return FAR, cx + far * dx, far
        return (RIGHT if dx > 0 else LEFT), cz + side * dz, side

    def beside(self, wall: int, along: float, gap: float) -> tuple[float, float, float]:
        """x, z and turn of a thing whose middle is `gap` before a wall, its back towards it."""
        if wall == FAR:
            return along, self.length - gap, 0.0
        return wall * (self.width / 2 - gap), along, wall * pi / 2

    def free(self, x: float, z: float, half_x: float, half_z: float) -> bool:
        """Whether a footprint lies in the room and touches nothing, the camera included."""
        gap = 0.04
        if abs(x) + half_x > self.width / 2 - 0.01 or z + half_z > self.length - 0.01:
            return False
        cx, _, cz = self.camera.place
        if z - half_z < cz + 0.8 and abs(x - cx) - half_x < 0.8:
            return False
        for tx, tz, tw, tl in self.taken:
            if abs(x - tx) < half_x + tw + gap and abs(z - tz) < half_z + tl + gap:
                return False
        return True

    def crowded(self, slope: float, depth: float, half: float) -> bool:
        """Whether another thing covers much the same columns of the picture."""
        spread = half / max(depth, 0.5)
        return any(abs(slope - s) < 0.7 * max(spread, w) for s, w in self.shown)

    def add(self, thing: Thing, x: float, z: float, turn: float, y: float = 0.0):
        """Puts a thing into the scene as a new instance."""
        number = len(self.instances)
        self.instances.append(thing.category)
        self.parts += [(number, part) for part in thing.placed(x, z, turn, y)]

    def stand(
        self, thing: Thing, x: float, z: float, turn: float, core: float = 1.0
    ) -> bool:
        """Puts a thing on the floor if it fits and is seen; keeps `core` of its place free."""
        c, s = abs(cos(turn)), abs(sin(turn))
        half_x = c * thing.half_width + s * thing.half_length
        half_z = s * thing.half_width + c * thing.half_length
        slope, depth = self.seen(x, z)
        if depth < 1.4 or abs(slope) > 0.95 * tan(self.camera.view / 2):
            return False
        half = min(half_x, half_z)
        if not self.free(x, z, half_x, half_z) or self.crowded(slope, depth, half):
            return False
        self.taken.append((x, z, half_x * core, half_z * core))
        self.shown.append((slope, half / depth))
        self.add(thing, x, z, turn)
        return True

    def hang(self, thing: Thing, wall: int, along: float, y: float) -> bool:
        """Puts a thing on a wall at height `y` unless it meets another one or a corner."""
        half = thing.half_width + 0.08
        ends = (0.3, self.length) if wall else (-self.width / 2, self.width / 2)
        if along - half < ends[0] or along + half > ends[1]:
            return False
        if y + thing.height > self.height - 0.1:
            return False
        for other, start, stop, low, high in self.hung:
            apart = along + half < start or along - half > stop
            if other == wall and not apart and y < high and y + thing.height > low:
                return False
        self.hung.append((wall, along - half, along + half, y, y + thing.height))
        x, z, turn = self.beside(wall, along, 0.02)
        self.add(thing, x, z, turn, y)
        return True
