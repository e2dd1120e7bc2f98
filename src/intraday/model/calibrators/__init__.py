"""One-class maps of the calibration methods."""
