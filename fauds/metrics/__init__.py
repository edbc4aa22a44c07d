"""Metrics: functions that take arrays of labels and predictions and return arrays of values.

Begin with `occurrence`, the metrics of active and inactive AUs, computed from confusion counts.
`multiclass`, `ranking`, `calibration`, `intensity`, `texts` and `words` hold further metrics;
`resampling`, `intervals` and `comparison` hold confidence intervals and paired tests. The package
reads no files.
"""
