"""Exact rollups of time-series data in plain PostgreSQL, operated from the terminal."""

__version__ = "0.1.0"
