"""A session with one board: attach to its agent, hand it blocks of jobs, judge what it says, read on after a break."""
