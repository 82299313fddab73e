"""What starts work: poll, schedules, arrivals. Each ends in "look now" or "create the task with key K"."""
