"""Toy checkpoints of true architectures, with tokenizers trained on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = [
    "The nurse opened the door and said good morning to everybody in the room, 2024!",
    "O paciente deve ficar em jejum por oito horas antes do exame de sangue.",
    "Call 555-1234 at 10:30; it's fine. Não há problema — açúcar, pão e café.",
    "Once upon a time there was a small bee that lived in an old tree.",
] * 10
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: A Llama that has several pages and pieces of attention to compute, and is made in a moment.
SMALL: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 224,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
#: Weak enough that greedy answers come to repeat themselves.
WEAK = SMALL | {"initializer_range": 0.05}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(out: Path, style: str = "smollm", template: str = TEMPLATE, **settings: Any) -> int:
    """A byte-level BPE tokenizer; the number of its tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    steps = {
        "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "llama-bpe": [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), bytes_only],
        "smaug-bpe": [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), bytes_only],
        "qwen2": [pre_tokenizers.Split(Regex(QWEN2), "isolated"), bytes_only],
        "unknown": [pre_tokenizers.Split(Regex(r"\w+|\W+"), "isolated"), bytes_only],
    }[style]
    t = Tokenizer(models.BPE(ignore_merges=style == "llama-bpe"))
    t.pre_tokenizer = pre_tokenizers.Sequence(steps)
    t.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    t.train_from_iterator(TEXT, trainer)
    if settings.pop("bos", False):
        t.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", t.token_to_id("<|im_start|>"))]
        )
    out.mkdir(parents=True, exist_ok=True)
    t.save(str(out / "tokenizer.json"))
    _settings(out, "<|im_start|>", "<|im_end|>", "<|endoftext|>", template)
    return int(t.get_vocab_size())


def sentencepiece_like(out: Path) -> int:
    """BPE with byte fallback over whole texts, as Llama 2's tokenizer.json has it; BOS is put first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    special = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pieces = [f" {w}" for line in TEXT for w in line.split()]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special + bytes_, show_progress=False)
    # Trained word by word (Prepend adds the mark), so that no token spans a space, as in SentencePiece.
    t.train_from_iterator([p.strip() for p in pieces], trainer)
    row = __import__("json").loads(t.to_str())
    row["added_tokens"] = [a for a in row["added_tokens"] if a["content"] in special]
    t = Tokenizer.from_str(__import__("json").dumps(row))
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    out.mkdir(parents=True, exist_ok=True)
    t.save(str(out / "tokenizer.json"))
    _settings(out, "<s>", "</s>", "<unk>", "")
    return int(t.get_vocab_size())


def _settings(out: Path, bos: str, eos: str, pad: str, template: str) -> None:
    import json

    row = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos, "pad_token": pad}
    (out / "tokenizer_config.json").write_text(json.dumps(row))
    if template:
        (out / "chat_template.jinja").write_text(template)


def model(out: Path, kind: str = "llama", *, vocabulary: int = 0, dtype: str = "float32", **changes: Any) -> Path:
    """A checkpoint of family `kind` with random weights; a tokenizer is made unless `vocabulary` is given."""
    import torch
    import transformers

    from mirim.core import plugins

    size = vocabulary or byte_level(out)
    sample = dict(plugins.load("models.families", kind).SAMPLE)
    name = sample.pop("architectures")[0]
    settings = {"vocab_size": size, "max_position_embeddings": 256, "tie_word_embeddings": False, **sample}
    settings |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.15, **changes}
    torch.manual_seed(0)
    built = getattr(transformers, name)(transformers.AutoConfig.for_model(kind, **settings)).eval()
    for _, parameter in built.named_parameters():
        # Norms and biases of ones and zeros would hide a tensor put in the wrong place.
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    built.to(getattr(torch, dtype)).save_pretrained(out)
    return out


def rewritten(source: Path, target: Path, quantise: str = "", **keys: Any) -> Path:
    """A GGUF file once more, its architecture's keys changed (None leaves one out) and its matrices of another type."""
    import gguf
    import numpy as np

    read = gguf.GGUFReader(source)
    kind = read.fields["general.architecture"].contents()
    changed = {f"{kind}.{name.replace('__', '.')}": value for name, value in keys.items()}
    writer = gguf.GGUFWriter(target, kind)
    for field in read.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture" or field.name in changed:
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(field.name, field.contents())
        else:
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for name, value in changed.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        elif value is not None:
            known = gguf.GGUFValueType.FLOAT32 if isinstance(value, float) else gguf.GGUFValueType.UINT32
            writer.add_key_value(name, value, known)
    for tensor in read.tensors:
        shape = tuple(reversed(tensor.shape.tolist()))
        if not quantise:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        elif len(shape) == 2 and shape[1] % 32 == 0:
            wanted = gguf.GGMLQuantizationType[quantise]
            raw = gguf.quants.quantize(np.asarray(tensor.data, np.float32).reshape(shape), wanted)
            writer.add_tensor(tensor.name, raw, raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, np.asarray(tensor.data, np.float32).reshape(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
