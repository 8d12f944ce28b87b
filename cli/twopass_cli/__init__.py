"""The command `twopass`: parse, make a config, call the library once, print."""
