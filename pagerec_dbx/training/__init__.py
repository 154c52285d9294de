"""Model and streams to trained weights, on one rank or many."""
