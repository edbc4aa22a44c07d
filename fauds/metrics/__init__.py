"""Metrics as pure functions on arrays of labels and predictions.

Begin with `occurrence`, the metrics of active and inactive AUs, computed from confusion counts.
`multiclass`, `ranking`, `calibration`, `intensity`, `texts` and `words` hold further metrics;
`resampling`, `intervals` and `comparison` hold confidence intervals and paired tests. Nothing here
reads files.
"""
