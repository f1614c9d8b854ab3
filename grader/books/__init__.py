"""What is kept: the journal of marks with its audit, nbgrader's gradebook and notebooks, and files for others."""
