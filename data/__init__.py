"""What things are and how they are kept on disk."""
