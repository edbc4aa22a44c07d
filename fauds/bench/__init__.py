"""A protocol and a model preset to runs, predictions and results."""
