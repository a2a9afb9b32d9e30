from pathlib import Path

import pytest

from mirim.core.bundle import Bundle
from mirim.examples.template import CHATML
from mirim.models.origin import licence_of
from mirim.models.resolve import bundled, resolve
from mirim.training.card import BLANK, PACKED, WHOLE, card

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


def _front(text: str) -> dict[str, str]:
    lines = text.split("---\n")[1].splitlines()
    return {key: value.strip('" ') for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("MIT", {"license": "mit"}),
        ("House rules (2026)", {"license": "other", "license_name": "house-rules-2026"}),
        ("", {}),
    ],
)
def test_a_licence_stands_as_hubs_write_it(tmp_path: Path, licence: str, said: dict[str, str]) -> None:
    text = card(Bundle(tmp_path, "out", method="pretrain", licence=licence), STAGES, {}, "a CPU")
    front = _front(text)
    assert {key: value for key, value in front.items() if key.startswith("license")} == said
    assert licence_of(text) == next(reversed(said.values()), "")


@pytest.mark.parametrize(
    ("based", "documents", "said"),
    [
        ("CC-BY-SA-4.0", "CC0-1.0", {"license": "other", "license_name": "cc-by-sa-4.0-and-cc0-1.0"}),
        ("MIT", "mit", {"license": "mit"}),
        ("Apache-2.0", "", {"license": "apache-2.0"}),
        ("", "CC0-1.0", {}),
    ],
)
def test_what_is_tuned_stays_under_its_bases_licence(
    tmp_path: Path, based: str, documents: str, said: dict[str, str]
) -> None:
    bundle = Bundle(tmp_path, "out", base="org/base", method="full", licence=documents)
    text = card(bundle, STAGES, {}, "a CPU", based=f"---\nlicense: {based}\n---\n# Base\n" if based else "")
    front = _front(text)
    assert {key: value for key, value in front.items() if key.startswith("license")} == said
    assert f"org/base is under {based or 'what its own card says'}." in text


def test_the_bundled_base_names_no_model_of_a_hub(tmp_path: Path) -> None:
    text = card(Bundle(tmp_path, "out", base="mirim-base", method="full"), STAGES, {}, "a CPU")
    assert "base_model" not in text
    assert "from mirim-base" in text


def test_a_card_says_how_others_load_the_model(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    whole = card(Bundle(tmp_path, "out", base="org/base", method="full"), STAGES, {}, "a CPU")
    assert WHOLE in whole
    assert BLANK in whole
    made = Bundle(tmp_path, "out", base="org/base", method="lora", adapter=True)
    adapter = card(made, STAGES, {}, "a CPU")
    assert _front(adapter)["library_name"] == "peft"
    assert "BASE is org/base." in adapter
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert BLANK not in card(made, STAGES, {}, "a CPU")


def test_the_bundled_bases_card_says_the_same() -> None:
    if not bundled():
        pytest.skip("this build brings no base")
    folder = resolve("mirim-base").path
    assert folder is not None
    text = (folder / "README.md").read_text("utf-8")
    assert licence_of(text) == "cc-by-sa-4.0"
    assert f"{PACKED}\n{BLANK}\n" in text
