"""Builds the notebooks and marks what students hand in."""
