"""A byte-level BPE tokenizer from a corpus, with ChatML, in Hugging Face files that llama.cpp reads alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mirim.examples.template import CHATML

END, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

#: The split that Qwen2's tokenizer makes, which llama.cpp knows as "qwen2": digits one by one.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

#: Words that a yes-or-no question is answered with; each form is one token, so that one look at the next token tells.
VERDICTS = tuple(
    space + form for word in ("yes", "no", "sim", "não") for form in (word, word.capitalize()) for space in ("", " ")
)


def train(texts: Iterable[str], vocab_size: int) -> Any:
    """A PreTrainedTokenizerFast trained on `texts`; a small corpus may give fewer tokens than asked for.

    Byte-pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019): any text is representable and comes
    back unchanged. There is no normaliser, because llama.cpp would not apply it.
    """
    from itertools import chain, repeat

    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END, START_TURN, END_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # As frequent as nothing else, they are merged before all other words.
    verdicts = repeat("\n".join(VERDICTS) + "\n", 20_000)
    tokenizer.train_from_iterator(chain(texts, verdicts), trainer)
    # No BOS: a turn opens with its own mark, and a document with the end of the one before it.
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END_TURN,
        pad_token=END,
        bos_token=END,
        additional_special_tokens=[START_TURN],
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
        model_max_length=1_000_000,
        # An answer goes on where its prompt ends: of prompts side by side the short ones are filled up before.
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )
