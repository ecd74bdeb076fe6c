"""What is installed, what is missing or clashes, and the exact remedy of each."""
