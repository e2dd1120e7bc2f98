"""Renders what others computed: one self-contained HTML page, and tables for the terminal. Computes nothing new."""
