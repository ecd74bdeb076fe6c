"""What happens: async, typed, and free of Textual and Rich."""
