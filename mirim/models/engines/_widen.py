"""Heads and inner layers whose size the kernels' vectors do not divide: zeros are put behind each, which add nothing.

A head of 8 values becomes one of 16 whose last 8 are zero in queries, keys and values; rotation turns the first pairs
only, and the output's matrix gets columns of zeros to match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mirim.models.engines import _graph

if TYPE_CHECKING:
    import numpy as np

    from mirim.models import gguf_check

    Bytes = np.ndarray[Any, np.dtype[np.uint8]]

#: Tensors whose rows belong to heads, or to the inner layer, and those whose columns do.
_ROWS = {"attn_q": "head", "attn_k": "head", "attn_v": "head", "ffn_gate": "inter", "ffn_up": "inter"}
_COLUMNS = {"attn_output": "head", "ffn_down": "inter"}


class Tensor(NamedTuple):
    """A tensor's bytes, ggml's number of its type, and its rows and columns."""

    data: Bytes
    kind: int
    rows: int
    columns: int


def widen(name: str, tensor: Tensor, header: gguf_check.Header) -> Tensor:
    """The tensor as the core's sizes have it; itself where they are the file's."""
    part, _, field = name.split(".", 2)[-1].rpartition(".")
    sizes = {"head": _graph.head_dim(header), "inter": _graph.inner(header)}
    size = sizes.get((_ROWS | _COLUMNS).get(part, ""), 0)
    wide = _graph.wide(size)
    if size == wide or (part in _COLUMNS and field == "bias"):
        return tensor
    import numpy as np

    data, kind, rows, columns = tensor
    if field == "bias" or part in _COLUMNS:
        if kind not in _graph.FLOATS:
            data = _graph.floats(data, kind, (columns, rows)).reshape(-1).view(np.uint8)
            kind = _graph.F32
        groups, item = rows * columns // size, data.size // (rows * columns)
        columns = columns // size * wide
    else:
        groups, item = rows // size, data.size // rows
        rows = rows // size * wide
    padded = np.zeros((groups, wide * item), np.uint8)
    padded[:, : size * item] = data.reshape(groups, size * item)
    return Tensor(padded.reshape(-1), kind, rows, columns)
