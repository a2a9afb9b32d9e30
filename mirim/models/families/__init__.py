"""Model families, one file each, named after the Hugging Face `model_type` it converts.

A family has `ARCHITECTURE` (llama.cpp's name), `metadata(config) -> dict` (GGUF keys without the
architecture's prefix), `tensors(config, names) -> Iterator[Rule]` (which checkpoint tensor becomes which
GGUF tensor, and how) and `SAMPLE` (a toy configuration that the tests build and compare with transformers).
"""
