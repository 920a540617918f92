"""Boards without hardware: six configurations of this machine behind real SSH servers."""
