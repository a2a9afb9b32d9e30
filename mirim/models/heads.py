"""Labels learned from texts that have them: a linear layer on what texts mean and on their words.

What a text means is its vector by the encoder that finds passages (`mirim.models.meaning`); its words are the stems
that it holds, by ones and twos, weighed by how rare they are (Salton and Buckley 1988). Where the encoder is not
installed, words alone. The layer is learned in seconds on a processor (multinomial logistic regression by L-BFGS), and
how sure it is is fitted on texts that it has not seen (temperature scaling, Guo et al. 2017).
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.audit import seeds
from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.core.files import sha256_file, sha256_json, writing
from mirim.core.progress import track
from mirim.documents.words import detect, stems
from mirim.models import convert, meaning
from mirim.models.labels import MOST, softmax

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

#: Parts that examples are divided into, each told by what the others teach; and of few examples, up to how many.
FOLDS, _FEW, _FEWER = 5, 100, 20
#: What words count beside the vector, how many weights they have at most, and from how many texts on they must be in
#: two.
_WORDS, _WEIGHTS, _MANY = 0.4, 4_000_000, 2000
#: How little the layer is held back, and rounds of learning at most.
_FREE, _ROUNDS = 30.0, 100
#: Texts that are read for their language, and texts whose vectors are made at once.
_SAMPLE, _TOGETHER = 500, 256
_VERSION = 3
_TEXTS = ("text", "texto", "message", "mensagem", "sentence", "frase", "input")
_LABELS = ("label", "rótulo", "rotulo", "category", "categoria", "class", "classe", "intent", "intenção", "output")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts, the label of each, and what else is said of each."""

    texts: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[Mapping[str, str]]

    @property
    def names(self) -> list[str]:
        return sorted(set(self.labels))

    def some(self, places: Iterable[int]) -> Labelled:
        at = list(places)
        return Labelled(*([column[n] for n in at] for column in (self.texts, self.labels, self.groups)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Head:
    """`shares` tells labels; the rest is what was learned: weights (D, K) of a text's features and a bias (K,), words
    and what each counts, the mean of vectors, and by how much logits are divided."""

    labels: tuple[str, ...]
    weight: Array
    bias: Array
    words: Mapping[str, int]
    rarity: Array
    middle: Array
    language: str
    heat: float

    def logits(self, texts: Sequence[str], said: Array | None = None) -> Array:
        """(N, K); `said`: the texts' vectors, where these are known."""
        found = _features(texts, self.words, self.rarity, self.middle, self.language, said)
        made: Array = found.times(self.weight) + self.bias
        return made

    def shares(self, texts: Sequence[str]) -> Array:
        """(N, K): how likely each label is, 1 in all for each text."""
        made: Array = softmax(self.logits(texts) / self.heat)
        return made


def read(path: Path) -> Labelled:
    """Labelled texts of a file: JSON lines or a table with columns of them ("text", "label", or what else people call
    these). UsageError names the line that is of another shape."""
    texts, labels, groups = [], [], []
    for where, row in seeds.rows(path):
        known = {str(key).lower(): key for key in row}
        text, label = (next((known[n] for n in names if n in known), "") for names in (_TEXTS, _LABELS))
        if label and type(row[label]) is int:  # many number their labels
            row[label] = str(row[label])
        for key, name in ((text, "text"), (label, "label")):
            if not key or not isinstance(row[key], str) or not row[key].strip():
                what = f'its "{key}" is {row[key]!r}' if key else f'it has no "{name}"'
                raise UsageError(f'{where}: {what}; a row is {{"text", "label"}}, in JSON lines or a table (CSV)')
        texts.append(row[text])
        labels.append(" ".join(row[label].split()))
        others = {k: v for k, v in row.items() if k not in (text, label) and isinstance(v, str | int | float)}
        groups.append({k: v if isinstance(v, str) else str(v) for k, v in others.items()})
    found = Labelled(texts, labels, groups)
    if not 2 <= len(found.names) <= MOST:
        raise UsageError(f"{path} has {len(found.names)} different labels; give texts of 2 to {MOST}")
    if sum(count > 1 for count in Counter(labels).values()) < 2:
        raise UsageError(
            f"{path} has more than one text of less than two of its labels, so that what it teaches cannot be tried; "
            "give more texts of each"
        )
    return found


def kept(path: Path) -> Head:
    """What a file of labelled texts teaches, learned once and kept beside converted models as long as the file, or what
    it is learned by, stays as it is."""
    by = meaning.name() if meaning.available() else ""
    home = convert.cache() / "labels" / f"{sha256_json([_VERSION, sha256_file(path), by])[:32]}.npz"
    head = _read(home)
    if head is None:
        head = learn(read(path))
        _save(home, head)
    return head


def _read(path: Path) -> Head | None:
    """What the file holds; None where it is missing or damaged: it can be learned again."""
    import numpy as np

    try:
        with np.load(path) as held:
            row = {name: held[name] for name in held.files}
        words = {str(word): n for n, word in enumerate(row.pop("words"))}
        labels, language, heat = tuple(map(str, row.pop("labels"))), str(row.pop("language")), float(row.pop("heat"))
        return Head(labels=labels, words=words, language=language, heat=heat, **row)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
        return None


def _save(path: Path, head: Head) -> None:
    import numpy as np

    row = {field.name: getattr(head, field.name) for field in fields(head)}
    with writing(path, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **row | {"words": np.array(list(head.words), str)})
    path.chmod(0o600)  # it holds words of texts that may be nobody else's business


def learn(some: Labelled) -> Head:
    """What labelled texts teach, as sure as it is of texts that it has not seen."""
    said = vectors(some.texts)
    return replace(layer(some, said), heat=_heat(some, _crossed(some, said)))


def crossed(some: Labelled) -> Array:
    """Logits (N, K) of each text by what the others teach, those apart that say the same, in the order of
    `some.names`."""
    return _crossed(some, vectors(some.texts))


def _crossed(some: Labelled, vectors: Array) -> Array:
    import numpy as np

    names = some.names
    made = np.full((len(some.texts), len(names)), -30.0)
    parts = _parts(some.texts)
    for part in track(range(parts.max() + 1), "labels told by what other texts teach"):
        learned, told = np.flatnonzero(parts != part), np.flatnonzero(parts == part)
        others = some.some(learned)
        if len(told) and len(others.names) > 1:
            head = layer(others, vectors[learned])
            found = head.logits([some.texts[int(n)] for n in told], vectors[told])
            made[told[:, None], np.array([names.index(label) for label in head.labels])] = found
    return made


def _parts(texts: Sequence[str]) -> Array:
    """The part (N,) of each text, in no order; those that say the same are in one."""
    import numpy as np

    said = [text.strip() for text in texts]
    mixed = sorted(set(said), key=lambda text: hashlib.sha256(text.encode("utf-8", "replace")).digest())
    count = FOLDS if len(mixed) >= _FEW else min(len(mixed), _FEWER)
    place = {text: n % count for n, text in enumerate(mixed)}
    return np.array([place[text] for text in said])


def _heat(some: Labelled, logits: Array) -> float:
    """What to divide logits by so that shares are true: that of the least cross-entropy, where what is right counts as
    a little less than sure, the less the fewer texts there are of a label (Platt 1999)."""
    import numpy as np

    right = np.array([some.names.index(label) for label in some.labels])
    rest = 1 / (len(right) / len(some.names) + 2)

    def lost(heat: float) -> float:
        logs = np.log(np.maximum(softmax(logits / heat), 1e-12))
        sure = logs[np.arange(len(right)), right]
        others = (logs.sum(1) - sure) / (len(some.names) - 1)
        return -float(((1 - rest) * sure + rest * others).mean())

    return float(min(np.exp(np.linspace(-2, 3, 101)), key=lost))


def layer(some: Labelled, vectors: Array) -> Head:
    """What labelled texts with these vectors teach; how sure it is of others is not fitted."""
    import numpy as np

    minimize = need("scipy.optimize", "train").minimize
    names = some.names
    language = detect(" ".join(some.texts[:: max(1, len(some.texts) // _SAMPLE)]))
    words, rarity = _vocabulary(some.texts, language, _WEIGHTS // len(names))
    middle = vectors.mean(0)
    x = _features(some.texts, words, rarity, middle, language, vectors)
    count, size, right = len(names), len(middle) + len(words), np.array([names.index(label) for label in some.labels])
    wanted = np.zeros((len(right), count), np.float32)
    wanted[np.arange(len(right)), right] = 1.0

    def lost(flat: Array) -> tuple[float, Array]:
        weight, bias = flat[: size * count].reshape(size, count), flat[size * count :]
        shares = softmax(x.times(weight.astype(np.float32)) + bias.astype(np.float32))
        loss = -_FREE * np.log(np.maximum((shares * wanted).sum(1), 1e-12)).sum(dtype=float) + 0.5 * (weight**2).sum()
        change = shares - wanted
        return float(loss), np.concatenate([(_FREE * x.back(change) + weight).ravel(), _FREE * change.sum(0, float)])

    found = minimize(lost, np.zeros((size + 1) * count), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}).x
    weight = found[: size * count].reshape(size, count).astype(np.float32)
    return Head(tuple(names), weight, found[size * count :], words, rarity, middle, language, 1.0)


def vectors(texts: Sequence[str]) -> Array:
    """(N, H) of length 1, or (N, 0) without the encoder."""
    import numpy as np

    if not meaning.available():
        return np.zeros((len(texts), 0), np.float32)
    parts = range(0, len(texts), _TOGETHER)
    shown = track(parts, "vectors of texts") if len(parts) > 1 else parts
    return np.concatenate([meaning.vectors(texts[at : at + _TOGETHER]) for at in shown])


def _vocabulary(texts: Sequence[str], language: str, most: int) -> tuple[dict[str, int], Array]:
    """The commonest words and pairs of them, and how rare each is."""
    import numpy as np

    seen = Counter(word for text in texts for word in set(_words(text, language)))
    least = 2 if len(texts) >= _MANY else 1
    words = [word for word, count in seen.most_common(most) if count >= least]
    counts = np.array([seen[word] for word in words], float)
    return {word: n for n, word in enumerate(words)}, np.log((1 + len(texts)) / (1 + counts)) + 1


def _words(text: str, language: str) -> Iterator[str]:
    found = stems(text, language)
    yield from found
    yield from map(" ".join, pairwise(found))


@dataclass(frozen=True, slots=True)
class _Features:
    """Of N texts: what they mean (N, H), less the mean of those learned from, and their words, sparse."""

    meant: Array
    words: Any

    def times(self, weight: Array) -> Array:
        """(N, K), of weights (H + words, K)"""
        size = self.meant.shape[1]
        made: Array = self.meant @ weight[:size] + self.words @ weight[size:]
        return made

    def back(self, change: Array) -> Array:
        """(H + words, K), of changes (N, K)"""
        import numpy as np

        return np.concatenate([self.meant.T @ change, self.words.T @ change])


def _features(
    texts: Sequence[str],
    words: Mapping[str, int],
    rarity: Array,
    middle: Array,
    language: str,
    said: Array | None = None,
) -> _Features:
    import numpy as np

    sparse = need("scipy.sparse", "train")
    said = vectors(texts) if said is None else said
    rows, columns, values = [], [], []
    for n, text in enumerate(texts):
        counted = Counter(words[word] for word in _words(text, language) if word in words)
        if counted:
            at = np.fromiter(counted, int)
            weighed = (1 + np.log(np.fromiter(counted.values(), float))) * rarity[at]
            rows += [n] * len(at)
            columns += at.tolist()
            values += (_WORDS * weighed / np.linalg.norm(weighed)).tolist()
    held = sparse.csr_matrix((np.array(values, np.float32), (rows, columns)), shape=(len(texts), len(words)))
    return _Features(said - middle, held)
