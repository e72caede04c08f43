"""Pages that show what a network is and what it sees."""
