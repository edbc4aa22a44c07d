"""Describes faces in texts that agree with the predicted states; the model chooses among them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fauds.captions.candidates import Candidate, Candidates
from fauds.nn.base import Outputs, RatesCaptions, Tokens
from fauds.nn.layers.words import PAD


@dataclass(frozen=True, eq=False)
class ConsistentTexts:
    """The descriptions of B faces, which assert exactly the predicted states of A action units.

    Attributes:
        local: for each face, the description of each action unit; empty lists if the model does not
            describe action units.
        face: for each face, the description of the whole face, "" if the model writes none.
        support: float32 [B, A], the log-likelihood of an action unit's description as active minus
            that as inactive, in nats; with several paraphrases, of all of them together. Positive
            where the decoder favours "active". None if the model does not describe action units.
    """

    local: list[list[str]]
    face: list[str]
    support: np.ndarray | None


def describe_consistently(
    model: RatesCaptions,
    images: Tensor,
    candidates: Candidates,
    names: Sequence[str],
    decide: Callable[[Tensor], np.ndarray],
) -> tuple[Outputs, ConsistentTexts]:
    """Return the outputs of a model, and descriptions that agree with the predicted states.

    Among the descriptions that assert the predicted states, the one with the highest log-likelihood
    per word is chosen.

    Args:
        model: the model, in evaluation mode.
        images: [B, 3, S, S], float and normalised, on the model's device.
        candidates: the descriptions to choose among.
        names: the names of the A action units, in the model's order.
        decide: returns the predicted states, bool [B, A], from the scores of the images, [B, A].
    """
    states = np.zeros((0, 0), bool)
    local: list[list[tuple[list[Candidate], list[Candidate]]]] = []
    faces: list[list[Candidate]] = []

    def tokens(scores: Tensor) -> Tokens:
        nonlocal states
        states = decide(scores)
        for row in states:
            active = {name for name, occurs in zip(names, row, strict=True) if occurs}
            local.append(candidates.local(active))
            faces.append(candidates.face(active))
        pairs = [[*inactive, *active] for of_face in local for inactive, active in of_face]
        by_au = _padded(pairs)
        return Tokens(by_au.view(len(images), len(names), *by_au.shape[1:]), _padded(faces))

    outputs, rated = model.rate(images, tokens)
    texts: list[list[str]] = [[] for _ in faces]
    support = None
    if rated.local is not None:
        likelihoods = rated.local.float().cpu().numpy()
        half = likelihoods.shape[2] // 2
        both = [np.logaddexp.reduce(part, axis=2) for part in np.split(likelihoods, [half], axis=2)]
        support = (both[1] - both[0]).astype(np.float32)
        for at, of_face in enumerate(local):
            for au, pair in enumerate(of_face):
                active = int(states[at, au])
                own = likelihoods[at, au, half * active : half * (active + 1)]
                texts[at].append(_best(pair[active], own).text)
    if rated.global_ is None:
        return outputs, ConsistentTexts(texts, [""] * len(faces), support)
    of_faces = rated.global_.float().cpu().numpy()
    chosen = [_best(*pair).text for pair in zip(faces, of_faces, strict=True)]
    return outputs, ConsistentTexts(texts, chosen, support)


def _best(candidates: Sequence[Candidate], likelihoods: np.ndarray) -> Candidate:
    """Return the candidate with the highest log-likelihood per word."""
    words = np.array([len(candidate.tokens) - 1 for candidate in candidates])
    return candidates[int(np.argmax(likelihoods[: len(candidates)] / words))]


def _padded(rows: Sequence[Sequence[Candidate]]) -> Tensor:
    """Return the tokens of the candidates of each row, long [rows, K, T], padded by <pad>."""
    most = max(map(len, rows))
    longest = max(len(candidate.tokens) for row in rows for candidate in row)
    padded = np.full((len(rows), most, longest), PAD, np.int64)
    for at, row in enumerate(rows):
        for number, candidate in enumerate(row):
            padded[at, number, : len(candidate.tokens)] = candidate.tokens
    return torch.from_numpy(padded)
