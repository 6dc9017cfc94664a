"""Talk to a server of OpenAI's API as if its model were loaded here: read `events`, then `model`."""
