"""Pictures with a planted popularity: a world in which the answer to the study's question is known.

The log of a picture's views is a weighted sum of six standard quantities: two are drawn in the picture, the other four are not.

- colour: hue, saturation and brightness of the whole scene; the mean and spread of H, S and V give it away.
- arrangement: how high the bright, checked subject stands in the frame. All else in the picture is as likely upside down, so whatever does
  not know up from down (a histogram, contrast, a count of edges) has no correlation with it; it survives a mirror and a crop.
- owner, age, noise: fame, time on line, and luck with a heavy tail; invisible, unless ``owner_look`` or ``age_look`` lets the colour follow
  fame or age. Then the picture tells of views without being their cause, which is the trap that a pooled correlation falls into.
"""

import csv
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import numpy as np

from peoria.errors import PeoriaError
from peoria.stats.metrics import spearman


class Weights(TypedDict, total=False):
    """Arguments of `plant`."""

    colour: float
    arrangement: float
    owner: float
    age: float
    noise: float
    owner_look: float
    age_look: float


# of each named data set: the log-views' standard deviation is 1.3 in each, which gives about the spread of the paper's Table 1
EFFECT_WEIGHTS: dict[str, Weights] = {
    "both": {"colour": 0.65, "arrangement": 0.65, "owner": 0.55, "age": 0.3, "noise": 0.7},
    "colour": {"colour": 0.92, "arrangement": 0.0, "owner": 0.55, "age": 0.3, "noise": 0.7},
    "arrangement": {"colour": 0.0, "arrangement": 0.92, "owner": 0.55, "age": 0.3, "noise": 0.7},
    "owner": {"colour": 0.0, "arrangement": 0.0, "owner": 0.75, "age": 0.3, "noise": 1.0, "owner_look": 0.5},
    "age": {"colour": 0.0, "arrangement": 0.0, "owner": 0.0, "age": 0.75, "noise": 1.05, "age_look": 0.5},
    "none": {"colour": 0.0, "arrangement": 0.0, "owner": 0.55, "age": 0.3, "noise": 1.14},
}
SIZES_PX = ((320, 256), (384, 288), (288, 384), (256, 320), (288, 288), (360, 270))  # width, height
MEAN_VIEWS = 146.4  # the paper's Table 1
SHARE_FAVORITES = 0.109  # pictures with at least one
SHARE_COMMENTS = 0.1
TABLE_STREAM, PICTURES_STREAM = 1, 2
OBSERVED_AT = datetime(2015, 1, 1, tzinfo=UTC)
YOUNGEST_DAYS, OLDEST_DAYS = 7, 3 * 365
TAGS = ("beach", "bird", "california", "city", "family", "flower", "friends", "garden", "italy", "japan", "lake", "london", "music", "night")


@dataclass(frozen=True)
class Planted:
    """What was made, and how much of it a perfect reader of the pictures could tell."""

    table: Path  # metadata.csv; its paths are relative to its folder
    num_pictures: int
    num_owners: int
    oracle_rho: float  # Spearman(colour·z_c + arrangement·z_a, views); 0.0 where nothing is planted in the pictures
    colour_rho: float  # Spearman(z_c, views): also fame or age that shows in the colours
    arrangement_rho: float
    mean_views: float
    share_favorites: float


def plant(
    out: Path,
    *,
    num_pictures: int = 3000,
    colour: float = EFFECT_WEIGHTS["both"]["colour"],
    arrangement: float = EFFECT_WEIGHTS["both"]["arrangement"],
    owner: float = EFFECT_WEIGHTS["both"]["owner"],
    age: float = EFFECT_WEIGHTS["both"]["age"],
    noise: float = EFFECT_WEIGHTS["both"]["noise"],
    owner_look: float = 0.0,
    age_look: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Planted:
    """Writes ``out/images/*.jpg``, ``out/plant.json`` and, last, ``out/metadata.csv``; one seed gives the same bytes.

    ``owner_look`` and ``age_look`` (0 to 1, squares summing to at most 1) are the correlations of a picture's colour with its owner's fame
    and with its age.
    ``progress`` is told (pictures drawn, pictures in all). Raises PeoriaError.
    """
    weights = {"colour": colour, "arrangement": arrangement, "owner": owner, "age": age, "noise": noise}
    looks = {"owner_look": owner_look, "age_look": age_look}
    problems = [f"{name}: {value}; a finite number of at least 0" for name, value in weights.items() if not (math.isfinite(value) and value >= 0)]
    problems += [f"{name}: {value}; a number from 0 to 1" for name, value in looks.items() if not 0 <= value <= 1]
    if not problems and math.hypot(*looks.values()) > 1:
        problems.append(f"owner_look, age_look: {owner_look}, {age_look}; squares that sum to at most 1")
    if num_pictures < 1:
        problems.append(f"num_pictures: {num_pictures}; at least 1")
    if problems:
        raise PeoriaError(*problems)

    rng = np.random.default_rng([seed, TABLE_STREAM])
    owners, days = _owners_and_days(rng, num_pictures)
    z_owner = rng.standard_normal(owners.max() + 1)[owners]
    z_age = (days - (YOUNGEST_DAYS + OLDEST_DAYS) / 2) / ((OLDEST_DAYS - YOUNGEST_DAYS) / math.sqrt(12))
    own_look = math.sqrt(max(0.0, 1 - owner_look**2 - age_look**2))
    z_colour = owner_look * z_owner + age_look * z_age + own_look * rng.standard_normal(num_pictures)
    z_arrangement = rng.standard_normal(num_pictures)
    oracle = colour * z_colour + arrangement * z_arrangement
    log_views = oracle + owner * z_owner + age * z_age + noise * _luck(rng, num_pictures)
    log_views += math.log(MEAN_VIEWS + 0.5) - math.log(np.exp(log_views).mean())  # + 0.5 for the floor
    views = np.floor(np.exp(log_views)).astype(np.int64)
    favorites, comments = _sparse_counts(rng, log_views)

    (out / "images").mkdir(parents=True, exist_ok=True)
    for picture in range(num_pictures):
        jpeg = render(z_colour[picture], z_arrangement[picture], np.random.default_rng([seed, PICTURES_STREAM, picture]))
        (out / f"images/{picture:06d}.jpg").write_bytes(jpeg)
        if progress:
            progress(picture + 1, num_pictures)
    planted = Planted(
        table=out / "metadata.csv",
        num_pictures=num_pictures,
        num_owners=len(np.unique(owners)),
        oracle_rho=spearman(oracle, views),
        colour_rho=spearman(z_colour, views),
        arrangement_rho=spearman(z_arrangement, views),
        mean_views=float(views.mean()),
        share_favorites=float((favorites > 0).mean()),
    )
    found = {name: value for name, value in asdict(planted).items() if name != "table"}
    parameters = {"num_pictures": num_pictures, "seed": seed, **weights, **looks}
    text = json.dumps({"parameters": parameters, "planted": found}, sort_keys=True, indent=1, allow_nan=False)
    _write(out / "plant.json", text + "\n")
    _write(planted.table, _csv(rng, views, favorites, comments, owners, days, z_colour, z_arrangement, oracle))
    return planted


def render(z_colour: float, z_arrangement: float, rng: np.random.Generator) -> bytes:
    """One picture as JPEG of one of SIZES_PX; ``rng`` draws all that is neither colour nor arrangement."""
    import cv2

    width, height = SIZES_PX[rng.integers(len(SIZES_PX))]
    side = min(width, height)  # packing keeps the central square, so the subject stands there
    hue, saturation, value = _backdrop(np.clip(z_colour, -2.4, 2.4), width, height, rng)
    if rng.random() < 0.5:
        hue, saturation, value = (np.ascontiguousarray(plane[::-1]) for plane in (hue, saturation, value))

    # the normal distribution function spreads the subject evenly over the middle 60 % of the square
    y = height / 2 + side * 0.6 * (0.5 * math.erf(z_arrangement / math.sqrt(2)))
    x = width / 2 + side * rng.uniform(-0.33, 0.33)
    radius = side * rng.uniform(0.115, 0.135)
    angle, stretch, cell = rng.uniform(0, math.pi), rng.uniform(0.8, 1.25), radius / rng.uniform(2.0, 3.0)
    reach = int(1.4 * radius)
    left, top = max(0, int(x) - reach), max(0, int(y) - reach)
    window = (slice(top, int(y) + reach), slice(left, int(x) + reach))
    columns, rows = np.meshgrid(np.arange(width)[window[1]] - x, np.arange(height)[window[0]] - y)
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    inside = (along / stretch) ** 2 + (across * stretch) ** 2 < radius**2
    checks = (np.floor(along / cell) + np.floor(across / cell)) % 2 < 1
    value[window][inside] = np.where(checks, 250, 190)[inside]
    saturation[window][inside] = 25

    hue = np.clip(hue, 0, 179)
    planes = cv2.merge([cv2.convertScaleAbs(np.maximum(plane, 0)) for plane in (hue, saturation, value)])  # 255 at most
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(planes, cv2.COLOR_HSV2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    return jpeg.tobytes()


def _backdrop(z: float, width: int, height: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue (0-179), saturation and value (0-255) as float32 [height, width]: a graded scene with clouds and darker things in it."""
    import cv2

    small = (width // 4, height // 4)  # smooth things need no more

    def clouds(cells: int) -> np.ndarray:
        return cv2.resize(rng.standard_normal((cells, cells), dtype=np.float32), small, interpolation=cv2.INTER_CUBIC)

    def full(plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)

    columns, rows = np.meshgrid(np.linspace(-1, 1, small[0]), np.linspace(-1, 1, small[1]))
    angle = rng.uniform(0, 2 * math.pi)
    slope = columns * math.cos(angle) + rows * math.sin(angle)
    hue = full(70 - 21 * z + 5 * rng.standard_normal() + 7 * clouds(4) + 6 * slope)
    saturation = full(125 + 28 * z + 12 * rng.standard_normal() + 14 * clouds(5))
    value = full(112 + 12 * z + 10 * rng.standard_normal() + 22 * slope + 13 * clouds(4) + 8 * clouds(9))
    shade, turn = np.ones_like(value), np.zeros_like(hue)
    for _ in range(rng.integers(4, 10)):
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        size, tint = rng.uniform(12, 55), (rng.uniform(0.5, 1.15), rng.normal(0, 12))
        turns = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 8)))
        corners = (centre + size * np.column_stack([np.cos(turns), np.sin(turns)])).round().astype(np.int32)
        round_one, tilt, axes = rng.random() < 0.5, rng.uniform(0, 180), (int(size), int(size * rng.uniform(0.3, 1)))
        for plane, paint in zip((shade, turn), tint, strict=True):
            if round_one:
                cv2.ellipse(plane, (int(centre[0]), int(centre[1])), axes, tilt, 0, 360, (paint,), -1)
            else:
                cv2.fillPoly(plane, [corners], (paint,))
    value *= shade
    value += 5 * rng.standard_normal(value.shape, dtype=np.float32)  # grain
    hue += turn
    return hue, saturation, value


def _owners_and_days(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """For each picture its owner (index) and its age in days. Few owners hold many pictures; they upload albums of about five within a week."""
    num_owners = max(2, num // 10)
    share = 1 / (rng.permutation(num_owners) + 30.0)
    owners = rng.choice(num_owners, size=num, p=share / share.sum())
    num_albums = np.ceil(np.bincount(owners, minlength=num_owners) / 5).astype(int)
    album_days = rng.uniform(YOUNGEST_DAYS + 4, OLDEST_DAYS - 4, size=(num_owners, num_albums.max()))
    albums = (rng.random(num) * num_albums[owners]).astype(int)
    return owners, album_days[owners, albums] + rng.uniform(-3.5, 3.5, num)


def _luck(rng: np.random.Generator, num: int) -> np.ndarray:
    """Zero mean, unit variance; its exponential tail is a power law (exponent about 2.5 at a weight of 0.7) in the views."""
    scale = 0.6
    return math.sqrt(1 - scale**2) * rng.standard_normal(num) + scale * (rng.exponential(size=num) - 1)


def _sparse_counts(rng: np.random.Generator, log_views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Favourites and comments, negative binomial; both rise with what drives the views and with a liking that they share."""
    quality = (log_views - log_views.mean()) / max(log_views.std(), 1e-9)
    liking = rng.standard_normal(len(quality))
    favorites = _counts(rng, 1.4 * quality + 0.9 * liking, SHARE_FAVORITES)
    comments = _counts(rng, 0.9 * quality + 1.2 * liking + 0.3 * rng.standard_normal(len(quality)), SHARE_COMMENTS)
    return favorites, comments


def _counts(rng: np.random.Generator, log_rate: np.ndarray, share: float, spread: float = 0.4) -> np.ndarray:
    """Draws so that ``share`` of the counts is expected to be at least 1."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        expected = 1 - (1 + np.exp(log_rate + middle) / spread) ** -spread
        low, high = (middle, high) if expected.mean() < share else (low, middle)
    return rng.poisson(np.exp(log_rate + low) * rng.gamma(spread, 1 / spread, len(log_rate)))


def _csv(
    rng: np.random.Generator,
    views: np.ndarray,
    favorites: np.ndarray,
    comments: np.ndarray,
    owners: np.ndarray,
    days: np.ndarray,
    z_colour: np.ndarray,
    z_arrangement: np.ndarray,
    oracle: np.ndarray,
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = "id path views favorites comments owner uploaded_at observed_at tags planted_colour planted_arrangement oracle"
    writer.writerow(names.split())
    for i in range(len(views)):
        uploaded = OBSERVED_AT - timedelta(seconds=round(float(days[i]) * 86400))
        tags = ",".join(sorted(rng.choice(TAGS, size=rng.integers(1, 4), replace=False)))
        planted = (f"{value:.6f}" for value in (z_colour[i], z_arrangement[i], oracle[i]))
        dates = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (uploaded, OBSERVED_AT))
        writer.writerow([i, f"images/{i:06d}.jpg", views[i], favorites[i], comments[i], f"owner{owners[i]:04d}", *dates, tags, *planted])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, path)
