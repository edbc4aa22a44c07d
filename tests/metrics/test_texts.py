"""BLEU-4 and ROUGE-L against plain loops over every text, with no counting of pairs."""

import math
import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from fauds.metrics.texts import bleu4, rouge_l

WORDS = ["the", "lips", "are", "not", "pulled", "up", "."]


def plain_bleu(references, candidates):
    """Papineni et al. 2002, one reference a text: cross each match off the reference."""
    precisions = []
    for order in (1, 2, 3, 4):
        matched = offered = 0
        for reference, candidate in zip(references, candidates, strict=True):
            left = [reference[i : i + order] for i in range(len(reference) - order + 1)]
            for i in range(len(candidate) - order + 1):
                offered += 1
                if candidate[i : i + order] in left:
                    left.remove(candidate[i : i + order])
                    matched += 1
        if not matched:
            return 0.0
        precisions.append(matched / offered)
    wanted, said = sum(map(len, references)), sum(map(len, candidates))
    penalty = 1 if said > wanted else math.exp(1 - wanted / said)
    return penalty * math.prod(precisions) ** 0.25


def plain_rouge(reference, candidate):
    """Twice the longest common subsequence over all tokens, by the textbook's table."""
    table = [[0] * (len(candidate) + 1) for _ in range(len(reference) + 1)]
    for i, meant in enumerate(reference):
        for j, said in enumerate(candidate):
            same = meant == said
            table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    return 2 * table[-1][-1] / (len(reference) + len(candidate))


class OwnTokens:
    """Gives rouge-score the tokens as they are: its own tokeniser drops Chinese altogether."""

    def tokenize(self, text):
        return text


def corpus(seed):
    rng = random.Random(seed)
    found = []
    for _ in range(12):
        reference = rng.choices(WORDS, k=rng.randint(4, 14))
        candidate = [w for w in reference if rng.random() > 0.15] + rng.choices(
            WORDS, k=rng.randint(0, 2)
        )
        found.append((reference, candidate, rng.randint(1, 4)))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_those_of_every_text_on_its_own(seed):
    pairs = corpus(seed)
    references = [reference for reference, _, times in pairs for _ in range(times)]
    candidates = [candidate for _, candidate, times in pairs for _ in range(times)]
    assert 0 < bleu4(pairs) == pytest.approx(plain_bleu(references, candidates), abs=1e-12)
    each = [plain_rouge(*pair) for pair in zip(references, candidates, strict=True)]
    assert rouge_l(pairs) == pytest.approx(sum(each) / len(each))


def test_a_text_that_only_repeats_is_not_rewarded():
    reference, text = ["the", "lips", "are", "pulled", "up"], ["the"] * 5
    assert rouge_l([(reference, text, 1)]) == pytest.approx(2 * 1 / 10)
    assert bleu4([(reference, text, 1)]) == 0
    twice = [*reference, *reference]
    assert bleu4([(reference, twice, 1)]) < 0.5  # each sequence is matched once


def test_a_short_text_pays_for_its_brevity():
    reference = ["the", "lips", "are", "not", "pulled", "up", "."]
    assert bleu4([(reference, reference[:5], 1)]) == pytest.approx(math.exp(1 - 7 / 5))


def test_equal_texts_score_one_and_empty_ones_nothing():
    reference = ["the", "lips", "are", "pulled", "up", "."]
    assert bleu4([(reference, reference, 3)]) == rouge_l([(reference, reference, 3)]) == 1
    assert bleu4([(reference, [], 3)]) == rouge_l([(reference, [], 3)]) == 0


def test_what_cannot_be_measured_is_undefined():
    assert math.isnan(bleu4([])) and math.isnan(rouge_l([]))
    assert math.isnan(bleu4([(["she", "blinks", "."], ["she", "blinks", "."], 1)]))


@pytest.mark.parametrize("seed", range(3))
def test_rouge_is_that_of_the_package_with_the_same_tokens(seed):
    scorer = RougeScorer(["rougeL"], tokenizer=OwnTokens())
    pairs = corpus(seed)
    theirs = [(scorer.score(meant, said)["rougeL"].fmeasure, times) for meant, said, times in pairs]
    wanted = sum(value * times for value, times in theirs) / sum(times for _, times in theirs)
    assert rouge_l(pairs) == pytest.approx(wanted, abs=1e-12)


def test_chinese_tokens_are_compared_as_any_others():
    meant, said = (
        ["嘴角", "向上", "抬起", "，", "脸颊", "隆起"],
        ["嘴角", "向上", "抬起", "，", "隆起"],
    )
    assert 0 < bleu4([(meant, said, 2)]) < 1
    assert rouge_l([(meant, said, 2)]) == pytest.approx(2 * 5 / 11)
