"""Login and the daily access token: what is on disk, the page the browser returns to, logging in and out."""
