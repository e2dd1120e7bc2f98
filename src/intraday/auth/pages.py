"""The few pages that the browser sees at the end of a login: self-contained, light and dark, without anything secret."""

from __future__ import annotations

from html import escape
from string import Template

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style nonce="$nonce">
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #f6f7f9; --card: #fff; --line: #d8dde3; --mark: $light }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --card: #1d2127; --line: #343b44; --mark: $dark } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
main { max-width: 28rem; margin: 1rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-top: 4px solid var(--mark); border-radius: 8px }
h1 { margin: 0 0 .5rem; font-size: 1.25rem }
p { margin: .5rem 0 0; overflow-wrap: anywhere }
</style>
</head>
<body><main><h1>$title</h1>$paragraphs</main></body>
</html>
"""
)
CLOSE = "You can close this tab."


def page(title: str, *paragraphs: str, good: bool, nonce: str) -> str:
    """One HTML page; every text is escaped. ``nonce`` lets its own style through the content security policy."""
    return _PAGE.substitute(
        title=escape(title),
        paragraphs="".join(f"<p>{escape(text)}</p>" for text in paragraphs),
        light="#1a7f4b" if good else "#b3261e",
        dark="#4cc38a" if good else "#f2857c",
        nonce=escape(nonce),
    )
