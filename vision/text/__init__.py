"""Text in pictures: where it is, what it says, in which order it is read, and how long it is there."""
