"""Text to token ids and back, chat templates, and text that arrives token by token."""
