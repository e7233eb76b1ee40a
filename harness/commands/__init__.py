"""The bodies of the commands: call stages, print what they return. No stage imports this package."""
