"""Metadata as YFCC100M has it, made up: photos and videos, form-encoded, in both layouts."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np

CUT = 1000  # different lines of `long_table`, but for ids


@dataclass(frozen=True)
class Photo:
    """A photo or a video on Flickr."""

    id: str
    owner: str = "12345678@N00"
    views: int = 0
    favorites: int = 0
    comments: int = 0
    uploaded_at: int = 1_331_840_483  # unix seconds
    taken_at: str = "2012-03-15 10:21:03.0"
    tags: tuple[str, ...] = ()
    title: str = "a title"
    description: str = "a <b>description</b>,\tof two\nlines"
    device: str = "SONY DCR-PC110E"
    longitude: str = ""
    server: str = "7046"
    secret: str = "0a1b2c3d4e"
    licence: str = "4"
    media: str = "photo"
    jpeg: Path | None = None

    @property
    def page(self) -> str:
        return f"https://www.flickr.com/photos/{self.owner}/{self.id}/"


def line(photo: Photo, columns: int = 25, number: int = 0) -> bytes:
    """Of the metadata, with its end."""
    cells = [photo.id, photo.owner, quote_plus("a nickname"), photo.taken_at, str(photo.uploaded_at), quote_plus(photo.device)]
    cells += [quote_plus(photo.title), quote_plus(photo.description), ",".join(map(quote_plus, photo.tags)), "", photo.longitude, "", ""]
    old = f"http://farm8.staticflickr.com/{photo.server}/{photo.id}_old{photo.secret}.jpg"
    cells += [photo.page, old, "Attribution License", "http://creativecommons.org/licenses/by/2.0/", photo.server, "8", photo.secret, "ffee", "jpg"]
    cells.append("1" if photo.media == "video" else "0")
    if columns == 25:
        cells = [str(number), cells[0], "d41d8cd98f00b204e9800998ecf8427e", *cells[1:]]
    assert len(cells) == columns
    return "\t".join(cells).encode() + b"\n"


def write(path: Path, photos: Iterable[Photo], columns: int = 25) -> Path:
    path.write_bytes(b"".join(line(photo, columns, number) for number, photo in enumerate(photos)))
    return path


def planted(table: Path) -> list[Photo]:
    """Those that `peoria.data.synthetic.plant` made, as if they had been on Flickr. Where neither owners nor age were planted both can be dealt
    anew: six pictures an owner, within a fortnight, so that few pictures have many owners with neighbours in time."""
    with table.open(newline="") as file:
        return [
            Photo(
                id=str(4_000_000_000 + 7 * int(row["id"])),
                owner=f"{10_000_000 + int(row['id']) // 6}@N00",
                views=int(row["views"]),
                favorites=int(row["favorites"]),
                comments=int(row["comments"]),
                uploaded_at=1_200_000_000 + int(row["id"]) // 6 * 400_000 + int(row["id"]) % 6 * 200_000,
                tags=(*row["tags"].split(","), f"Nº {row['id']}, é"),
                server=str(5000 + int(row["id"]) % 9),
                secret=f"{int(row['id']):010x}",
                jpeg=table.parent / row["path"],
            )
            for row in csv.DictReader(file)
        ]


def others(num: int, seed: int = 0) -> list[Photo]:
    """Photos and videos without pictures, with tags in the manner of language: a few frequent, most of them once."""
    rng = np.random.default_rng(seed)
    tags = [f"tag {number}" if number % 5 else f"Ünï+{number}%" for number in range(60)]
    chosen = np.minimum(rng.zipf(1.3, (num, 4)) - 1, 10**6)
    return [
        Photo(
            id=str(5_000_000_000 + number),
            tags=tuple(tags[tag].upper() if number % 3 == 0 and tag < 60 else tags[tag] if tag < 60 else f"rare{tag}" for tag in chosen[number]),
            media="video" if number % 10 == 0 else "photo",
            longitude="-1.0" if number % 4 else "13.377000",
        )
        for number in range(num)
    ]


def plain_count(photos: Iterable[Photo]) -> Counter[str]:
    """Of how many photos each tag is, case aside."""
    counts = Counter[str]()
    for photo in photos:
        if photo.media == "photo":
            counts.update({" ".join(tag.casefold().split()) for tag in photo.tags} - {""})
    return counts


def long_table(path: Path, num: int, columns: int) -> Counter[str]:
    """Writes ``num`` lines, quickly: each has tags that others have, and one of its own. Returns the plain count of the former, of photos."""
    mark = "1111111111"
    pool = [replace(photo, id=mark, tags=(*photo.tags, f"own{mark}")) for photo in others(CUT, seed=columns)]
    lines = [line(photo, columns) for photo in pool]
    endings = [(text.partition(b"\t")[2] if columns == 25 else text).split(mark.encode()) for text in lines]
    with path.open("wb") as file:
        for start in range(0, num, CUT):
            file.writelines(
                (b"%d\t" % number if columns == 25 else b"") + (b"%d" % (6_000_000_000 + number)).join(endings[number % CUT])
                for number in range(start, min(num, start + CUT))
            )
    counts = Counter[str]()
    for place, photo in enumerate(pool):
        for tag in plain_count([replace(photo, tags=photo.tags[:-1])]):
            counts[tag] += len(range(place, num, CUT))
    return counts
