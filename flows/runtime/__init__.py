"""What a run needs before it starts: settings, environment, cluster profiles, and the protocol of its workers."""
