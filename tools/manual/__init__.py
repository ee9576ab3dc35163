"""What is read off the program: parts of the manual, and the dashboard; generated, and checked.

One module for each; ``python -m tools.manual`` writes them, ``--check`` only compares.
"""
