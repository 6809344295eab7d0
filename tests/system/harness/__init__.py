"""What the system tests stand on: a daemon, an origin, a strict client."""
