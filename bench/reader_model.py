"""The encoder that search uses as a torch model whose layers learn low-rank changes, and a head that points: what
bench/fit_reader.py trains and mirim/models/reader.py runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from mirim.models.encoder import File

STEMS = ("q", "k", "v", "ao", "fi", "fo")
#: A change of rank 16 cut out of one of 32 by singular values is as small, and tells less; eight bits tell no more.
LARGEST = 15


class Changed(nn.Module):
    """A matrix (out, in) that stays, and what is learned to be added to it."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, rank: int, kind: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(kind))
        self.register_buffer("bias", bias.reshape(-1).to(kind))
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed = functional.linear(functional.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))
        return functional.linear(x, self.weight, self.bias) + changed


class Layer(nn.Module):
    """A layer of BERT, norms behind."""

    def __init__(
        self, weights: dict[str, torch.Tensor], at: str, config: dict[str, Any], rank: int, kind: torch.dtype
    ) -> None:
        super().__init__()
        self.heads, self.epsilon = config["num_attention_heads"], config["layer_norm_eps"]
        for stem in STEMS:
            setattr(self, stem, Changed(weights[f"{at}.{stem}.w"], weights[f"{at}.{stem}.b"], rank, kind))
        for name in ("aln.w", "aln.b", "oln.w", "oln.b"):
            self.register_buffer(name.replace(".", ""), weights[f"{at}.{name}"].reshape(-1))

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        B, T, H = x.shape
        q, k, v = (m(x).view(B, T, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        # Fused attention learns at half the speed here.
        scores = torch.matmul(q * (H // self.heads) ** -0.5, k.transpose(2, 3)) + hidden
        mixed = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).reshape(B, T, H)
        x = functional.layer_norm((x + self.ao(mixed)).float(), (H,), self.alnw, self.alnb, self.epsilon).to(x.dtype)
        made = self.fo(functional.gelu(self.fi(x)))
        return functional.layer_norm((x + made).float(), (H,), self.olnw, self.olnb, self.epsilon).to(x.dtype)


class Reader(nn.Module):
    """Tokens (B, T) and which of them are there (B, T) to where answers begin and end (B, T, 2); what flows between the
    layers is of `kind`."""

    def __init__(self, file: File, rank: int, kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        w = {name: torch.from_numpy(np.array(tensor.floats())) for name, tensor in file.tensors.items()}
        self.size, self.epsilon = file.config["hidden_size"], file.config["layer_norm_eps"]
        self.register_buffer("words", w["emb.word"].to(kind))
        self.register_buffer("places", w["emb.pos"] + w["emb.type"].reshape(-1, self.size)[0])
        self.register_buffer("weight", w["emb.ln.w"].reshape(-1))
        self.register_buffer("bias", w["emb.ln.b"].reshape(-1))
        self.layers = nn.ModuleList(
            Layer(w, f"l{n}", file.config, rank, kind) for n in range(file.config["num_hidden_layers"])
        )
        self.head = nn.Linear(self.size, 2)

    def forward(self, ids: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        x = self.words[ids].float() + self.places[: ids.shape[1]]
        x = functional.layer_norm(x, (self.size,), self.weight, self.bias, self.epsilon).to(self.kind)
        hidden = torch.zeros(there.shape, dtype=self.kind).masked_fill(~there, -1e4)[:, None, None]
        for layer in self.layers:
            x = layer(x, hidden)
        return self.head(x.float())


def save(model: Reader, path: Path) -> None:
    """In whole numbers of five bits, each row with a step of its own; the head as it is."""
    held: dict[str, np.ndarray] = {"head": model.head.weight.detach().numpy(), "bias": model.head.bias.detach().numpy()}
    for number, layer in enumerate(model.layers):
        for stem in STEMS:
            for half in ("down", "up"):
                x = getattr(getattr(layer, stem), half).detach().float().numpy()
                step = np.maximum(np.abs(x).max(axis=1), 1e-8) / LARGEST
                name = f"l{number}.{stem}.w.{half}"
                held[name], held[f"{name}.step"] = np.rint(x / step[:, None]).astype(np.int8), step.astype(np.float32)
    np.savez_compressed(path, **held)


def load(model: Reader, path: Path) -> None:
    """What `save` wrote, as near as whole numbers have it."""
    with np.load(path) as held, torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(held["head"]))
        model.head.bias.copy_(torch.from_numpy(held["bias"]))
        for number, layer in enumerate(model.layers):
            for stem in STEMS:
                for half in ("down", "up"):
                    name = f"l{number}.{stem}.w.{half}"
                    wide = held[name].astype(np.float32) * held[f"{name}.step"][:, None]
                    getattr(getattr(layer, stem), half).copy_(torch.from_numpy(wide))
