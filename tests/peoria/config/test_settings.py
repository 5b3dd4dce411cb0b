"""Every setting is described where it is declared, and docs/sweeps.md, help() and the JSON schema say the same."""

import pydoc
import re
from typing import Annotated

import pytest
from pydantic import ValidationError

from docs.sweeps import BEGIN, END, PAGE, TITLES, filled
from peoria.config.settings import Settings, about, settings_of
from peoria.config.space import Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from tests.helpers.small import trial_config


def undescribed(model: type) -> list[str]:
    return [setting.name for setting in settings_of(model) if not (setting.text and setting.unit and setting.source and setting.accepts)]


def test_each_setting_has_a_description_a_unit_an_accepted_range_and_a_source() -> None:
    assert {model.__name__: undescribed(model) for model in TITLES} == {"Sweep": [], "Space": [], "LogUniform": [], "Point": [], "TrialConfig": []}
    assert [len(list(settings_of(model))) for model in (Sweep, TrialConfig)] == [len(Sweep.model_fields), len(TrialConfig.model_fields)]


def test_control_a_setting_without_them_is_found() -> None:
    class Loose(Settings):
        """Some."""

        good: Annotated[int, about("a number", unit="pictures", source="ours")] = 1
        plain: int = 2
        no_unit: Annotated[int, about("a number", unit="", source="ours")] = 3

    assert undescribed(Loose) == ["plain", "no_unit"]


def test_the_page_is_what_the_settings_say() -> None:
    page = PAGE.read_text()
    assert filled(page) == page, "make pages writes it anew"
    changed = page.replace("| `20.0` |", "| `21.0` |")
    assert changed != page == filled(changed)  # a default that was changed by hand would be noticed
    table = page.split(BEGIN)[1].split(END)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [setting.name for model in TITLES for setting in settings_of(model)]
    assert {line.count(" | ") for line in table.splitlines() if line.startswith("| `")} == {5}


def test_help_and_the_json_schema_say_the_same() -> None:
    text = pydoc.plain(pydoc.render_doc(TrialConfig))
    shapes = TrialConfig.model_json_schema()["properties"]
    for setting in settings_of(TrialConfig):
        assert f"{setting.name}: {setting.text} (unit: {setting.unit}; default: {setting.default}; accepted: {setting.accepts})" in text
        assert (shapes[setting.name]["description"], shapes[setting.name]["unit"]) == (setting.text, setting.unit)


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [("momentum", 0.0, 1.0), ("pictures", 2000, 0), ("weight_decay", 0.0, -0.1), ("head", "pool", "top"), ("outlier_sd", None, 0.0), ("seed", 0, -1)],
)
def test_the_accepted_range_is_the_one_that_is_checked(name: str, accepted: object, refused: object) -> None:
    said = {setting.name: setting.accepts for setting in settings_of(TrialConfig)}
    assert said["momentum"] == "a number ≥ 0, < 1"
    assert said["pictures"] == "a whole number ≥ 1"
    assert said["outlier_sd"] == "a number > 0 or `None`"
    assert said["head"] == "'fc', 'pool'"
    good = trial_config()
    values = good.model_dump() | {name: accepted}
    assert getattr(TrialConfig.model_validate(values), name) == accepted
    with pytest.raises(ValidationError, match=name):
        TrialConfig.model_validate(values | {name: refused})


def test_the_sweep_that_the_page_shows_is_one() -> None:
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(text, found)
    assert isinstance(found["SWEEP"], Sweep)
    assert found["SWEEP"].space != Space()
