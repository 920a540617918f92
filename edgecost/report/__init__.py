"""The report: one offline HTML file from a results folder."""
