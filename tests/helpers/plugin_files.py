"""The plugin of docs/plugins.md, its task and its net, as the page has them."""

from pathlib import Path

_BLOCKS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text().split("```python\n")
TASK, NET = (
    next(block.partition("```")[0] for block in _BLOCKS if block.partition("```")[0].rstrip().endswith(end)) for end in ("Poisson}", "small}")
)
