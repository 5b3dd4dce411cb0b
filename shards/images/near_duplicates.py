"""Near-duplicates: pictures whose perceptual hashes lie no more than a few bits apart."""

import numpy as np

MIN_QUALITY = 50  # PDQ's own advice: hashes of flatter pictures are noise
MAX_BITS = 15
_NUM_BANDS = 16
_PAIRS_AT_ONCE = 1_000_000  # about 60 MB
_MOST_OF_A_BAND = 500  # of base that a query is compared with; 25 million pictures of their own make buckets of so many
_MAX_LAG = 50  # neighbours within a band, and near ones of a picture; a placeholder uploaded ten thousand times would else make fifty million pairs


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

    Returns the index into base, the first of the nearest, -1 without one, and the distance; both int64 [Q]. Exact, where a sixteenth of the hash
    (a band) is shared by no more than 500 different hashes of base; of more, as many variants of one picture make, a query is compared with the 500
    next to it in the order of the hashes, so that one that is near may be named and not the nearest.

    Of 15 bits that differ no more than one lies in some eighth of the hash. So that eighth has one half, a band, that is equal, and another with at
    most one bit; who differs by d bits is seen in one of any d // 2 + 1 eighths.
    """
    assert 0 <= max_bits <= MAX_BITS, max_bits
    if not len(query) or not len(base):
        return np.full(len(query), -1, dtype=np.int64), np.zeros(len(query), dtype=np.int64)
    query_words, _, query_of = _distinct(query)
    base_words, base_first, _ = _distinct(base)
    best = np.full(len(query_words), np.iinfo(np.int64).max)  # distance x 2^32 + index into base: the smallest is nearest, then first
    before: np.ndarray | None = None
    sought = np.arange(len(query_words))
    for band in range(_NUM_BANDS):
        values = base_words.view(np.uint16)[:, band].astype(np.int64)
        order = np.argsort(values, kind="stable")  # within a value by the whole hash, as base_words are
        starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=2**16))])
        wanted = query_words[sought].view(np.uint16)[:, band].astype(np.int64)
        low, count = starts[wanted], starts[wanted + 1] - starts[wanted]
        crowded = count > _MOST_OF_A_BAND
        if crowded.any():
            before = _num_before(query_words, base_words) if before is None else before
            place = np.searchsorted(values[order] << 32 | order, wanted[crowded] << 32 | before[sought[crowded]])
            last = low[crowded] + count[crowded] - _MOST_OF_A_BAND
            low[crowded] = np.clip(place - _MOST_OF_A_BAND // 2, low[crowded], last)
            count[crowded] = _MOST_OF_A_BAND
        _compare(sought, query_words, order, low, count, base_words, base_first, best, band, max_bits)
        if band % 2:  # both halves of an eighth: whoever is nearer than this would have been seen
            sought = sought[best[sought] >> 32 >= band + 1]
    found = best[query_of]
    hit = found < np.iinfo(np.int64).max
    return np.where(hit, found & 0xFFFFFFFF, -1), np.where(hit, found >> 32, 0)


def _compare(
    sought: np.ndarray,
    query_words: np.ndarray,
    order: np.ndarray,
    low: np.ndarray,
    count: np.ndarray,
    base_words: np.ndarray,
    base_first: np.ndarray,
    best: np.ndarray,
    band: int,
    max_bits: int,
) -> None:
    """Compares query ``sought[k]`` with ``order[low[k] : low[k] + count[k]]`` of base, and enters into ``best`` what is near."""
    total = np.cumsum(count)
    at = 0
    while at < len(count):  # so many queries at once that their pairs fit the memory, at least one
        done = total[at - 1] if at else 0
        to = max(at + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, "right")))
        counts = count[at:to]
        q = np.repeat(sought[at:to], counts)
        b = order[np.arange(len(q)) + np.repeat(low[at:to] - (np.cumsum(counts) - counts), counts)]
        alike = _other_half_alike(query_words, q, base_words, b, band)
        q, b = q[alike], b[alike]
        distance = _differing(query_words[q], base_words[b])
        near = distance <= max_bits
        np.minimum.at(best, q[near], (distance[near] << 32) + base_first[b[near]])
        at = to


def _num_before(query_words: np.ndarray, base_words: np.ndarray) -> np.ndarray:
    """How many of base, uint64 [B, 4], come before each of query in the order of the hashes: int64 [Q]."""
    order = np.lexsort(np.concatenate([base_words, query_words]).T[::-1])
    is_base = order < len(base_words)
    before = np.empty(len(query_words), np.int64)
    before[order[~is_base] - len(base_words)] = np.cumsum(is_base)[~is_base]
    return before


def _other_half_alike(words: np.ndarray, i: np.ndarray, others: np.ndarray, j: np.ndarray, band: int) -> np.ndarray:
    """Whether the other half of the band's eighth differs by one bit at most: bool. Two bytes a picture; of strangers 1 in 3,855 passes."""
    one, other = words.view(np.uint16)[:, band ^ 1], others.view(np.uint16)[:, band ^ 1]
    alike: np.ndarray = np.bitwise_count(one[i] ^ other[j]) <= 1
    return alike


def _differing(words: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bits that differ of uint64 [N, 4], int64 [N]."""
    bits: np.ndarray = np.bitwise_count(words ^ others).sum(axis=1, dtype=np.int64)
    return bits


def near_identical_pairs(hashes: np.ndarray, quality: np.ndarray, owners: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one picture uploaded twice: each picture in at most one pair of different owners and in at most one pair of one owner.

    ``hashes`` is uint8 [N, 32], ``quality`` int [N], ``owners`` str [N]; a picture too flat for its hash or of an unknown owner ("") is in no
    pair. Returns the places of both pictures, i < j, and their distance, int64 [P] each, nearest pairs first, equally near ones by place. They
    are taken in this order, so that whoever is nearest is paired and who is left over may find nobody.

    Not every pair is looked at: pictures that share a band of the hash are put in the order of their hashes and compared with the next 50 only,
    and of a picture's near ones the 50 nearest of each kind count. Of more pictures than that in one band some near pairs can be missed; copies
    to the bit lie side by side.
    """
    assert 0 <= max_bits <= MAX_BITS, max_bits
    rows = np.flatnonzero((quality >= MIN_QUALITY) & (np.asarray(owners) != ""))
    words = np.ascontiguousarray(hashes[rows]).view(np.uint64)
    by_hash = np.lexsort(words.T)
    rows, words = rows[by_hash], np.ascontiguousarray(words[by_hash])
    numbers: dict[str, int] = {}
    found = _Pairs(np.fromiter((numbers.setdefault(owner, len(numbers)) for owner in owners), np.int64, len(owners)))
    for band in range(_NUM_BANDS):
        order = np.argsort(words.view(np.uint16)[:, band], kind="stable")
        keys = words.view(np.uint16)[order, band]
        start = np.arange(len(order))
        for lag in range(1, _MAX_LAG + 1):
            start = start[: np.searchsorted(start, len(order) - lag)]
            start = start[keys[start] == keys[start + lag]]
            if not len(start):
                break
            a, b = order[start], order[start + lag]
            alike = _other_half_alike(words, a, words, b, band)
            a, b = a[alike], b[alike]
            distance = _differing(words[a], words[b])
            hit = distance <= max_bits
            found.add(rows[a[hit]], rows[b[hit]], distance[hit])
        found.settle()
    i, j, bits, of_one = found.i, found.j, found.bits, found.of_one
    paired: tuple[set[int], set[int]] = (set(), set())  # by whether the owners are the same
    taken = np.zeros(len(i), dtype=bool)
    for at, (a, b, same) in enumerate(zip(i.tolist(), j.tolist(), of_one.tolist(), strict=True)):
        if a not in paired[same] and b not in paired[same]:
            paired[same].update((a, b))
            taken[at] = True
    return i[taken], j[taken], bits[taken]


class _Pairs:
    """Pairs of N pictures, nearest first, each once; of each picture, of one owner and of two, all that are among the `_MAX_LAG` nearest of it or of
    the other one."""

    def __init__(self, owners: np.ndarray) -> None:
        self._owners = owners  # int64 [N]
        self._num = max(1, len(owners))
        self._sorted = np.zeros(0, np.int64)  # bits x N x N + i x N + j
        self._new: list[np.ndarray] = []

    def add(self, first: np.ndarray, second: np.ndarray, bits: np.ndarray) -> None:
        low, high = np.minimum(first, second), np.maximum(first, second)
        self._new.append((bits * self._num + low) * self._num + high)
        if sum(map(len, self._new)) > _PAIRS_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        found = np.sort(np.concatenate([self._sorted, *self._new]))
        self._sorted, self._new = found[np.flatnonzero(np.diff(found, prepend=-1))], []
        ends = (2 * np.stack([self.i, self.j], axis=1) + self.of_one[:, None]).reshape(-1)
        if not len(ends) or np.bincount(ends).max() <= _MAX_LAG:
            return
        by_picture = np.argsort(ends, kind="stable")
        grouped = ends[by_picture]
        place = np.empty(len(ends), np.int64)  # of a pair among those of a picture and kind
        place[by_picture] = np.arange(len(ends)) - np.searchsorted(grouped, grouped)
        self._sorted = self._sorted[place.reshape(-1, 2).min(axis=1) < _MAX_LAG]

    @property
    def i(self) -> np.ndarray:
        return self._sorted // self._num % self._num

    @property
    def j(self) -> np.ndarray:
        return self._sorted % self._num

    @property
    def bits(self) -> np.ndarray:
        return self._sorted // (self._num * self._num)

    @property
    def of_one(self) -> np.ndarray:
        """Whether a pair is one owner's: bool."""
        same: np.ndarray = self._owners[self.i] == self._owners[self.j]
        return same


def _distinct(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct rows as uint64 [D, 4], the first index of each, and for every row its place among them."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    distinct, first, place = np.unique(words, axis=0, return_index=True, return_inverse=True)
    return np.ascontiguousarray(distinct), first, place.reshape(-1)
