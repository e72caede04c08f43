"""Models behind HTTP and WebSocket: many visitors, one engine."""
