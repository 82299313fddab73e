"""Tempo and key of decoded sound. Needs numpy, the extra ``handoffd[analysis]``; loaded in a child alone.

Written here since no library earned its place (docs/dependencies.md): what matters is not to name a value
that the sound does not have, and the libraries that were tried give one for noise and for silence.
"""

RATE = 22050
"""Samples per second of the mono sound that is looked at: all that is used lies below 10 kHz."""
LONGEST_S = 600.0
"""Of a track that lasts longer, the first ten minutes are looked at."""
FULL = 32768.0
"""Full scale of a 16-bit sample."""
QUIET = 1e-3
"""A highest sample below this share of full scale (−60 dBFS) is taken for silence."""
