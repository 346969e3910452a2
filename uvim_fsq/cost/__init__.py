"""What a configuration costs, from shapes alone: parameters, arithmetic, memory, time."""
