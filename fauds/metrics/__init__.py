"""Pure functions on arrays: labels and predictions in, figures out.

Begin with `occurrence`, the metrics of active and inactive AUs from counts that add up.
`multiclass`, `ranking`, `calibration`, `intensity`, `texts` and `words` hold further metrics;
`resampling`, `intervals` and `comparison` say how sure figures are.
"""
