"""From run folders to the rows of a table: digests of journals, figures of subjects, companions taken off."""
