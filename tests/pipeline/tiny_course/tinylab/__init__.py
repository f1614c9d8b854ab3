"""A package of a few lines, so that the pipeline's tests need no lesson of the course."""
