"""The report of a run: `plot` draws the loss curves, `report` renders the template report.html."""
