"""Addresses of databases, and what their errors mean."""

import pytest

from peoria.databases import address, shown


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL", "postgresql+psycopg"])
def test_an_address_gets_the_driver_that_the_extra_installs(scheme: str) -> None:
    found = address(f"{scheme}://me:p%40ss%2F@db.example:5433/name?sslmode=require")
    assert found.startswith("postgresql+psycopg://me:p%40ss%2F@db.example:5433/name?")
    assert "sslmode=require" in found
    assert "connect_timeout=10" in found


def test_what_the_address_says_itself_is_kept() -> None:
    assert "connect_timeout=3" in address("postgresql://h/d?connect_timeout=3")
    assert "connect_timeout=10" not in address("postgresql://h/d?connect_timeout=3")


@pytest.mark.parametrize(
    "url", ["sqlite:////tmp/a@b.db", "mysql+pymysql://u:p@h/d", "http://127.0.0.1:5000", "postgresql+psycopg2://h/d", "nonsense", ""]
)
def test_other_addresses_stay_as_they_are(url: str) -> None:
    assert address(url) == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:secret@host:5432/db?sslmode=require", "postgresql://host:5432/db"),
        ("postgresql://me:sec@ret/?x@host/db", "postgresql://host/db"),
        ("postgresql://host/db?password=secret", "postgresql://host/db"),
        ("me:secret@host/db", "host/db"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"),
        ("", "(empty)"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, words: str) -> None:
    assert shown(url) == words
    assert "secret" not in shown(url)
