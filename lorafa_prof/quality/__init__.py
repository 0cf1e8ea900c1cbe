"""What is made of learning runs: a rate for each method, means over seeds with intervals, who is better."""
