"""Candidates that no loader can beat: the decoder alone, and copying as many bytes. Each returns a round over the whole train split."""

from pathlib import Path

import numpy as np

from benchmarks.loaders import BATCH_SIZE, CROP_PX, RoundOf


def simplejpeg_alone(root: str) -> RoundOf:
    """The limit of every reader: the decoder itself, from memory into one buffer."""
    import simplejpeg

    jpegs = jpeg_bytes(root)
    buffer = np.empty((256, 256, 3), np.uint8)

    def run() -> int:
        for jpeg in jpegs:
            simplejpeg.decode_jpeg(jpeg, "RGB", buffer=buffer)
        return len(jpegs)

    return run


def jpeg_bytes(root: str) -> list[bytes]:
    """The JPEGs of train, in the order of the shards."""
    from shards.read.shard_set import ShardSet
    from shards.read.tar_index import MappedShard

    found = []
    shard_set = ShardSet(Path(root))
    for shard in shard_set.manifest.of_split(["train"]):
        with MappedShard(shard_set.root, shard) as mapped:
            found += [bytes(mapped.member(key, "jpg")) for key in mapped.places]
    return found


def memcpy(root: str, cache: str) -> RoundOf:
    """The limit of every later pass: the bytes of a crop of each picture, in random order, picture by picture."""
    from shards.cache.decoded import decoded
    from shards.read.shard_set import ShardSet

    pixels = decoded(ShardSet(Path(root)), "train", Path(cache))
    num_bytes = CROP_PX * CROP_PX * 3
    flat = np.asarray(pixels).reshape(len(pixels), -1)[:, :num_bytes]
    out = np.empty((BATCH_SIZE, num_bytes), np.uint8)
    rng = np.random.default_rng(0)

    def run() -> int:
        order = rng.permutation(len(flat))
        starts = range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE)
        for start in starts:
            for i, row in enumerate(order[start : start + BATCH_SIZE].tolist()):
                out[i] = flat[row]
        return len(starts) * BATCH_SIZE

    return run
