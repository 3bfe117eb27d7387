"""The command line's work; ``freqsense.__main__`` reads the arguments."""
