"""Pure, synchronous market logic: candles, features, labels, costs. One kernel, two drivers."""
