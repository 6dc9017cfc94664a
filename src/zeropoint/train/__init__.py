"""Make weights: schedules, objectives, the loop."""
