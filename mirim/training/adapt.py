"""Bases that others trained: finding and loading them, and LoRA on top."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from mirim.core import stamp
from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.files import explain
from mirim.core.project import Project
from mirim.examples.template import before_words
from mirim.models import convert
from mirim.models.pointing import ADAPTER, FOLDER, HEAD, learned
from mirim.models.resolve import BUNDLED, resolve
from mirim.models.unpack import unpacked

#: For a base without a chat template of its own: plain words, each turn closed by the tokenizer's end token.
PLAIN = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


def locate(ref: str, project: Project | None = None) -> str:
    """The whole path of a base's folder, or its hub name. UsageError for what cannot be adapted."""
    found = resolve(ref, project)
    # What is bundled lies elsewhere on another machine: its name is what to remember.
    if found.kind == "hub" or ref == BUNDLED:
        return ref
    if found.kind == "folder" and found.path is not None:
        return str(found.path)
    why = {
        "gguf": "is a GGUF file, which holds quantised weights for inference; name the folder it was made from",
        "adapter": f"is an adapter; name its own base, {found.base or 'which it does not say'}",
    }.get(found.kind, "has no weights here; name a folder in Hugging Face layout or a hub model")
    raise UsageError(f"base {ref} {why}")


def base_card(ref: str, project: Project | None) -> str:
    """The card that lies beside a base's weights; '' where there is none here."""
    path = resolve(ref, project).path
    readme = path / "README.md" if path else None
    return readme.read_text("utf-8", "replace") if readme and readme.is_file() else ""


def _folder(ref: str, project: Project | None) -> str:
    """Where a base's weights lie, unpacked where they are bundled, or its hub name."""
    found = locate(ref, project)
    if ref == BUNDLED:
        found = str(resolve(ref, project).path)
    return str(unpacked(Path(found), tune=True)) if Path(found).is_dir() else found


def base_inputs(ref: str, project: Project | None = None) -> str:
    """Fingerprint of a base: its files where it is a folder, its name on the hub otherwise."""
    found = _folder(ref, project)
    folder = Path(found)
    if not folder.is_dir():
        return found
    names = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
    points = [
        folder / name for folder in base_points(ref, project).values() for name in (ADAPTER, f"{HEAD}.safetensors")
    ]
    return stamp.fingerprint(*sorted(folder.glob("*.safetensors")), *(folder / n for n in names), *points)


def base_points(ref: str, project: Project | None = None) -> dict[str, Path]:
    """Where a base here holds what it points with, for each task; none where it learned none."""
    path = resolve(ref, project).path
    folder = path / FOLDER if path else None
    return learned(folder) if folder and folder.is_dir() else {}


def load_base(ref: str, project: Project | None = None, chat_template: str = "") -> tuple[Any, Any]:
    """(model in float32, tokenizer) of a base. UsageError says what is wrong with it.

    `chat_template`, a file or 'plain', takes the place of the tokenizer's own.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mirim.training.stages import quiet

    found = _folder(ref, project)
    hint = "check the name, the network and HF_TOKEN, or download it and name the folder"
    if Path(found).is_dir():
        hint = "download it or write it again"
        convert.check_transformers(Path(found))
    part = "tokenizer"
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(found, trust_remote_code=False)
            part = "model"
            both: Any = AutoModelForCausalLM.from_pretrained(
                found, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
    except (ValueError, KeyError) as error:
        raise UsageError(f"the {part} of {ref} cannot be loaded: {_brief(error)}; {hint}") from error
    except OSError as error:
        if part == "model" and "safetensors" in str(error):
            raise UsageError(
                f"{ref} gave no weights in safetensors, and others are pickles, which may run code when opened: check "
                "the network, or where you trust it write it anew with save_pretrained and name the folder"
            ) from error
        raise UsageError(f"the {part} of {ref} cannot be read: {_brief(error)}; {hint}") from error
    except Exception as error:
        kind = type(error).__name__
        raise MirimError(f"the {part} of {ref} cannot be loaded ({kind}: {_brief(error)}); {hint}") from error
    model, loaded = both
    convert.check_complete(loaded, ref)
    _check_rows(model, tokenizer, ref)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if chat_template:
        tokenizer.chat_template = _template(chat_template)
    if not tokenizer.chat_template:
        raise UsageError(
            f"the tokenizer of {ref} has no chat template, so examples cannot be written the way it will be asked; "
            "choose an instruction-tuned base, or pass --chat-template FILE.jinja, or --chat-template plain"
        )
    if tokenizer.eos_token is None:
        raise UsageError(
            f"the tokenizer of {ref} has no end-of-text token, so answers could not end; choose another base"
        )
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = _asking(tokenizer.chat_template, tokenizer.bos_token or "", tokenizer.eos_token)
    return model, tokenizer


def _check_rows(model: Any, tokenizer: Any, ref: str) -> None:
    """UsageError for a token that the embedding has no row for: neither torch nor a GGUF file could look it up."""
    rows = len(model.get_input_embeddings().weight)
    token, number = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if number >= rows:
        raise UsageError(
            f"the tokenizer of {ref} has the token {token} as number {number}, the embedding only {rows} rows; take it "
            "out of tokenizer.json and tokenizer_config.json, or choose a base whose embedding was resized for it"
        )


def _asking(template: str, bos_token: str, eos_token: str) -> str:
    """The template, so that it asks for an answer with all that it writes before one, such as Qwen 3's empty thought.

    Otherwise that would be learned as the beginning of each answer: people would read it, and where answers are scored
    the model would not be asked as it has learned. Blanks are no part of it, see `mirim.examples.template.lead`.
    """
    between = before_words(template, bos_token, eos_token)
    if not between.strip():
        return template  # also one that refuses to write: the first example says what is wrong with it
    # Jinja drops one newline at a template's end, which is not the end any more.
    words = json.dumps(between, ensure_ascii=False)
    return template.removesuffix("\n") + f"{{{{ {words} if add_generation_prompt else '' }}}}"


def _template(word: str) -> str:
    if word == "plain":
        return PLAIN
    path = Path(word).expanduser()
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a chat template in UTF-8") from error


def with_lora(model: Any, rank: int, seed: int) -> Any:
    """The model with a low-rank adapter on every linear layer but the head (Hu et al. 2022), scale 2."""
    peft = need("peft", "train")
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        # peft asks for a name that transformers has renamed: nothing that whoever tunes could mend.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return peft.get_peft_model(model, config)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
