"""What is made small in training: one objective a file."""
