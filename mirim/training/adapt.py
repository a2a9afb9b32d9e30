"""Bases that others trained: loading them, and LoRA on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.project import Project


def load_base(ref: str, project: Project | None = None) -> tuple[Any, Any]:
    """(model in float32, tokenizer) of a folder or a hub name. UsageError says what is wrong with it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mirim.training.stages import quiet

    path = Path(ref).expanduser()
    local = path.exists() or ref.startswith((".", "/", "~"))
    if local and not (path / "config.json").is_file():
        what = "does not exist" if not path.exists() else "holds no config.json"
        raise UsageError(
            f"base {ref} {what}; name a folder in Hugging Face layout or a hub model such as ibm-granite/granite-4.0-350m"
        )
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path if local else ref, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                path if local else ref, dtype=torch.float32, trust_remote_code=False
            )
    except (ValueError, KeyError) as error:
        raise UsageError(f"base {ref} cannot be loaded: {_first(error)}") from error
    except OSError as error:
        hint = "" if local else "; check the name, the network and HF_TOKEN, or download it once and name the folder"
        raise UsageError(f"base {ref} cannot be read: {_first(error)}{hint}") from error
    except Exception as error:
        raise MirimError(f"base {ref} cannot be loaded ({type(error).__name__}: {_first(error)})") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise UsageError(
            f"the tokenizer of {ref} has no chat template, so examples cannot be written the way it will be asked; "
            "put a chat_template.jinja into its folder, or choose an instruction-tuned base"
        )
    return model, tokenizer


def with_lora(model: Any, rank: int, seed: int) -> Any:
    """The model with a low-rank adapter on every linear layer but the head (Hu et al. 2022), scale 2."""
    peft = need("peft", "train")
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, config)


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
