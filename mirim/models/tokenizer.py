"""A Hugging Face tokenizer as GGUF metadata, and what llama.cpp cannot reproduce refused.

Two kinds are known: byte-level BPE (GPT-2 and after; llama.cpp's `gpt2`) and SentencePiece-style BPE with
byte fallback (Llama 2; llama.cpp's `llama`). llama.cpp has no general pre-tokenizer: it knows some by name.
The name is found by comparing the patterns in tokenizer.json with the ones behind those names.

What is done to a text before it is split, and llama.cpp does not do, goes into a key of our own (`preparation.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.errors import Unfit, UsageError
from mirim.core.files import explain, read_json
from mirim.models import sentencepiece
from mirim.models.preparation import BOS, ENDS, PREPARE
from mirim.models.vocabulary import BYTE, UNKNOWN, UNUSED, in_order, need_bytes

#: Tokens that transformers calls special because a tokenizer names them.
_ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

#: (patterns in order, whether whole words in the vocabulary skip the merges) → llama.cpp's name.
#: 'digits' stands for the Digits pre-tokenizer, one digit at a time.
_PRE = {
    ((_GPT2,), False): "gpt-2",
    (("digits", _GPT2), False): "smollm",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "smaug-bpe",
    ((_QWEN2,), False): "qwen2",
    ((_QWEN35,), False): "qwen35",
    ((_TEKKEN,), True): "tekken",
    ((_GPT4O,), False): "gpt-4o",
}


def metadata(folder: Path, config: dict[str, Any], rows: int) -> dict[str, Any]:
    """GGUF keys of the tokenizer in `folder`, for an embedding of `rows` rows.

    UsageError when there is no tokenizer, or one that llama.cpp would read differently.
    """
    settings = _settings(folder)
    if (folder / "tokenizer.json").is_file():
        keys, tokens, types = _from_json(folder / "tokenizer.json", settings)
    elif (folder / "tokenizer.model").is_file():
        added = _added(folder, settings)
        keys, tokens, types = sentencepiece.read(folder / "tokenizer.model", settings, added)
    else:
        raise UsageError(f"{folder} has no tokenizer.json or tokenizer.model; copy the tokenizer of its base there")
    if len(tokens) > rows:
        raise UsageError(
            f"{folder}: the tokenizer has {len(tokens)} tokens, the embedding only {rows} rows; "
            "they do not belong together"
        )
    known = set(tokens)
    for number in range(len(tokens), rows):
        name = f"[PAD{number}]"
        tokens.append(name if name not in known else f"[PAD{number}:{number}]")
        types.append(UNUSED)
    ids = {t: i for i, t in enumerate(tokens)}
    keys |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    if "tokenizer.ggml.scores" in keys:
        scores = keys["tokenizer.ggml.scores"]
        keys["tokenizer.ggml.scores"] = scores + [-1e9] * (rows - len(scores))
    keys |= _special(folder, config, settings, ids, keys.pop("_front", ""))
    template = chat_template(folder)
    if template:
        keys["tokenizer.chat_template"] = template
    return keys


def chat_template(folder: Path) -> str:
    """The folder's chat template: chat_template.jinja, or tokenizer_config.json's; '' when it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text("utf-8")
        except OSError as error:
            raise explain(error, file) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is not a chat template in UTF-8 ({error}); save it as UTF-8") from error
    template = _settings(folder).get("chat_template")
    if isinstance(template, list):
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default") or next(iter(named.values()), "")
    return template if isinstance(template, str) else ""


def _settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json; like transformers with special_tokens_map.json, where it lists no added tokens itself."""
    row = _object(folder / "tokenizer_config.json")
    return row if "added_tokens_decoder" in row else row | _object(folder / "special_tokens_map.json")


def _object(file: Path) -> dict[str, Any]:
    row = read_json(file) if file.is_file() else {}
    return row if isinstance(row, dict) else {}


def _text(token: Any) -> str:
    """A special token of tokenizer_config.json: a string, or an object with its content."""
    return str(token.get("content") or "") if isinstance(token, dict) else str(token or "")


def _from_json(path: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[int]]:
    row = read_json(path)
    try:
        model, added = row["model"], row.get("added_tokens") or []
        kind = model.get("type") or ("BPE" if "merges" in model else "")
        if kind != "BPE":
            raise Unfit(f"{path} holds a {kind or 'nameless'} tokenizer; only BPE can be written to GGUF")
        vocabulary = {str(t): int(i) for t, i in model["vocab"].items()}
        merges = [(a, b) for a, b in (m if isinstance(m, list) else m.split(" ", 1) for m in model["merges"])]
        extra = {int(a["id"]): (str(a["content"]), bool(a.get("special"))) for a in added}
        byte_level, patterns = _pre_tokenizer(path, row)
        space = "" if byte_level else _space(path, row)
        starts, ends = _template_tokens(row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{path} is not a tokenizer.json that can be read: {error!r}") from error
    tokens, types = in_order(path, vocabulary, extra)
    if byte_level:
        name = _PRE.get((tuple(patterns), bool(model.get("ignore_merges"))))
        if name is None:
            raise Unfit(
                f"{path}: llama.cpp has no pre-tokenizer for the patterns {patterns!r}"
                f"{' with ignore_merges' if model.get('ignore_merges') else ''}; it knows those of "
                f"{', '.join(sorted(_PRE.values()))}"
            )
        keys: dict[str, Any] = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name}
        keys["tokenizer.ggml.merges"] = [f"{a} {b}" for a, b in merges]
    else:
        keys = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}
        types = [_byte_type(token, kind) for token, kind in zip(tokens, types, strict=True)]
        need_bytes(path, tokens)
        # llama.cpp merges the pair whose token scores best, transformers the pair of the lowest rank.
        rank: dict[str, int] = {}
        for number, (a, b) in enumerate(merges):
            rank.setdefault(a + b, number)
        keys["tokenizer.ggml.scores"] = [-float(rank[t]) if t in rank else -1e6 for t in tokens]
        # llama.cpp's own blank comes after each special token, whether or not the text goes on with a blank.
        keys["tokenizer.ggml.add_space_prefix"] = space == "prepend"
        unknown = model.get("unk_token")
        if unknown in tokens:
            types[tokens.index(unknown)] = UNKNOWN
    # Another normalizer of a byte-level tokenizer was refused above.
    composed = byte_level and any(_steps(row.get("normalizer"), "normalizers"))
    prepare = {"normalize": "NFC"} if composed else {}
    prepare |= {"space": space} if space in ("first", "always") else {}
    if prepare:
        keys[PREPARE] = json.dumps(prepare | {"special": [text for text, _ in extra.values()]})
    by_id = dict(enumerate(tokens))
    keys["tokenizer.ggml.add_bos_token"] = bool(starts)
    keys["tokenizer.ggml.add_eos_token"] = bool(ends)
    if starts:
        keys["_front"] = by_id.get(starts[0], "")
    return keys, tokens, types


def _pre_tokenizer(path: Path, row: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether the tokenizer works on bytes, and the patterns that split its text first."""
    parts = list(_steps(row.get("pre_tokenizer"), "pretokenizers"))
    normal = list(_steps(row.get("normalizer"), "normalizers"))
    if not any(p["type"] == "ByteLevel" for p in parts):
        strange = [p["type"] for p in (*parts, *normal) if not _marks_blanks(p, normal)]
        if not any(p["type"] in ("Replace", "Metaspace") for p in (*parts, *normal)):
            strange.append("blanks stay blanks")
        if strange or not row["model"].get("byte_fallback"):
            raise Unfit(
                f"{path}: neither a byte-level tokenizer nor one with byte fallback "
                f"({', '.join(strange) or 'no byte_fallback'}); llama.cpp cannot reproduce it"
            )
        return False, []
    if strange := [p["type"] for p in normal if p["type"] != "NFC"]:
        raise Unfit(f"{path}: llama.cpp does not apply the normalizer {strange[0]}")
    patterns: list[str] = []
    for part in parts:
        if part["type"] == "ByteLevel":
            if part.get("add_prefix_space"):
                raise Unfit(f"{path}: llama.cpp does not add the prefix space this tokenizer wants")
            if part.get("use_regex", True):
                patterns.append(_GPT2)
        elif part["type"] == "Digits" and part.get("individual_digits"):
            patterns.append("digits")
        elif part["type"] == "Split" and part.get("behavior") == "Isolated" and not part.get("invert"):
            pattern = part["pattern"]
            text = str(pattern.get("Regex") or pattern.get("String"))
            patterns.append("digits" if text in (r"\p{N}", r"\d") else text)
        else:
            patterns.append(str(part["type"]))
    return True, patterns


def _steps(node: Any, key: str) -> Iterator[dict[str, Any]]:
    if not node:
        return
    if node["type"] == "Sequence":
        for child in node[key]:
            yield from _steps(child, key)
    else:
        yield node


def _marks_blanks(part: dict[str, Any], normal: list[dict[str, Any]]) -> bool:
    """Whether a step does no more than SentencePiece's marks for blanks, which are llama.cpp's too."""
    if part["type"] == "Replace":
        return bool(part["pattern"] == {"String": " "} and part["content"] == "\u2581")
    if part["type"] == "Split":
        # Gemma's: it splits at blanks, of which the normalizer has left none.
        idle = part["pattern"] == {"String": " "} and any(p["type"] == "Replace" for p in normal)
        return bool(idle and part["behavior"] == "MergedWithPrevious" and not part.get("invert"))
    return part.get({"Prepend": "prepend", "Metaspace": "replacement"}.get(part["type"], "")) == "\u2581"


def _space(path: Path, row: dict[str, Any]) -> str:
    """Where a blank is put before a text: 'prepend' before each piece between special tokens, even if that begins with
    a blank; 'always' only if it does not; 'first' the same, at the very start alone; '' nowhere."""
    schemes = []
    for part in (*_steps(row.get("normalizer"), "normalizers"), *_steps(row.get("pre_tokenizer"), "pretokenizers")):
        if part["type"] == "Prepend":
            schemes.append("prepend")
        if part["type"] == "Metaspace":
            if part.get("split", True) and any("\u2581" in str(token)[1:] for token in row["model"]["vocab"]):
                raise Unfit(
                    f"{path}: this tokenizer splits its text at every blank, yet has tokens with a blank inside, "
                    "which llama.cpp would find"
                )
            never = not part.get("add_prefix_space", True)
            schemes.append(part.get("prepend_scheme") or ("never" if never else "always"))
    # After a first blank a second step finds nothing to do.
    scheme = next((s for s in schemes if s != "never"), "")
    if scheme not in ("", "prepend", "first", "always"):
        raise ValueError(f"prepend_scheme {scheme!r}")
    return scheme


def _template_tokens(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Ids that the post-processor puts before and after one text."""
    starts: list[int] = []
    ends: list[int] = []
    node = row.get("post_processor") or {}
    for part in node.get("processors", []) if node.get("type") == "Sequence" else [node]:
        if part.get("type") != "TemplateProcessing":
            continue
        target = starts
        for piece in part.get("single", []):
            if "Sequence" in piece:
                target = ends
            elif "SpecialToken" in piece:
                target += part["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
    return starts, ends


def _byte_type(token: str, kind: int) -> int:
    return BYTE if len(token) == 6 and token.startswith("<0x") and token.endswith(">") else kind


def _special(
    folder: Path, config: dict[str, Any], settings: dict[str, Any], ids: dict[str, int], front: str
) -> dict[str, Any]:
    """Ids of bos, eos, unk and pad: the tokenizer's, which templates write. A text ends with eos, which models learn to
    end with, and with what transformers' generate stops at. `front` is what the tokenizer puts before every text, ''
    for nothing: what llama.cpp puts there is its bos."""
    options = _object(folder / "generation_config.json")
    keys: dict[str, Any] = {}
    found: dict[str, int] = {}
    for role in ("bos", "eos", "unk", "pad"):
        text = _text(settings.get(f"{role}_token"))
        sources = (config,) if role == "bos" else (options, config)
        value = next((s.get(f"{role}_token_id") for s in sources if s.get(f"{role}_token_id") is not None), None)
        if isinstance(value, list):
            value = value[0] if value else None
        number = ids.get(text) if text else None
        if text and number is None and role in ("bos", "eos"):
            raise UsageError(
                f'{folder}: its {role}_token "{text}" is not in its vocabulary; correct tokenizer_config.json, or copy '
                "the whole tokenizer of its base there"
            )
        if number is None and isinstance(value, int):
            number = value
        if number is not None and 0 <= number < len(ids):
            found[role] = number
    # llama.cpp takes token 11 (or 1 and 2) for bos and eos when the keys are missing: always write them.
    bos = ids.get(front) if front else found.get("bos", found.get("eos"))
    eos = found.get("eos", found.get("pad", found.get("bos")))
    if eos is None or bos is None:
        raise UsageError(
            f"{folder} names no token that ends a text; put eos_token into its tokenizer_config.json "
            "(and eos_token_id into config.json)"
        )
    keys["tokenizer.ggml.bos_token_id"] = bos
    if "bos" not in found:
        keys[BOS] = "none"
    elif settings.get("bos_token", "") is None:
        keys[BOS] = "config"
    keys["tokenizer.ggml.eos_token_id"] = eos
    listed = options.get("eos_token_id")
    listed = config.get("eos_token_id") if listed is None else listed
    ends = [e for e in (listed if isinstance(listed, list) else [listed]) if isinstance(e, int) and 0 <= e < len(ids)]
    ends = list(dict.fromkeys((eos, *ends)))
    if len(ends) > 1:
        keys["tokenizer.ggml.eot_token_id"] = ends[1]
    # llama.cpp guesses more ends from the tokens' names; this is what is stopped at with transformers.
    keys[ENDS] = ",".join(map(str, ends))
    for role, name in (("unk", "unknown"), ("pad", "padding")):
        if role in found:
            keys[f"tokenizer.ggml.{name}_token_id"] = found[role]
    return keys


def _added(folder: Path, settings: dict[str, Any]) -> dict[int, tuple[str, bool]]:
    """Tokens beside tokenizer.model by id, and whether each is special: its text is no part of an answer."""
    try:
        extra = settings.get("extra_special_tokens") or ()
        words = [*(settings.get("additional_special_tokens") or ())]
        words += extra.values() if isinstance(extra, dict) else extra
        named = {_text(word) for word in (*words, *(settings.get(f"{role}_token") for role in _ROLES))}
        rows: dict[int, tuple[str, bool]] = {}
        for text, number in _object(folder / "added_tokens.json").items():
            rows[int(number)] = text, text in named
        for number, row in (settings.get("added_tokens_decoder") or {}).items():
            rows[int(number)] = _text(row), _text(row) in named or (isinstance(row, dict) and bool(row.get("special")))
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{folder}: the added tokens of its tokenizer_config.json or added_tokens.json cannot be read ({error}); "
            "copy both from its base again"
        ) from error
    return rows
