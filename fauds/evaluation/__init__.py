"""Predictions, labels and a protocol to results, and runs compared with each other.

Begin with `evaluate`: the one path from predictions to results, for models of fauds and of others.
`score` computes the rows of results, `selection` what other choices of the epoch would claim,
`texts` the figures of descriptions. `results` is the schema of results.json, `finished` reads runs
back, `compare` tests two models on the same frames, and `external/` reads other programs'
predictions.
"""
