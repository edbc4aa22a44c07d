"""From faces and captions to weights: batches, the loop, checkpoints."""
