"""BLEU-4 and ROUGE-L, compared with plain loops over all texts."""

import math
import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from fauds.metrics.texts import bleu4, rouge_l

WORDS = ["the", "lips", "are", "not", "pulled", "up", "."]


def plain_bleu(references, candidates):
    """Return BLEU-4 (Papineni et al. 2002) with one reference per text."""
    precisions = []
    for order in (1, 2, 3, 4):
        matched = total = 0
        for reference, candidate in zip(references, candidates, strict=True):
            unmatched = [reference[i : i + order] for i in range(len(reference) - order + 1)]
            for i in range(len(candidate) - order + 1):
                total += 1
                if candidate[i : i + order] in unmatched:
                    unmatched.remove(candidate[i : i + order])
                    matched += 1
        if not matched:
            return 0.0
        precisions.append(matched / total)
    reference_length, candidate_length = sum(map(len, references)), sum(map(len, candidates))
    penalty = (
        1
        if candidate_length > reference_length
        else math.exp(1 - reference_length / candidate_length)
    )
    return penalty * math.prod(precisions) ** 0.25


def plain_rouge(reference, candidate):
    """Return twice the longest common subsequence over all tokens, by dynamic programming."""
    table = [[0] * (len(candidate) + 1) for _ in range(len(reference) + 1)]
    for i, expected in enumerate(reference):
        for j, actual in enumerate(candidate):
            same = expected == actual
            table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    return 2 * table[-1][-1] / (len(reference) + len(candidate))


class IdentityTokeniser:
    """A tokeniser that returns given tokens; the one of rouge-score removes all Chinese."""

    def tokenize(self, text):
        return text


def corpus(seed):
    rng = random.Random(seed)
    pairs = []
    for _ in range(12):
        reference = rng.choices(WORDS, k=rng.randint(4, 14))
        candidate = [w for w in reference if rng.random() > 0.15] + rng.choices(
            WORDS, k=rng.randint(0, 2)
        )
        pairs.append((reference, candidate, rng.randint(1, 4)))
    return pairs


@pytest.mark.parametrize("seed", range(8))
def test_scores_of_pairs_equal_those_of_all_texts(seed):
    pairs = corpus(seed)
    references = [reference for reference, _, times in pairs for _ in range(times)]
    candidates = [candidate for _, candidate, times in pairs for _ in range(times)]
    assert 0 < bleu4(pairs) == pytest.approx(plain_bleu(references, candidates), abs=1e-12)
    each = [plain_rouge(*pair) for pair in zip(references, candidates, strict=True)]
    assert rouge_l(pairs) == pytest.approx(sum(each) / len(each))


def test_a_text_that_repeats_words_scores_low():
    reference, text = ["the", "lips", "are", "pulled", "up"], ["the"] * 5
    assert rouge_l([(reference, text, 1)]) == pytest.approx(2 * 1 / 10)
    assert bleu4([(reference, text, 1)]) == 0
    twice = [*reference, *reference]
    assert bleu4([(reference, twice, 1)]) < 0.5  # each sequence is matched once


def test_a_short_text_has_a_brevity_penalty():
    reference = ["the", "lips", "are", "not", "pulled", "up", "."]
    assert bleu4([(reference, reference[:5], 1)]) == pytest.approx(math.exp(1 - 7 / 5))


def test_equal_texts_score_one_and_empty_texts_zero():
    reference = ["the", "lips", "are", "pulled", "up", "."]
    assert bleu4([(reference, reference, 3)]) == rouge_l([(reference, reference, 3)]) == 1
    assert bleu4([(reference, [], 3)]) == rouge_l([(reference, [], 3)]) == 0


def test_scores_without_texts_or_long_enough_references_are_undefined():
    assert math.isnan(bleu4([])) and math.isnan(rouge_l([]))
    assert math.isnan(bleu4([(["she", "blinks", "."], ["she", "blinks", "."], 1)]))


@pytest.mark.parametrize("seed", range(3))
def test_rouge_l_equals_that_of_the_rouge_score_package(seed):
    scorer = RougeScorer(["rougeL"], tokenizer=IdentityTokeniser())
    pairs = corpus(seed)
    package_scores = [
        (scorer.score(reference, candidate)["rougeL"].fmeasure, times)
        for reference, candidate, times in pairs
    ]
    expected = sum(value * times for value, times in package_scores) / sum(
        times for _, times in package_scores
    )
    assert rouge_l(pairs) == pytest.approx(expected, abs=1e-12)


def test_chinese_tokens_are_compared_like_any_others():
    reference, candidate = (
        ["嘴角", "向上", "抬起", "，", "脸颊", "隆起"],
        ["嘴角", "向上", "抬起", "，", "隆起"],
    )
    assert 0 < bleu4([(reference, candidate, 2)]) < 1
    assert rouge_l([(reference, candidate, 2)]) == pytest.approx(2 * 5 / 11)
