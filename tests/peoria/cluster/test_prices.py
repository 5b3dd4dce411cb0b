"""The border to a file of prices: what it may hold, and each thing that it may not."""

import os
from pathlib import Path

import pytest

from peoria.cluster.prices import EXAMPLE, offers, read_prices
from peoria.errors import ConfigError

GOOD = """
as_of = 2026-01-02
currency = "EUR"
[[node]]
name = "one"
gpus = 1
cpus = 4
price = 2.0
spot = 0.5
[[node]]
name = "two"
gpus = 2
cpus = 8
price = 3
speed = 2.5
"""


def test_what_is_right_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(GOOD)
    prices = read_prices(tmp_path / "p.toml")
    assert [(offer.label, offer.price) for offer in offers(prices)] == [("one spot", 0.5), ("one", 2.0), ("two", 3.0)]
    assert (prices.boot_minutes, prices.idle_minutes, prices.head) == (10, 15, 0)


def test_the_example_is_dated_and_says_whose_prices_they_are() -> None:
    assert read_prices(EXAMPLE).as_of.year >= 2026
    text = EXAMPLE.read_text()
    assert "EXAMPLE, not an offer" in text
    assert "check every line with your provider" in text


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("as_of = 2026-01-02", "as_of = 2026-13-02", "not TOML"),
        ("as_of = 2026-01-02", "as_of = ", "not TOML"),
        ("as_of = 2026-01-02\n", "", "as_of: Field required"),
        ("price = 2.0", "price = -2.0", "node.0.price: Input should be greater than or equal to 0"),
        ("price = 2.0", "price = nan", "node.0.price: Input should be a finite number"),
        ("price = 2.0", "price = inf", "node.0.price: "),
        ("price = 2.0", 'price = "cheap"', "node.0.price: Input should be a valid number"),
        ("price = 2.0\n", "", "node.0.price: Field required"),
        ("spot = 0.5", "spot = -0.5", "node.0.spot: "),
        ("speed = 2.5", "speed = 0", "node.1.speed: "),
        ("gpus = 2", "gpus = 1.5", "node.1.gpus: "),
        ("cpus = 8", "cpus = 0", "node.1.cpus: "),
        ('name = "two"', 'name = "one"', "one twice; each type once"),
        ('name = "two"', 'name = "a\\u001bb"', "node.1.name: "),
        ('currency = "EUR"', 'currency = "euro"', "currency: "),
        ("speed = 2.5", "discount = 2.5", "node.1.discount: Extra inputs are not permitted"),
        ("as_of = 2026-01-02", "as_of = 2026-01-02\nboot_minutes = -1", "boot_minutes: "),
    ],
)
def test_what_is_wrong_is_said_by_its_field(tmp_path: Path, was: str, now: str, said: str) -> None:
    assert was in GOOD
    (tmp_path / "p.toml").write_text(GOOD.replace(was, now, 1) if "twice" not in said else GOOD.replace(was, now))
    with pytest.raises(ConfigError) as refused:
        read_prices(tmp_path / "p.toml")
    assert said in str(refused.value)
    assert str(tmp_path / "p.toml") in str(refused.value)
    assert str(EXAMPLE) in str(refused.value)  # the hint


def test_what_is_no_file_of_prices(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long").write_bytes(b"#" * (2 << 20))
    (tmp_path / "deep").write_text("a = " + "[" * 5000)
    (tmp_path / "empty").touch()
    (tmp_path / "none").write_text('as_of = 2026-01-02\ncurrency = "EUR"\nnode = []\n')
    for name in ("gone", ".", "bytes", "long", "deep", "empty", "none"):
        with pytest.raises(ConfigError, match="a file of prices"):
            read_prices(tmp_path / name)
    if os.geteuid() != 0:
        (tmp_path / "bytes").chmod(0)
        with pytest.raises(ConfigError, match="Permission denied"):
            read_prices(tmp_path / "bytes")


def test_what_the_nodes_of_a_cluster_cost_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the provider's name of each type; where one has no price there is no number."""
    from peoria.cluster.prices import an_hour
    from peoria.sweep.outlook import Node, NodeType, Outlook

    path = tmp_path / "own.toml"
    text = 'as_of = 2026-01-02\ncurrency = "EUR"\nhead = 0.5\n'
    path.write_text(text + '[[node]]\nname = "g6.2xlarge"\ngpus = 1\ncpus = 8\nprice = 2.0\nspot = 0.75\n')
    monkeypatch.setenv("PEORIA_PRICES", str(path))
    kinds = (NodeType(name="l4", most=8, gpus=1, instance="g6.2xlarge", spot=True), NodeType(name="od", most=8, gpus=1, instance="g6.2xlarge"))
    nodes = tuple(Node(name=str(at), id=str(at), gpus=1, type=kind) for at, kind in enumerate(("l4", "l4", "od")))
    head = Node(name="head", id="head")
    assert an_hour(Outlook(address="a", nodes=(head, *nodes), types=kinds)) == (4.0, "EUR", "own.toml of 2026-01-02")
    unknown = Node(name="x", id="x", gpus=1, type="other")
    assert an_hour(Outlook(address="a", nodes=(*nodes, unknown), types=kinds)) is None
    assert an_hour(Outlook(address="a")) is None
