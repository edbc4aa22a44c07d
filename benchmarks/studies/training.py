"""Measure how often two equal methods are told apart when their models are really trained.

    python benchmarks/studies/training.py --replications 300

Intervals over test subjects take the models as given. In three-fold cross-validation they are not:
the test subjects of one fold train the models of the other two. Here, small networks are trained on
synthetic features of 41 and of 27 subjects, in three folds and with several seeds. Method a sees
other features than method b, but all features are made in the same way, so that neither method is
better. Every verdict that one of them is better is false.

For each number of seeds a side, the study prints how often the verdict of `fauds compare` on mean
F1 is false; how often the interval of the difference misses the difference of the trained models on
people whom nobody was trained on; and how often the interval of one model's mean F1 misses what its
trained models reach on such people, and what the method reaches on average over training subjects,
seeds and test subjects. That last value is the mean over all replications.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from fauds.metrics import occurrence
from fauds.metrics.comparison import difference_interval
from fauds.metrics.intervals import intervals
from fauds.metrics.occurrence import Counts

SUBJECTS = (41, 27)
_FOLDS, _METHODS, _AUS, _FEATURES = 3, 2, 8, 24
_FRAMES, _NEW = 80, 200
_HIDDEN, _STEPS, _BATCH, _RATE = 12, 150, 192, 0.02
# Correlation of neighbouring frames, of labels and of noise.
_AR = 0.9


@dataclass(frozen=True)
class People:
    """Labels and features of the frames of G subjects.

    Attributes:
        labels: whether each of A AUs is active, int8 [G * T, A], for T frames of each subject.
        features: what each method sees, float32 [methods, G * T, D].
    """

    labels: np.ndarray
    features: torch.Tensor


class World:
    """How features depend on AUs and on subjects: the same for both methods and all replications.

    Attributes:
        directions: the direction in which each AU moves the features, [A, D].
        offsets: how rarely each AU is active, as a normal score, [A]: in 50 to 15 % of the frames.
    """

    def __init__(self) -> None:
        shape = (_AUS, _FEATURES)
        self.directions = np.random.default_rng(0).normal(0, 1 / np.sqrt(_FEATURES), shape)
        self.offsets = np.linspace(0.0, 1.05, _AUS)

    def people(self, rng: np.random.Generator, subjects: int) -> People:
        """Sample subjects.

        They differ in how often they show each AU, in how strongly it moves their features, and in
        the features of their face at rest. Half of the variance of both is the same for both
        methods, as some faces are hard for any method.
        """
        prone = rng.normal(0, 0.6, (subjects, 1, _AUS))
        latent = _autoregressive(rng, (subjects, _FRAMES, _AUS))
        labels = (np.sqrt(1 + 0.6**2) * self.offsets < latent + prone).astype(np.float32)
        strength = 2.0 * np.exp(0.5 * _half_shared(rng, (subjects, 1, _AUS)))
        moved = (labels * strength) @ self.directions
        rest = 0.5 * _half_shared(rng, (subjects, 1, _FEATURES))
        noise = 0.6 * np.stack(
            [_autoregressive(rng, (subjects, _FRAMES, _FEATURES)) for _ in range(_METHODS)]
        )
        features = (moved + rest + noise).reshape(_METHODS, subjects * _FRAMES, _FEATURES)
        return People(
            labels.reshape(-1, _AUS).astype(np.int8), torch.from_numpy(features.astype(np.float32))
        )


def _half_shared(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Sample normals of variance 1 for each method, [methods, *shape]; methods correlate by 0.5."""
    common = rng.standard_normal(shape)
    return np.sqrt(0.5) * (common + rng.standard_normal((_METHODS, *shape)))


def _autoregressive(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Sample normals of variance 1 whose neighbours along axis 1 correlate by `_AR`."""
    values = rng.standard_normal(shape)
    for frame in range(1, shape[1]):
        values[:, frame] = _AR * values[:, frame - 1] + np.sqrt(1 - _AR**2) * values[:, frame]
    return values


class Networks:
    """Networks of one hidden layer that are trained at the same time, one a method, seed and fold.

    Attributes:
        parameters: their weights and biases, each [methods * seeds * folds, ...].
    """

    def __init__(self, seeds: int, generator: torch.Generator) -> None:
        number = _METHODS * seeds * _FOLDS
        self.seeds = seeds

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(number, *shape, generator=generator)

        self.parameters = [
            normal(_FEATURES, _HIDDEN) / np.sqrt(_FEATURES),
            torch.zeros(number, 1, _HIDDEN),
            normal(_HIDDEN, _AUS) / np.sqrt(_HIDDEN),
            torch.zeros(number, 1, _AUS),
        ]

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [networks, N, A] for features [networks, N, D]."""
        first, bias, second, last = self.parameters
        hidden = torch.relu(torch.baddbmm(bias, features, first))
        return torch.baddbmm(last, hidden, second)

    def of_all(self, values: torch.Tensor) -> torch.Tensor:
        """Repeat what each method sees, [methods, ...], for its networks, [networks, ...]."""
        return values.repeat_interleave(self.seeds * _FOLDS, dim=0)

    def train(self, people: People, folds: np.ndarray, generator: torch.Generator) -> None:
        """Train each network on the frames of the subjects that its fold does not test."""
        labels = torch.from_numpy(people.labels.astype(np.float32))
        of_frame = np.repeat(folds, _FRAMES)
        trained_on = [torch.from_numpy(np.flatnonzero(of_frame != f)) for f in range(_FOLDS)]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.Adam(self.parameters, _RATE)
        methods = torch.arange(_METHODS).repeat_interleave(self.seeds * _FOLDS)
        for step in range(_STEPS):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1 - step / _STEPS)
            rows = torch.stack(
                [
                    frames[torch.randint(len(frames), (_BATCH,), generator=generator)]
                    for _ in range(_METHODS * self.seeds)
                    for frames in trained_on
                ]
            )
            logits = self(people.features[methods[:, None], rows])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
            optimiser.zero_grad()
            # The networks share no weights: the sum of their means trains each as if alone.
            (len(methods) * loss).backward()
            optimiser.step()
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def decisions(self, people: People) -> np.ndarray:
        """Return each network's decisions on all frames, bool [methods, seeds, folds, N, A]."""
        with torch.no_grad():
            logits = self(self.of_all(people.features))
        return (logits > 0).numpy().reshape(_METHODS, self.seeds, _FOLDS, -1, _AUS)


@dataclass(frozen=True)
class Replication:
    """The tests of one replication.

    Attributes:
        runs: each method's counts by subject, for each seed.
        new: the mean F1 of each method and seed on new people, [methods, seeds]: the mean over
            folds of that of the fold's model, in test sets of as many subjects.
    """

    runs: list[list[Counts]]
    new: np.ndarray


def replicate(subjects: int, seeds: int, seed: int) -> Replication:
    """Sample people, train all networks on them, and test them on these and on new people."""
    rng, generator = np.random.default_rng([seed, subjects]), torch.Generator().manual_seed(seed)
    world, folds = World(), _folds(subjects)
    people, others = world.people(rng, subjects), world.people(rng, _NEW)
    networks = Networks(seeds, generator)
    networks.train(people, folds, generator)
    decided, elsewhere = networks.decisions(people), networks.decisions(others)
    of_frame, owner = np.repeat(folds, _FRAMES), np.repeat(np.arange(subjects), _FRAMES)
    own = decided[:, :, of_frame, np.arange(len(of_frame))]
    runs = [
        [occurrence.count_by(people.labels, own[m, s], owner, subjects) for s in range(seeds)]
        for m in range(_METHODS)
    ]
    # New test sets of as many people as a fold tests: F1 depends a little on their number.
    size = subjects // _FOLDS
    sets = _NEW // size
    set_of_frame = np.repeat(np.arange(_NEW) // size, _FRAMES)
    whole = set_of_frame < sets
    new = np.empty((_METHODS, seeds, _FOLDS))
    for at in np.ndindex(new.shape):
        counts = occurrence.count_by(
            others.labels[whole], elsewhere[at][whole], set_of_frame[whole], sets
        )
        new[at] = np.nanmean(occurrence.f1(counts))
    return Replication(runs, new.mean(axis=-1))


def _folds(subjects: int) -> np.ndarray:
    return np.arange(subjects) % _FOLDS


def study(subjects: int, seeds: int, replications: int, seed: int) -> None:
    """Print the false verdicts and missed values for one seed a side and for all of them."""
    start = time.perf_counter()
    done = [replicate(subjects, seeds, seed + i) for i in range(replications)]
    folds = _folds(subjects)
    figures = [
        intervals(r.runs[0][0], folds, occurrence.f1, estimand="mean_of_folds") for r in done
    ]
    value, low, high = (np.array([getattr(f, name)[-1] for f in figures])
                        for name in ("value", "low", "high"))  # fmt: skip
    of_models = np.array([r.new[0, 0] for r in done])
    method = value.mean()
    print(f"\n{subjects} subjects, {_FOLDS} folds, {replications} replications "
          f"({(time.perf_counter() - start) / 60:.1f} min)")  # fmt: skip
    print(f"mean F1 {100 * method:.1f} (on new people {100 * of_models.mean():.1f}), interval "
          f"{100 * (high - low).mean():.1f} points wide; standard deviation over seeds "
          f"{100 * np.mean([r.new.std(axis=1, ddof=1) for r in done]):.2f}")  # fmt: skip
    print(
        f"interval misses what the trained models reach on new people in "
        f"{_percent((low > of_models) | (high < of_models))} %, "
        f"what the method reaches on average in {_percent((low > method) | (high < method))} %"
    )
    print("| seeds a side | false verdicts % | misses the trained models' difference % | "
          "half-width | SD of the difference |")  # fmt: skip
    print("|---|---|---|---|---|")
    for number in sorted({1, seeds}):
        computed = [
            difference_interval(*(runs[:number] for runs in r.runs), folds, occurrence.f1,
                                estimand="mean_of_folds") for r in done
        ]  # fmt: skip
        difference, low, high = (100 * np.array([getattr(f, name)[-1] for f in computed])
                                 for name in ("value", "low", "high"))  # fmt: skip
        true = 100 * np.array([np.subtract(*r.new[:, :number].mean(axis=1)) for r in done])
        print(f"| {number} | {_percent((low > 0) | (high < 0))} | "
              f"{_percent((low > true) | (high < true))} | {(high - difference).mean():.2f} | "
              f"{difference.std():.2f} |", flush=True)  # fmt: skip


def _percent(wrong: np.ndarray) -> str:
    """Return a share of replications in %, with its standard error."""
    share = wrong.mean()
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / len(wrong)):.1f}"


def main() -> None:
    """Run the study for as many subjects as BP4D and DISFA have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=300, help="samples of subjects")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of each method")
    parser.add_argument("--subjects", type=int, action="append",
                        help="number of subjects  [default: 41 and 27]")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sample")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for subjects in options.subjects or SUBJECTS:
        study(subjects, options.seeds, options.replications, options.seed)


if __name__ == "__main__":
    main()
