"""Links to boards: SSH, and plain subprocesses of this machine."""
