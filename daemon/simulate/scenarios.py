"""Named scenarios, each after the incident or report that it comes from (other projects' issues, and the
predecessor's). Each builds a world, lets time pass, and says what must be true at the end."""

from daemon.simulate import scenarios_outside, scenarios_tasks
from daemon.simulate.scenario import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "scenarios_outside", "scenarios_tasks"]
