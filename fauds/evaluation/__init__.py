"""Scores predictions against labels by a protocol, and compares finished runs.

Begin with `evaluate`: it scores the predictions of fauds' models and of other programs alike.
`score` computes the rows of results.json, `selection` computes the results that would be reported
if the epoch or the threshold were chosen in another way, and `texts` scores generated descriptions.
`results` is the schema of results.json, `finished` reads finished runs, `compare` tests whether two
models differ on the same frames, and `external/` reads the predictions of other programs.
"""
