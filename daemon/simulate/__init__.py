"""The flight simulator: the real tick, gates, claims, runner, endings and schedules in virtual time.

Only the outside is modelled: the board (in memory, with weather), what handlers do and how long they take,
the process that dies, people who edit. Nothing here is imported by the daemon.
"""
