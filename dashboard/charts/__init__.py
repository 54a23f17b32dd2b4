"""Charts: pure functions from what the query API answered to what is drawn."""
