"""Parameters, seeds, files and caching; the tables of the thesis. Imports torch only where something is computed."""
