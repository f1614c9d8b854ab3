"""What attention is: one mechanism a file, readable, and the only judge of right."""
