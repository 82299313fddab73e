"""The pure core: plain data and decisions over it. Standard library only, no clock, no I/O."""
