# SPDX-License-Identifier: Apache-2.0
"""A pre-norm model in rotated coordinates: the same function, other numbers inside.

Outliers of single channels cost a quantised model most of its bits. An orthogonal matrix R1 on the
residual stream and a matrix R2 per head between V and O spread them over all channels; both are
folded into the weights, so that nothing is computed for them at run time (QuaRot, arXiv 2404.00456;
SpinQuant, 2405.16406).

R1 commutes with a norm only if that has no gains of its own: they are folded into the matrices that
read the norm's output. A layer norm subtracts the mean as well: the embedding and the matrices that
write the residual get rid of it once and for all, and what is left is an RMS norm (SliceGPT,
2401.15024). With x a row of the residual, g and o gains and offsets of a norm, W a matrix
``[out, in]`` and b its bias:

====================  =========================================
embeddings            ``x -> (x - mean x) R1``
readers (q, k, v ..)  ``W -> W diag(g) R1``, ``b -> b + W o``
writers (o, fc2)      ``W -> R1^T (W - mean of its rows)``
v, rows of a head     ``W -> R2^T W``
o, columns of a head  ``W -> W R2``
====================  =========================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from meadow.compiler.rotation.orthogonal import spreading_matrix
from meadow.model.shaped_tensors import ShapedTensors
from meadow.spec.model import ModelDescription

__all__ = ["RotatedTensors", "rotate_model"]

_WRITERS = ("o", "fc2")
_NORM_IN_FRONT = {
    **dict.fromkeys("qkv", "attention_norm"),
    **dict.fromkeys(("fc1", "up"), "mlp_norm"),
}


def rotate_model(
    description: ModelDescription,
    tensors: Mapping[str, np.ndarray],
    *,
    residual: bool = True,
    values: bool = True,
    seed: int = 0,
) -> RotatedTensors:
    """The model with the residual stream (R1) and the values of each head (R2) in rotated
    coordinates, or in those they have.

    residual, values : which of the two; norms are folded in any case. seed : of the signs.
    ValueError for a model that is not pre-norm or that has no head.
    """
    d = description
    return RotatedTensors(
        description,
        tensors,
        residual=spreading_matrix(d.width, seed=seed) if residual else np.eye(d.width),
        values=spreading_matrix(d.head_dim, seed=seed + 1) if values else np.eye(d.head_dim),
    )


class RotatedTensors(ShapedTensors):
    """The rotated model's tensors, float64, each made when it is asked for.

    Parameters
    ----------
    description : of the model as it was.
    tensors : its tensors.
    residual : R1, orthogonal ``[width, width]``.
    values : R2, orthogonal ``[head_dim, head_dim]``.

    Members
    -------
    description : of the rotated model: RMS norms, a head of its own.
    shapes : of its tensors.
    turned : rows of the residual as the rotated model has them.

    ValueError for a model that is not pre-norm or that has no head, and for a final norm with an
    offset where its gain is 0, which no head without biases can take in.
    """

    def __init__(
        self,
        description: ModelDescription,
        tensors: Mapping[str, np.ndarray],
        *,
        residual: np.ndarray,
        values: np.ndarray,
    ) -> None:
        if description.norm_order != "pre" or description.outputs != "tokens":
            raise ValueError(
                f"a model that is rotated must be pre-norm and have a head, not so "
                f"{description.architecture}"
            )
        self._source, self._tensors = description, tensors
        self._residual, self._values = residual, values
        self.description = dataclasses.replace(description, norm="rms", tied_head=False)
        self.shapes = self.description.tensor_shapes
        self._final_offset = self._head_offset()

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self.shapes[name]
        if "norm." in name:
            if name == "final_norm.bias":
                return self._final_offset
            return np.ones(shape) if name.endswith(".weight") else np.zeros(shape)
        if name.startswith("embed_"):
            return self._centred(self._wide(name), axis=1) @ self._residual
        if name == "head":
            head = self._wide("embed_tokens" if self._source.tied_head else "head")
            return (head * self._wide("final_norm.weight")) @ self._residual
        layer, _, rest = name.rpartition(".")[0].rpartition(".")
        kind = name.rpartition(".")[2]
        if rest in _WRITERS:
            return self._writer(layer, rest, kind)
        return self._reader(layer, rest, kind)

    def turned(self, rows: np.ndarray) -> np.ndarray:
        """Rows ``[n, width]`` of the model's residual in the rotated model's coordinates, in the
        type that they have.
        """
        return self._centred(rows, axis=1) @ self._residual.astype(rows.dtype)

    def _reader(self, layer: str, part: str, kind: str) -> np.ndarray:
        """A matrix that reads a norm's output, or its bias."""
        norm = f"{layer}.{_NORM_IN_FRONT[part]}"
        weight = self._wide(f"{layer}.{part}.weight")
        if kind == "weight":
            found = (weight * self._wide(f"{norm}.weight")) @ self._residual
        else:
            found = self._wide(f"{layer}.{part}.bias")
            if f"{norm}.bias" in self._tensors:
                found = found + weight @ self._wide(f"{norm}.bias")
        if part != "v":
            return found
        heads = found.reshape(self._source.kv_heads, self._source.head_dim, -1)
        return (self._values.T @ heads).reshape(found.shape)

    def _writer(self, layer: str, part: str, kind: str) -> np.ndarray:
        """A matrix that writes the residual, or its bias."""
        found = self._centred(self._wide(f"{layer}.{part}.{kind}"), axis=0)
        if part == "o" and kind == "weight":
            heads = found.reshape(len(found), self._source.heads, self._source.head_dim)
            found = (heads @ self._values).reshape(found.shape)
        return self._residual.T @ found

    def _centred(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Without the mean over the residual's channels, which a layer norm would subtract."""
        if self._source.norm == "rms":
            return array
        return array - array.mean(axis=axis, keepdims=True)

    def _head_offset(self) -> np.ndarray:
        """Offset of the final norm: what the head makes of it is what it was."""
        if "final_norm.bias" not in self.shapes:
            return np.zeros(0)
        gain, offset = self._wide("final_norm.weight"), self._wide("final_norm.bias")
        lost = np.flatnonzero((gain == 0) & (offset != 0))
        if lost.size:
            raise ValueError(
                f"the final norm must have a gain where it has an offset, not so in channel "
                f"{lost[0]}"
            )
        return (offset / np.where(gain == 0, 1.0, gain)) @ self._residual

    def _wide(self, name: str) -> np.ndarray:
        return self._tensors[name].astype(np.float64)
