"""Pure array functions: labels and predictions in, figures out."""
