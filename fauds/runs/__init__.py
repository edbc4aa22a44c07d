"""Runs of ``fauds bench``: from a plan to the predictions of every fold.

Begin with `run`, which trains and tests the folds. `plan` defines a run, `checks` tells before it
begins what the machine lacks and how long it will take, `inputs` holds the arrays that its folds
read, `fold` trains and tests one fold, `predict` applies a trained model to the subjects that the
fold tests, and `illustrations` writes faces, features and attention maps for the report. `merge`
joins the folds of several runs into one run. Results are computed in `fauds.evaluation`, not here.
"""
