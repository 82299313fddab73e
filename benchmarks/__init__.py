"""Numbers, each beside a peer and, where there is one, the physical limit; all measured in one run."""
