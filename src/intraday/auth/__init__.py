"""Login and the daily access token. Not built yet."""
