"""Outputs and gradients of the model equal those of the plain version of the equations."""

import pytest
import torch
import torch.nn.functional as F

from fauds.nn.layers.decoder import CaptionDecoder
from fauds.nn.layers.recurrence import LSTMInputs, run_lstm
from fauds.nn.layers.words import pack_words
from fauds.nn.vlfau import vlfau_loss

from .helpers import AUS, batch, batch_of, captions, small_model
from .plain import PlainVLFAU, correspondence, decoder_correspondence, plain_decoder

TOLERANCE = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-11, 1e-10)}


def plain_losses(output, local, whole, labels, weights):
    """Return eq. 8, 10, 11 and L_Gau, computed one image, AU and word at a time."""
    au_logits, words, global_logits, gau = output
    parts = {"fau": [], "lgen": [], "ggen": [], "gau": []}
    for b in range(len(labels)):
        for a in range(labels.shape[1]):
            if labels[b, a] < 0:
                continue
            for name, logits in (("fau", au_logits), ("gau", gau)):
                parts[name].append(-weights[a] * logits[b, a].log_softmax(0)[labels[b, a]])
            parts["lgen"].append(caption_loss(words[b, a], local[b, a, 1:]))
        parts["ggen"].append(caption_loss(global_logits[b], whole[b, 1:]))
    return {name: torch.stack(values).mean() for name, values in parts.items()}


def caption_loss(logits, targets):
    """Return eq. 11 for one caption: the mean of -log p over its words."""
    terms = [-logits[t].log_softmax(0)[w] for t, w in enumerate(targets.tolist()) if w]
    return torch.stack(terms).mean()


OPEN_POINTS = [
    {},
    {"spatial_sigmoid": False, "stage_norm": False},
    {"msc_pool": "after"},
    {"feed_words": False},
    {"begin": "zeros"},
    {"feed_words": False, "begin": "zeros", "msc_pool": "after", "stage_norm": False},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("changes", OPEN_POINTS, ids=lambda changes: ", ".join(changes) or "ours")
def test_outputs_losses_and_gradients_equal_those_of_the_equations(dtype, changes):
    model = small_model(**changes).to(dtype)
    plain = PlainVLFAU(model).eval()
    images, local, whole, labels = batch(dtype=dtype)
    weights = torch.tensor([0.5, 1.5, 1.0], dtype=dtype)
    output, expected = model(batch_of(images, local, whole)), plain(images, local, whole)
    close, close_gradients = TOLERANCE[dtype]
    torch.testing.assert_close(output.au_logits, expected[0], atol=close, rtol=close)
    torch.testing.assert_close(output.global_au_logits, expected[3], atol=close, rtol=close)
    check_words(output.local_logits, expected[1].flatten(0, 1), local.flatten(0, 1), close)
    check_words(output.global_logits, expected[2], whole, close)

    losses = vlfau_loss(output, labels, weights)
    expected_losses = plain_losses(expected, local, whole, labels, weights)
    for name, value in expected_losses.items():
        torch.testing.assert_close(losses[name], value, atol=close, rtol=close)
    losses["total"].backward()
    sum(expected_losses.values()).backward()
    check_gradients(correspondence(plain, model), close_gradients)


def check_words(packed, expected, tokens, tolerance):
    """Compare packed logits with logits [R, T, V] at the words of the captions."""
    real = tokens[:, 1:] != 0
    padded = packed.padded()
    real = real[:, : padded.shape[1]]
    torch.testing.assert_close(
        padded[real], expected[:, : padded.shape[1]][real], atol=tolerance, rtol=tolerance
    )
    assert len(packed.logits) == int((tokens[:, 1:] != 0).sum())


def check_gradients(pairs, tolerance):
    for plain_parameter, parameters, shape in pairs:
        expected = shape(*(t.grad for t in parameters))
        if shape is torch.zeros_like:  # nn.LSTMCell's second bias
            continue
        torch.testing.assert_close(plain_parameter.grad, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("pool", ["before", "after"])
def test_multi_scale_computes_equation_1(pool):
    model = small_model(msc_pool=pool).double()
    stages = [t.detach() for t in model.stem(torch.randn(2, 3, 64, 64).double())]
    combine = model.combine
    maps = []
    for stage, norm, conv in zip(stages, combine.norms, combine.convs, strict=True):
        factor = stage.shape[-1] // stages[-1].shape[-1]
        if pool == "before":
            stage = F.avg_pool2d(stage, factor)
        mean = stage.mean(1, keepdim=True)
        normal = (stage - mean) / (stage.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        maps.append(conv(normal * norm.weight[:, None, None] + norm.bias[:, None, None]))
        if pool == "after":
            maps[-1] = F.avg_pool2d(maps[-1], factor)
    expected = torch.einsum("bchw,dc->bhwd", torch.cat(maps, 1), combine.combine.weight)
    torch.testing.assert_close(combine(stages), expected + combine.combine.bias)


def test_pooling_before_and_after_the_convolutions_differ():
    after, before = (small_model(msc_pool=pool).combine for pool in ("after", "before"))
    stages = [torch.randn(2, 8 * 2**s, 16 // 2**s, 16 // 2**s) for s in range(4)]
    assert after(stages).shape == before(stages).shape == (2, 2, 2, 12)
    assert not torch.allclose(after(stages), before(stages), atol=1e-3)


def test_without_feed_words_a_caption_depends_on_the_image_alone():
    decoder = CaptionDecoder(11, 12, 10, 6, 7, feed_words=False)
    tokens, values = captions(4, words=6), torch.randn(4, 5, 12)
    others = torch.where(tokens > 3, 14 - tokens, tokens)
    logits, other_logits = (
        decoder(values, pack_words(words))[0].logits for words in (tokens, others)
    )
    assert torch.equal(logits, other_logits)
    assert "embedding.weight" not in decoder.state_dict()


def test_dair_equals_the_plain_branches():
    model = small_model()
    plain = PlainVLFAU(model)
    whole = torch.randn(2, 4, 4, 12)
    refined, maps = model.dair(whole)
    for a, branch in enumerate(plain.branches):
        hat, spatial, _ = branch(whole.permute(0, 3, 1, 2))
        torch.testing.assert_close(refined[:, a], hat.flatten(2).transpose(1, 2))
        torch.testing.assert_close(maps[:, a], spatial)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"feed_words": False}, {"begin": "zeros"}], ids=str)
def test_decoding_word_by_word_equals_teacher_forcing(width, changes):
    decoder = CaptionDecoder(11, 12, 10, 6, 7, **changes).eval()
    tokens, values = captions(4, words=6), torch.randn(4, 5, 12)
    packed, _ = decoder(values, pack_words(tokens))
    state, steps = decoder.start(values, width), []
    for t in range(tokens.shape[1] - 1):
        logits, state = decoder.step(state, tokens[:, t : t + 1].expand(-1, width))
        steps.append(logits[:, -1])
    check_words(packed, torch.stack(steps, 1), tokens, 1e-5)


def test_the_decoder_equals_the_plain_one_for_captions_of_any_length():
    decoder = CaptionDecoder(11, 12, 10, 6, 7).double()
    plain = plain_decoder(decoder).double()
    for plain_parameter, parameters, shape in decoder_correspondence(plain, decoder):
        plain_parameter.data.copy_(shape(*(t.data for t in parameters)))
    tokens = captions(6, words=6, seed=3)
    tokens[2] = 0
    values = torch.randn(6, 5, 12, dtype=torch.float64, requires_grad=True)
    packed, contexts = decoder(values, pack_words(tokens))
    (packed.logits.square().sum() + packed.mean_per_row(contexts).square().sum()).backward()
    gradient, values.grad = values.grad, None
    state, expected, attended = plain.begin(values), [], []
    for t in range(tokens.shape[1] - 1):
        logits, context, state = plain(values, tokens[:, t], state)
        expected.append(logits)
        attended.append(context)
    real = (tokens[:, 1:] != 0)[..., None]
    mean = (torch.stack(attended, 1) * real).sum(1) / real.sum(1).clamp(min=1)
    ((torch.stack(expected, 1) * real).square().sum() + mean.square().sum()).backward()
    torch.testing.assert_close(gradient, values.grad)
    assert gradient[2].abs().sum() == 0
    check_gradients(decoder_correspondence(plain, decoder), 1e-10)


def test_the_gradients_of_the_word_loop_are_numerically_correct():
    torch.manual_seed(0)
    r, p, d, k, h, v = 3, 4, 3, 2, 2, 5
    shapes = [
        (r, p, d),
        (r, p, k),
        (v, 4 * h),
        (r, h),
        (r, h),
        (k, h),
        (4 * h, h),
        (4 * h, d),
        (k,),
    ]
    inputs = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in shapes]
    words = torch.tensor([1, 2, 3, 4, 2, 1])

    def run(*tensors):
        return run_lstm(LSTMInputs(*tensors), words, (3, 2, 1))

    assert torch.autograd.gradcheck(run, inputs)


def test_the_images_of_a_batch_are_independent():
    model = small_model()
    images, local, whole, _ = batch(size=3)
    alone = model(batch_of(images[1:2], local[1:2], whole[1:2]))
    together = model(batch_of(images, local, whole))
    second_image = together.local_logits.rows // AUS == 1
    torch.testing.assert_close(together.au_logits[1:2], alone.au_logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        together.local_logits.padded()[AUS : 2 * AUS, : alone.local_logits.padded().shape[1]],
        alone.local_logits.padded(),
        atol=1e-5,
        rtol=1e-5,
    )
    assert int(second_image.sum()) == len(alone.local_logits.targets)
