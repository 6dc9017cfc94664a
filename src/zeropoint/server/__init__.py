"""`zeropoint serve`: an HTTP server that speaks OpenAI's API.

Read `app.py` (what a request passes through), `engine_thread.py` (one thread per model computes for all
requests), `models.py` (which models are loaded), `fields.py` and `errors.py` (checking requests, and refusing
them as OpenAI does), then `routes/`: one endpoint in each file, found by its name.
"""
