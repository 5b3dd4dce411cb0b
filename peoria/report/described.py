"""A packed set in tables: what a notebook shows of `shards.inspection.describe`."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.inspection.describe import render_text, write_description
from shards.read.shard_set import ShardSet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Described:
    """What a packed set holds; shown as the lines of `peoria describe`. No row of it: sums alone, over test too."""

    found: dict[str, Any]
    """As `shards.inspection.describe.describe` says, and as ``describe.json`` keeps it."""
    shard_set: ShardSet

    @property
    def splits(self) -> "pd.DataFrame":
        """A row a split, and ``total``: pictures, share, owners, pictures of unknown owners, share of the largest owner."""
        import pandas as pd

        names = ("num_pictures", "share", "num_owners", "num_unknown_owners", "largest_owner_share")
        return pd.DataFrame.from_dict({split: {name: part[name] for name in names} for split, part in self.found["parts"].items()}, orient="index")

    @property
    def counts(self) -> "pd.DataFrame":
        """A row by (split, count): mean, sd, max, share of zeros (the paper's Table 1)."""
        import pandas as pd

        rows = {(split, count): row for split, part in self.found["parts"].items() for count, row in part["counts"].items()}
        return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=["split", "count"]))

    @property
    def left_out(self) -> "pd.Series[int]":
        """Rows of the table that are not in the set, by reason."""
        import pandas as pd

        return pd.Series(self.found["rejected"], name="rows", dtype="int64")

    def write(self, out: str | Path) -> list[Path]:
        """Writes describe.txt, .json and .png (the paper's Figure 2) into a folder."""
        return write_description(self.shard_set, self.found, Path(out))

    def __repr__(self) -> str:
        return render_text(self.found)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"
