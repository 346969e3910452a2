"""How fast a setting is: parts of the program, each measured in a process of its own."""
