from pathlib import Path

from mirim.core.bundle import Bundle
from mirim.training.card import card

STAGES = {"examples": {"steps": 3, "tokens": 900, "loss": 1.0, "validation": None}}


def test_a_base_of_this_machine_goes_by_its_name_alone(tmp_path: Path) -> None:
    base = tmp_path / "house-base"
    base.mkdir()
    text = card(Bundle(tmp_path / "out", "out", base=str(base), method="full"), STAGES, {}, "a CPU")
    assert "house-base" in text
    assert str(tmp_path) not in text
    assert "base_model:" not in text


def test_a_base_of_a_hub_is_named_as_hubs_want_it(tmp_path: Path) -> None:
    text = card(Bundle(tmp_path, "out", base="ibm-granite/granite-4.0-350m", method="lora"), STAGES, {}, "a CPU")
    assert "\nbase_model: ibm-granite/granite-4.0-350m\n" in text
