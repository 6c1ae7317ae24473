"""Real servers and browsers: started, watched and ended with deadlines."""
