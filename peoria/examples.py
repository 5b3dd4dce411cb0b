"""Examples in the help of each command, and how they stand there."""

import argparse
import textwrap
from typing import Any

from peoria.aloud import WIDTH

EXAMPLES: dict[str, tuple[str, ...]] = {
    "pack": (
        "peoria pack photos/metadata.csv --out data/shards/photos",
        "peoria pack photos.tsv --column views=stats_views --pictures photos/",
    ),
    "flickr": ("peoria flickr sample yfcc100m_dataset --sample 10000 --out photos.parquet",),
    "flickr sample": ("peoria flickr sample yfcc100m_dataset --sample 10000 --out photos.parquet",),
    "flickr counts": ("peoria flickr counts photos.parquet --dry-run", "peoria flickr counts photos.parquet --out counts.parquet"),
    "verify": ("peoria verify data/shards/photos",),
    "describe": ("peoria describe data/shards/photos", "peoria describe s3://bucket/shards/photos --out tables"),
    "ledger": ("peoria ledger data/shards/photos", "peoria ledger data/shards/photos --reason owner_cap --limit 20"),
    "recount": (
        "peoria recount data/shards/photos counts.csv",
        "peoria recount data/shards/photos counts.csv --column views=num_views",
    ),
    "add": ("peoria add data/shards/photos new/metadata.csv",),
    "remove": ("peoria remove data/shards/photos 123456789", "peoria remove data/shards/photos --owner ann --forget"),
    "compact": ("peoria compact data/shards/photos",),
    "sweep": (
        "peoria sweep sweeps/paper.py --shards data/shards/photos",
        "peoria sweep sweeps/demo.py --trials 5 --hours 2 --on-end 'notify-send peoria'",
        "peoria sweep sweeps/demo.py --control shuffle --plain",
    ),
    "plan": ("peoria plan sweeps/paper.py --shards data/shards/photos --max-money 50",),
    "rehearse": ("peoria rehearse sweeps/demo.py --nodes 2 --kill 1",),
    "submit": ("peoria submit sweeps/demo.py --cluster ray_cluster.yaml --home s3://bucket/peoria --shards s3://bucket/shards/photos",),
    "status": ("peoria status", "peoria status demo", "peoria status demo --json"),
    "list": ("peoria list", "peoria list --home s3://bucket/peoria --json"),
    "report": ("peoria report demo", "peoria report demo --all"),
    "predict": ("peoria predict demo new/*.jpg", "peoria predict demo photos/ --out scores.parquet", "peoria predict demo a.jpg --explain moved"),
    "ui": ("peoria ui", "peoria ui demo", "peoria ui demo --port 5000 --no-open"),
    "register": ("peoria register demo",),
    "export": ("peoria export demo --out model",),
    "check": ("peoria check demo", "peoria check demo --repair"),
    "cache": ("peoria cache", "peoria cache --clear"),
    "plant": ("peoria plant made-up --pictures 600 --plant colour",),
    "cluster": ("peoria cluster check ray_cluster.yaml",),
    "cluster check": ("peoria cluster check ray_cluster.yaml",),
    "doctor": ("peoria doctor", "peoria doctor --home s3://bucket/peoria --json"),
    "completion": ("peoria completion bash > ~/.local/share/bash-completion/completions/peoria", "peoria completion zsh > ~/.zfunc/_peoria"),
    "demo": ("peoria demo", "peoria demo --home /tmp/peoria"),
}
_FIRST = "examples:"


class Help(argparse.HelpFormatter):
    """Examples stay a line each."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_FIRST) else super()._fill_text(text, width, indent)


def _in_lines(example: str) -> str:
    """As a shell reads it too, where it is longer than a line of 80."""
    if len(example) <= WIDTH - 2:
        return example
    return " \\\n      ".join(textwrap.wrap(example, WIDTH - 8, break_long_words=False, break_on_hyphens=False))


def commands_of(parser: argparse.ArgumentParser, before: str = "") -> dict[str, argparse.ArgumentParser]:
    """Every command with its parser, those of `peoria cluster` as ``cluster check``."""
    found: dict[str, Any] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found |= {f"{before}{name}": command, **commands_of(command, f"{before}{name} ")}
    return found


def add_examples(parser: argparse.ArgumentParser) -> None:
    """To the help of each command that has none of its own."""
    for name, command in commands_of(parser).items():
        if command.epilog is None and name in EXAMPLES:
            command.epilog = "\n  ".join([_FIRST, *(_in_lines(line).replace("%", "%%") for line in EXAMPLES[name])])
            command.formatter_class = Help
