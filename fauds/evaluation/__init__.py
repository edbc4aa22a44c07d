"""Scores predictions against labels by a protocol, and compares finished runs.

Begin with `evaluate`: it scores the predictions of fauds' models and of other programs alike.
`score` computes the rows of results, `selection` computes what other ways of choosing the epoch
would report, and `texts` scores generated descriptions. `results` is the schema of results.json,
`finished` reads finished runs, `compare` tests two models on the same frames, and `external/`
reads the predictions of other programs.
"""
