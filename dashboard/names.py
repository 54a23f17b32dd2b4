"""Variables by which the dashboard's process learns what to look at."""

URL_VARIABLE = "LITHOSCOPE_DASHBOARD_URL"
