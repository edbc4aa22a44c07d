"""The script that measures how long resampling takes."""

import re

from tests.metrics.scripts import script


def test_resampling_bp4d_takes_less_than_two_seconds(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["metrics.py", "--plain", "2"])
    script("speed/metrics.py").main()
    printed = capsys.readouterr().out
    assert "146,847 frames, 12 AUs, F1 and accuracy, 1,000 resamples" in printed
    assert float(re.search(r"counts: ([\d.]+) s", printed)[1]) < 2
    assert "comparison of two models" in printed
