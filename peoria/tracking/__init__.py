"""MLflow as a projection of the folder."""
