"""From files and folders to figures."""
