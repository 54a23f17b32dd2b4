"""Who may come in: API keys with scopes, and certificates for every port."""
