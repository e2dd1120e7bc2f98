"""Kite Connect from the client's side: packets now, links and REST later."""
