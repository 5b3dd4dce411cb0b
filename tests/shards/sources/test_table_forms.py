"""A table in any form is read as what it means, or refused by name."""

import csv
import io
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shards.errors import TableError
from shards.sources.rows import PictureRow, read_table
from tests.helpers.read_rows import rows_of
from tests.helpers.studies import sampled
from tests.helpers.table_forms import FIELDS, Form, forms


def outcome(form: Form, folder: Path) -> str:
    """ "read" or "refused" where that was hoped, else what came instead."""
    path = folder / form.name
    path.write_bytes(form.data)
    try:
        table = read_table(path, **form.how)
        rows = list(table.read())
    except TableError as error:
        if form.refused and all(word in str(error) for word in form.refused) and str(error).startswith("t."):
            return "refused"
        return f"error {error}; hoped: {form.refused or 'rows'}"
    if form.refused:
        return f"read; hoped: {form.refused}"
    found = [{name: getattr(row, name) for name in FIELDS} if isinstance(row, PictureRow) and not row.unread else row for row in rows]
    if wrong := [(row, hoped) for row, hoped in zip(found, form.truth, strict=True) if row != hoped]:
        return f"{len(wrong)} rows differ, as {wrong[0]}"
    unsaid = [word for word in form.said if not any(word in remark for remark in table.remarks)]
    return f"not said: {unsaid}; {table.remarks}" if unsaid else "read"


def plainly(form: Form) -> bool:
    """Whether a plain reader gets the rows: the control."""
    try:
        records = list(csv.DictReader(io.StringIO(form.data.decode(), newline="")))
        found = [
            {
                "id": record["id"],
                "path": record["path"],
                "views": int(record["views"]),
                "favorites": int(record["favorites"]) if record["favorites"] else None,
                "owner": record["owner"],
                "uploaded_at": datetime.fromisoformat(record["uploaded_at"]) if record["uploaded_at"] else None,
            }
            for record in records
        ]
    except (ValueError, KeyError, TypeError):
        return False
    return found == form.truth


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.text(st.sampled_from("\",;|\t\n \\ab'é") | st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12), min_size=1, max_size=8
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_is_read_as_it_was(texts: list[str], delimiter: str, quoting: int, end: str) -> None:
    """Whatever is in the cells, no delimiter, quote or escape is found that was not meant."""
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([["id", "path", "views", "title"], *([f"k{i}", f"{i}.jpg", i, text] for i, text in enumerate(texts))])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("t.tsv" if delimiter == "\t" else "t.csv")
        path.write_bytes(sink.getvalue().encode())
        rows = rows_of(read_table(path, keep=["title"]))
    assert [row.extra["title"] for row in rows] == texts


def test_two_hundred_forms_are_read_or_refused_by_name(tmp_path: Path) -> None:
    made = forms(sampled(200, 60))
    outcomes = {form.what: outcome(form, tmp_path) for form in made}
    wrong = {what: found for what, found in outcomes.items() if found not in ("read", "refused")}
    counted = Counter(found if found in ("read", "refused") else "wrong" for found in outcomes.values())
    control = sum(plainly(form) for form in made)
    print(f"{len(made)} forms: {dict(counted)}; a plain reader gets {control}")
    assert not wrong, "\n".join(f"{what}\n   {found[:400]}" for what, found in wrong.items())
    assert counted["read"] > len(made) / 5 > control
    assert counted["refused"] > len(made) / 5
