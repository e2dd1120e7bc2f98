"""The Kite-compatible exchange on loopback, independent of the client it tests. Not built yet."""
