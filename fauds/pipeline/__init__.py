"""The steps from raw files to a scored run; `project.py` alone knows which step needs which."""
