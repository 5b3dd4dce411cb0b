"""Near-duplicates: pictures whose perceptual hashes lie no more than a few bits apart."""

import numpy as np

MIN_QUALITY = 50  # PDQ's own advice: hashes of flatter pictures are noise
MAX_BITS = 15  # 16 bands: two hashes no more than 15 bits apart agree in at least one
_PAIRS_AT_ONCE = 2_000_000  # about 250 MB
_MAX_LAG = 50  # neighbours within a band; a placeholder uploaded ten thousand times would else make fifty million pairs


def near_duplicates(hashes: np.ndarray, quality: np.ndarray, splits: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pictures give way to a near-duplicate in another split: train to val and test, val to test.

    ``hashes`` is uint8 [N, 32], ``quality`` int [N], ``splits`` str [N]. Returns the index of the copy that stays, int64 [N], -1 for a
    picture that stays itself, and the distance in bits, int64 [N]. Of several copies the nearest is named, then the first. A picture that
    gave way makes no other give way.
    """
    keeper = np.full(len(splits), -1, dtype=np.int64)
    bits = np.zeros(len(splits), dtype=np.int64)
    matchable = quality >= MIN_QUALITY
    for giving, staying in (("val", ("test",)), ("train", ("val", "test"))):
        query = np.flatnonzero((splits == giving) & matchable)
        base = np.flatnonzero(np.isin(splits, staying) & matchable & (keeper < 0))
        nearest, distance = nearest_within(hashes[query], hashes[base], max_bits)
        hit = nearest >= 0
        keeper[query[hit]] = base[nearest[hit]]
        bits[query[hit]] = distance[hit]
    return keeper, bits


def nearest_within(query: np.ndarray, base: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``query`` (uint8 [Q, 32]) the nearest of ``base`` (uint8 [B, 32]) no more than ``max_bits`` away.

    Exact. Returns the index into base, the first of the nearest, -1 without one, and the distance; both int64 [Q].
    """
    assert 0 <= max_bits <= MAX_BITS, max_bits
    if not len(query) or not len(base):
        return np.full(len(query), -1, dtype=np.int64), np.zeros(len(query), dtype=np.int64)
    query_words, _, query_of = _distinct(query)
    base_words, base_first, _ = _distinct(base)
    best = np.full(len(query_words), np.iinfo(np.int64).max)  # distance x 2^32 + index into base: the smallest is nearest, then first
    for band in range(16):
        query_band = query_words.view(np.uint16)[:, band]
        base_band = base_words.view(np.uint16)[:, band]
        order = np.argsort(base_band, kind="stable")
        ordered = base_band[order]
        start = np.searchsorted(ordered, query_band, "left")
        count = np.searchsorted(ordered, query_band, "right") - start
        total = np.cumsum(count)
        low = 0
        while low < len(count):  # so many queries at once that their pairs fit the memory, at least one
            done = total[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, "right")))
            counts = count[low:high]
            q = np.repeat(np.arange(low, high), counts)
            within = np.arange(len(q)) - np.repeat(np.cumsum(counts) - counts, counts)
            b = order[np.repeat(start[low:high], counts) + within]
            distance = np.bitwise_count(query_words[q] ^ base_words[b]).sum(axis=1, dtype=np.int64)
            near = distance <= max_bits
            np.minimum.at(best, q[near], (distance[near] << 32) + base_first[b[near]])
            low = high
    found = best[query_of]
    hit = found < np.iinfo(np.int64).max
    return np.where(hit, found & 0xFFFFFFFF, -1), np.where(hit, found >> 32, 0)


def near_identical_pairs(hashes: np.ndarray, quality: np.ndarray, owners: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one picture uploaded twice: each picture in at most one pair of different owners and in at most one pair of one owner.

    ``hashes`` is uint8 [N, 32], ``quality`` int [N], ``owners`` str [N]; a picture too flat for its hash or of an unknown owner ("") is in no
    pair. Returns the places of both pictures, i < j, and their distance, int64 [P] each, nearest pairs first, equally near ones by place. They
    are taken in this order, so that whoever is nearest is paired and who is left over may find nobody.

    Not every pair is looked at: pictures that share a band of the hash are put in the order of their hashes and compared with the next 50
    only. Of more pictures than that in one band some near pairs can be missed; copies to the bit lie side by side.
    """
    assert 0 <= max_bits <= MAX_BITS, max_bits
    rows = np.flatnonzero((quality >= MIN_QUALITY) & (np.asarray(owners) != ""))
    words = np.ascontiguousarray(hashes[rows]).view(np.uint64)
    by_hash = np.lexsort(words.T)
    rows, words = rows[by_hash], words[by_hash]
    found = np.zeros(0, dtype=np.int64)  # i x N + j, each pair once
    for band in range(16):
        keys = words.view(np.uint16)[:, band]
        order = np.argsort(keys, kind="stable")
        keys, near = keys[order], [found]
        start = np.arange(len(order))
        for lag in range(1, _MAX_LAG + 1):
            start = start[: np.searchsorted(start, len(order) - lag)]
            start = start[keys[start] == keys[start + lag]]
            if not len(start):
                break
            a, b = order[start], order[start + lag]
            hit = np.bitwise_count(words[a] ^ words[b]).sum(axis=1, dtype=np.int64) <= max_bits
            first, second = rows[a[hit]], rows[b[hit]]
            near.append(np.minimum(first, second) * len(hashes) + np.maximum(first, second))
        found = np.unique(np.concatenate(near))
    i, j = np.divmod(found, max(1, len(hashes)))
    bits = np.bitwise_count(hashes[i] ^ hashes[j]).sum(axis=1, dtype=np.int64)
    nearest = np.lexsort((found, bits))
    i, j, bits = i[nearest], j[nearest], bits[nearest]
    paired: tuple[set[int], set[int]] = (set(), set())  # by whether the owners are the same
    taken = np.zeros(len(i), dtype=bool)
    for at, (a, b, same) in enumerate(zip(i.tolist(), j.tolist(), (owners[i] == owners[j]).tolist(), strict=True)):
        if a not in paired[same] and b not in paired[same]:
            paired[same].update((a, b))
            taken[at] = True
    return i[taken], j[taken], bits[taken]


def _distinct(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct rows as uint64 [D, 4], the first index of each, and for every row its place among them."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    distinct, first, place = np.unique(words, axis=0, return_index=True, return_inverse=True)
    return np.ascontiguousarray(distinct), first, place.reshape(-1)
