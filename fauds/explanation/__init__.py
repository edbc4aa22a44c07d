"""A trained model and any face to action units and their descriptions."""
