"""Rules that send a webhook when what the analysis keeps breaks them: docs/alerts.md."""
