"""From a configured network and two sources to a run folder."""
