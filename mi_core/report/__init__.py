"""Frames and arrays in, pictures, tables and chapters out. Imports no torch."""
