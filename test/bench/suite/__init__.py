"""What tools/bench is made of: statistics and forms are pure, the cases run programs."""
