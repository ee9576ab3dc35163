"""What an operator may set: the options with their reasons, where values come from, and how they are shown.

Everything is read once, before the start; all faults are told together, and what comes out is frozen.
"""
