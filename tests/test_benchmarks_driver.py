"""The benchmark of the driver: it runs whole, small, with each storage, and its sums are right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import driver
from benchmarks.driver import EVENTS, REPORTS, Row, main, measure, ratios, saturates, shares, table
from tests.helpers.postgres import Postgres


def test_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measure(tmp_path, 30, (2, 8), steps=20, rounds=2, databases=None)
    assert [(row.storage, row.trials, row.concurrent) for row in rows] == [("journal", 30, 2), ("journal", 30, 8)]
    assert all(row.ms[event] > 0 for row in rows for event in EVENTS)
    assert len(table(rows).splitlines()) == 4
    main(["--trials", "10", "20", "--concurrent", "2", "--database-trials", "--steps", "30", "--rounds", "1", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "idle pass, journal, 20 trials against 10: " in said
    assert "first to saturate: " in said
    assert (tmp_path / "out").read_text().count('"journal"') == 2


def test_with_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    made = iter(range(9))
    databases: Callable[[], str] = lambda: postgres.make(f"driver_{next(made)}")  # noqa: E731
    (row,) = measure(tmp_path, 12, (2,), steps=20, rounds=1, databases=databases)
    assert row.storage == "PostgreSQL"
    assert row.ms["suggest"] > 0


def made(trials: int, concurrent: int, **ms: float) -> Row:
    return Row("journal", trials, concurrent, dict.fromkeys(EVENTS, 1.0) | ms)


def test_ratios_are_side_by_side() -> None:
    rows = [made(1000, 10), made(1000, 1000, report=1.4, suggest=2.5), made(10_000, 10), made(10_000, 1000, **{"idle pass": 3.0})]
    found = {text: (value, limit) for text, value, limit in ratios(rows)}
    assert found["report, journal, 1,000 trials, 1,000 concurrent against 10"] == (1.4, 1.5)
    assert found["suggest, journal, 1,000 trials, 1,000 concurrent against 10"] == (2.5, 2.0)
    assert found["idle pass, journal, 10,000 trials against 1,000"][1] == 1.5
    assert not ratios([made(100, 10), made(100, 1000)])  # a sweep of 100 trials never has 1,000 at a time


def test_what_saturates_first_is_what_takes_most_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    row = made(1000, 1000, suggest=20.0)
    found = shares(row, nodes=600)  # one trial a second
    assert found["suggest"] == pytest.approx(0.02)
    assert found["report"] == pytest.approx(0.001 * (REPORTS - 1))
    assert "first to saturate: suggest" in saturates(row)
    assert "first to saturate: report" in saturates(made(1000, 1000, report=20.0))


def test_without_a_server_that_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.helpers.postgres.programs", lambda: pytest.skip("no PostgreSQL server"))
    with driver.postgres() as databases:
        assert databases is None
    assert "PostgreSQL: not measured: no PostgreSQL server" in capsys.readouterr().out
