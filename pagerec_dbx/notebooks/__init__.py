"""What the analysts' notebooks call: widgets and results at a desk, then per notebook what is looked up and drawn."""
