"""What a driver looks at: lanes, the road, what is on it, and when to warn."""
