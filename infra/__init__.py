"""What stands beside the code: set-up, the captioner's training, fonts."""
