"""Runs of the bench: from a plan to the predictions of every fold.

Begin with `run`, which trains and tests the folds one after the other. `plan` is what a run is,
`inputs` what its folds read, `fold` one fold, `predict` a trained model on its test part, and
`illustrations` what a run keeps for its report. Results are not computed here: see
`fauds.evaluation`.
"""
