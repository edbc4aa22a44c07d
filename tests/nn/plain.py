"""VL-FAU written as in the paper's equations: a module for each AU, loops over AUs and words.

It is slow on purpose. The fidelity tests compare fauds.nn with it, and the speed benchmark
measures it.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from fauds.nn.layers.backbone import MultiScale
from fauds.nn.layers.decoder import CaptionDecoder
from fauds.nn.vlfau import VLFAU


class PlainBranch(nn.Module):
    """The branch of one AU: DAIR_i (eq. 2 and 3) and its fully connected layer."""

    def __init__(self, dim, hidden, sigmoid):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.conv = nn.Conv2d(2, 1, 3, padding=1)
        self.head = nn.Linear(dim, 2)
        self.sigmoid = sigmoid

    def mlp(self, pooled):
        return self.fc2(F.relu(self.fc1(pooled)))

    def forward(self, whole):
        """Return V-hat [B, d, h, w], its map [B, h, w] and logits [B, 2] from V [B, d, h, w]."""
        maximum, average = F.adaptive_max_pool2d(whole, 1), F.adaptive_avg_pool2d(whole, 1)
        attention = torch.sigmoid(self.mlp(maximum.flatten(1)) + self.mlp(average.flatten(1)))
        bar = attention[:, :, None, None] * whole
        pooled = torch.cat([bar.max(1, keepdim=True).values, bar.mean(1, keepdim=True)], 1)
        spatial = self.conv(pooled)
        spatial = torch.sigmoid(spatial) if self.sigmoid else spatial
        hat = spatial * bar
        return hat, spatial[:, 0], self.head(hat.mean((2, 3)))


class PlainMultiScale(nn.Module):
    """MSC (eq. 1), one stage at a time."""

    def __init__(self, channels, width, dim, norm, pool):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(c) if norm else nn.Identity() for c in channels)
        self.convs = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in channels)
        self.combine = nn.Linear(width * len(channels), dim)
        self.pool = pool

    def forward(self, stages):
        """Return V [B, d, h, w] from stages [B, C_s, H_s, W_s]."""
        maps, size = [], stages[-1].shape[2:]
        for stage, norm, conv in zip(stages, self.norms, self.convs, strict=True):
            if self.pool == "before":
                stage = F.adaptive_avg_pool2d(stage, size)
            stage = conv(norm(stage.movedim(1, 3)).movedim(3, 1))
            if self.pool == "after":
                stage = F.adaptive_avg_pool2d(stage, size)
            maps.append(stage)
        return self.combine(torch.cat(maps, 1).movedim(1, 3)).movedim(3, 1)


class PlainDecoder(nn.Module):
    """Eq. 4 to 6, one word of one branch at a time; V is projected again at every word."""

    def __init__(self, vocab, embed, dim, hidden, attention, begin="mean"):
        """Build the decoder; no word is fed if `embed` is 0."""
        super().__init__()
        if embed:
            self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.embed, self.hidden = embed, hidden
        self.cell = nn.LSTMCell(embed + dim, hidden)
        self.key, self.query = nn.Linear(dim, attention), nn.Linear(hidden, attention, bias=False)
        self.score = nn.Linear(attention, 1, bias=False)
        if begin == "mean":
            self.begin_h, self.begin_c = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.from_mean = begin == "mean"
        self.readout = nn.Linear(hidden, vocab)

    def begin(self, values):
        mean = values.mean(1)
        if not self.from_mean:
            return mean.new_zeros(len(mean), self.hidden), mean.new_zeros(len(mean), self.hidden)
        return self.begin_h(mean), self.begin_c(mean)

    def forward(self, values, word, state):
        """Return logits [B, V], the attended feature [B, d] and the new (h, c)."""
        h, c = state
        scores = self.score(F.relu(self.key(values) + self.query(h)[:, None]))
        alpha = torch.softmax(scores, dim=1)
        attended = (alpha * values).sum(1)
        fed = [self.embedding(word), attended] if self.embed else [attended]
        h, c = self.cell(torch.cat(fed, 1), (h, c))
        return self.readout(h), attended, (h, c)


class PlainVLFAU(nn.Module):
    """The network with all parts of Table 4, with the weights of `model`."""

    def __init__(self, model: VLFAU):
        super().__init__()
        self.stem, self.combine = copy.deepcopy(model.stem), plain_multi_scale(model.combine)
        dair = model.dair
        _, dim, hidden = dair.squeeze_weight.shape
        self.branches = nn.ModuleList(
            PlainBranch(dim, hidden, dair.spatial_sigmoid) for _ in range(model.num_aus)
        )
        self.local_decoder = plain_decoder(model.local_decoder)
        self.global_decoder = plain_decoder(model.global_decoder)
        self.global_head = copy.deepcopy(model.global_head)
        self.to(next(model.parameters()).dtype)
        for plain_parameter, parameters, shape in correspondence(self, model):
            plain_parameter.data.copy_(shape(*(t.data for t in parameters)))

    def forward(self, images, local_tokens, global_tokens):
        """Return the logits of AUs, local and global words, and L_Gau.

        Their shapes are [B, A, 2], [B, A, T, V], [B, T, V] and [B, A, 2].
        """
        whole = self.combine(self.stem(images))
        branches = [branch(whole) for branch in self.branches]
        values = [hat.flatten(2).transpose(1, 2) for hat, _, _ in branches]
        states = [self.local_decoder.begin(v) for v in values]
        local = []
        for t in range(local_tokens.shape[2] - 1):
            words = []
            for a, v in enumerate(values):
                logits, _, states[a] = self.local_decoder(v, local_tokens[:, a, t], states[a])
                words.append(logits)
            local.append(torch.stack(words, 1))
        global_logits, attended = self._global(whole.flatten(2).transpose(1, 2), global_tokens)
        au_logits = torch.stack([logits for _, _, logits in branches], 1)
        return au_logits, torch.stack(local, 2), global_logits, self.global_head(attended)

    def _global(self, values, tokens):
        state, logits, attended = self.global_decoder.begin(values), [], []
        for t in range(tokens.shape[1] - 1):
            word, context, state = self.global_decoder(values, tokens[:, t], state)
            logits.append(word)
            attended.append(context)
        real = (tokens[:, 1:] != 0).unsqueeze(2)
        mean = (torch.stack(attended, 1) * real).sum(1) / real.sum(1).clamp(min=1)
        return torch.stack(logits, 1), mean


def plain_decoder(decoder: CaptionDecoder) -> PlainDecoder:
    """Return a plain decoder of the same sizes; `correspondence` pairs their weights."""
    vocab, hidden = decoder.readout.weight.shape
    embed = decoder.embedding.embedding_dim if decoder.embedding else 0
    attention, dim = decoder.key.weight.shape
    begin = "mean" if decoder.begin else "zeros"
    return PlainDecoder(vocab, embed, dim, hidden, attention, begin)


def plain_multi_scale(combine: MultiScale) -> PlainMultiScale:
    """Return a plain MSC of the same sizes."""
    channels = [conv.in_channels for conv in combine.convs]
    norm = isinstance(combine.norms[0], nn.LayerNorm)
    width, dim = combine.convs[0].out_channels, combine.combine.out_features
    return PlainMultiScale(channels, width, dim, norm, combine.pool)


def correspondence(plain: PlainVLFAU, model: VLFAU):
    """Yield (plain parameter, parameters of the model, function from these to the plain one)."""
    for name in ("stem", "combine", "global_head"):
        plain_parameters = dict(getattr(plain, name).named_parameters())
        for key, parameter in getattr(model, name).named_parameters():
            yield plain_parameters[key], [parameter], _same
    dair, heads = model.dair, model.heads
    for a, branch in enumerate(plain.branches):
        yield branch.fc1.weight, [dair.squeeze_weight], lambda w, a=a: w[a].t()
        yield branch.fc1.bias, [dair.squeeze_bias], lambda w, a=a: w[a, 0]
        yield branch.fc2.weight, [dair.excite_weight], lambda w, a=a: w[a].t()
        yield branch.fc2.bias, [dair.excite_bias], lambda w, a=a: w[a, 0]
        yield branch.conv.weight, [dair.spatial_weight], lambda w, a=a: w[a : a + 1]
        yield branch.conv.bias, [dair.spatial_bias], lambda w, a=a: w[a : a + 1]
        yield branch.head.weight, [heads.weight], lambda w, a=a: w[a].t()
        yield branch.head.bias, [heads.bias], lambda w, a=a: w[a]
    for name in ("local_decoder", "global_decoder"):
        yield from decoder_correspondence(getattr(plain, name), getattr(model, name))


def decoder_correspondence(plain: PlainDecoder, decoder: CaptionDecoder):
    """Yield the same as `correspondence`, for one decoder."""
    if decoder.embedding:
        yield plain.embedding.weight, [decoder.embedding.weight], _same
        inputs, bias = [decoder.word_gates.weight], decoder.word_gates.bias
    else:
        inputs, bias = [], decoder.gate_bias
    inputs = [*inputs, decoder.context_gates.weight]
    yield plain.cell.weight_ih, inputs, lambda *parts: _gates(torch.cat(parts, 1))
    yield plain.cell.weight_hh, [decoder.state_gates.weight], _gates
    yield plain.cell.bias_ih, [bias], _gates
    # nn.LSTMCell has two biases, of which only the sum matters.
    yield plain.cell.bias_hh, [bias], torch.zeros_like
    for name in ("key", "query", "score", "readout"):
        plain_parameters = dict(getattr(plain, name).named_parameters())
        for key, parameter in getattr(decoder, name).named_parameters():
            yield plain_parameters[key], [parameter], _same
    initial_layers = (plain.begin_h, plain.begin_c) if decoder.begin else ()
    for part, plain_parameter in enumerate(initial_layers):
        yield plain_parameter.weight, [decoder.begin.weight], lambda w, i=part: w.chunk(2)[i]
        yield plain_parameter.bias, [decoder.begin.bias], lambda w, i=part: w.chunk(2)[i]


def _same(weight):
    return weight


def _gates(weight):
    """Reorder the gates to nn.LSTMCell's order: input, forget, candidate, output."""
    enter, forget, leave, candidate = weight.chunk(4)
    return torch.cat([enter, forget, candidate, leave])
