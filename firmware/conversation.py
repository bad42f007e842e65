# SPDX-License-Identifier: Apache-2.0
"""A text that grows and changes at its end: what the KV cache has of it already is not computed
again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from firmware.session import Sampler, Session

__all__ = ["Conversation", "Turn"]


class Turn:
    """A new version of the text on its way into the cache; made by `Conversation.turn`.

    Members
    -------
    position : tokens that the cache keeps, those of the prefix included.
    fresh : tokens to take in behind them.
    pending : the same as `Session.prefill` is given them: a sequence without tokens of its own
        loses a prefix in front of them.
    generated : tokens generated so far.
    """

    def __init__(self, position: int, fresh: list[int], pending: list[int]) -> None:
        self.position = position
        self.fresh = fresh
        self.pending = pending
        self.generated: list[int] = []


class Conversation:
    """One sequence of a session as a conversation.

    Parameters
    ----------
    session : nobody else steps or rewinds the sequence meanwhile.
    sequence : of the session.
    """

    def __init__(self, session: Session, *, sequence: int = 0) -> None:
        self.session = session
        self.sequence = sequence
        self._seen = list(session.manifest.prefix)

    @property
    def tokens(self) -> list[int]:
        """What is in the cache, the prefix first."""
        return self._seen[: self.session.positions[self.sequence]]

    def turn(self, text: Sequence[int], *, max_tokens: int, chunk: int | None = None) -> Turn:
        """What must be done to go on from `text`, the tokens of the whole conversation.

        It may begin with the model's prefix or not, as any prompt. Nothing happens yet. ValueError,
        as `Session.generate`, for what does not fit the image.
        """
        manifest = self.session.manifest
        limits = manifest.limits
        limits.check_generation(text, max_tokens, chunk=chunk)
        whole = [*manifest.prefix, *limits.own_tokens(text)]
        cached = self.tokens
        position = len(manifest.prefix)
        # The last token is always run: its logits are what an answer begins with.
        most = min(len(cached), len(whole) - 1)
        while position < most and cached[position] == whole[position]:
            position += 1
        fresh = whole[position:]
        return Turn(position, fresh, whole if position == len(manifest.prefix) else fresh)

    def generate(
        self,
        turn: Turn,
        max_tokens: int,
        *,
        sampler: Sampler | None = None,
        chunk: int | None = None,
        end_tokens: Collection[int] | None = None,
    ) -> Iterator[int]:
        """The answer to a turn, token by token; see `Session.generate`.

        It may be given up at any token: the cache then holds the text and all tokens but the last.
        """
        session, sequence = self.session, self.sequence
        session.rewind(sequence, turn.position)
        self._seen = [*self._seen[: turn.position], *turn.fresh]
        for token in session.generate(
            turn.pending,
            max_tokens,
            sampler=sampler,
            chunk=chunk,
            sequence=sequence,
            end_tokens=end_tokens,
        ):
            self._seen.append(token)
            turn.generated.append(token)
            yield token
