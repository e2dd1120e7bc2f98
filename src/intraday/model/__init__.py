"""Training, artifacts and prediction."""
